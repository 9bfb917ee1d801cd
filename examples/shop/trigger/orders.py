"""An order from the cart to its confirmation; whatever dies on the way, items leave the stock once."""

from pathlib import Path
from string import Template

from pydantic import BaseModel, Field
from shop.database import transaction
from shop.stock import OutOfStockError, reserve, settle

from triggerdev import AbortTaskRunError, logger, queue, task, wait

TEMPLATES = Path(__file__).parents[1] / "templates"

database = queue(name="database", concurrency_limit=10)


class Cart(BaseModel):
    order_id: str = Field(pattern=r"[a-z0-9-]{1,40}")
    email: str
    items: dict[str, int]
    """How many of each product, by its number."""


class Settlement(BaseModel):
    order_id: str
    status: str


@task(id="reserve-stock", queue=database)
def reserve_stock(payload: Cart) -> int:
    """Take an order's items from the stock; returns what they cost, in cents."""
    try:
        with transaction() as session:
            return reserve(session, payload.order_id, payload.email, payload.items).total_cents
    except OutOfStockError as error:
        raise AbortTaskRunError(str(error)) from error  # trying again does not help


@task(id="settle-order", queue=database)
def settle_order(payload: Settlement) -> str:
    """End an order that is reserved; returns the status that it has then."""
    with transaction() as session:
        return settle(session, payload.order_id, payload.status).status


@task(id="send-confirmation", retry={"max_attempts": 5})
async def send_confirmation(payload: Cart) -> str:
    """Write the customer; returns the text."""
    items = "\n".join(f"  {quantity} x {sku}" for sku, quantity in sorted(payload.items.items()))
    template = Template((TEMPLATES / "confirmation.txt").read_text(encoding="utf-8"))
    text = template.substitute(order_id=payload.order_id, items=items)
    logger.info("confirmed", {"order": payload.order_id})  # a mail server would be called here
    return text


@task(id="place-order")
async def place_order(payload: Cart) -> dict[str, str | int]:
    """Reserve, wait for the payment for an hour, and confirm; or give everything back."""
    reserved = await reserve_stock.trigger_and_wait(payload, idempotency_key=f"reserve-{payload.order_id}")
    if not reserved.ok:
        return {"status": "refused", "reason": str(reserved.error)}
    paid = await wait.for_token(f"payment-{payload.order_id}", timeout="1h")
    wanted = Settlement(order_id=payload.order_id, status="paid" if paid.ok else "expired")
    status = await settle_order.trigger_and_wait(wanted).unwrap()
    if status == "paid":
        await send_confirmation.trigger(payload, idempotency_key=f"confirm-{payload.order_id}")
    return {"status": status, "total_cents": reserved.output}
