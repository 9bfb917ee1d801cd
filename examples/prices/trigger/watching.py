"""Watching prices: every hour each page is read once, politely, and who wants to know is told."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from prices import browser, parsing
from pydantic import BaseModel

from triggerdev import AbortTaskRunError, idempotency_keys, logger, queue, schedules, task

PRODUCTS = Path(__file__).parents[1] / "products.toml"

# Two pages at a time, whatever is asked for; the next hour does not overtake this one.
pages = queue(name="pages", concurrency_limit=2)


class Product(BaseModel):
    name: str
    url: str
    below: Decimal


# A browser maps more memory than it uses, which counts where machines are not bounded by control groups.
@task(id="read-offer", queue=pages, machine="large-1x")
async def read_offer(payload: dict[str, str]) -> dict[str, str]:
    """Open a page and find its price."""
    html = await browser.read(payload["url"])
    try:
        found = parsing.offer(html)
    except parsing.NoPriceError as error:
        raise AbortTaskRunError(f"{payload['url']}: {error}") from error  # the page says the same next time
    return {"name": found.name, "price": str(found.price), "currency": found.currency}


@task(id="tell", retry={"max_attempts": 5})
async def tell(payload: dict[str, str]) -> None:
    """Tell somebody of a price; a mail server or a chat would be called here."""
    logger.info("cheaper", payload)


@task(id="watch-product")
async def watch_product(payload: Product) -> dict[str, Any]:
    """Read a price, and tell of it if it is low enough; of one price once a day."""
    offer = await read_offer.trigger_and_wait({"url": payload.url}).unwrap()
    is_low = Decimal(offer["price"]) < payload.below
    if is_low:
        key = await idempotency_keys.create(f"{payload.name}-{offer['price']}", scope="global")
        await tell.trigger({**offer, "name": payload.name}, idempotency_key=key, idempotency_key_ttl="24h")
    return {"price": offer["price"], "is_low": is_low}


@schedules.task(id="watch-all", cron="7 * * * *")
async def watch_all(payload: schedules.Payload) -> dict[str, int]:
    """Watch every product; one page that does not answer does not keep the others from being read."""
    wanted = tomllib.loads(PRODUCTS.read_text(encoding="utf-8"))["product"]
    results = await watch_product.batch_trigger_and_wait([{"payload": each} for each in wanted])
    read = [result for result in results if result.ok]
    return {
        "read": len(read),
        "failed": len(wanted) - len(read),
        "low": sum(each.output["is_low"] for each in read),
    }
