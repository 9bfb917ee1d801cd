"""Prices, from the page to who wants to know; pages are texts here, and no browser is opened."""

import json
from decimal import Decimal

import pytest
from prices import browser, parsing
from trigger import watching

from triggerdev import testing

PRODUCT = {"@type": "Product", "name": "Grinder", "offers": {"price": "79.90", "priceCurrency": "GBP"}}
LINKED = f'<script type="application/ld+json">{json.dumps(PRODUCT)}</script>'


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Pages by address; the others do not answer."""
    pages: dict[str, str] = {}

    async def read(url: str) -> str:
        if url not in pages:
            raise ConnectionError("nobody answers")
        return pages[url]

    monkeypatch.setattr(browser, "read", read)
    return pages


def test_linked_data_comes_first() -> None:
    page = f"<script type='application/ld+json'>{{</script>{LINKED}<p class='price'>1 EUR</p>"
    assert parsing.offer(page) == parsing.Offer("Grinder", Decimal("79.90"), "GBP")


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("1.299,90 €", "1299.90"),
        ("EUR 1,299.90", "1299.90"),
        ("89 €", "89"),
        ("1.299", "1299"),
        ("7,50", "7.50"),
    ],
)
def test_prices_are_written_in_many_ways(text: str, price: str) -> None:
    found = parsing.offer(f"<h1> Grinder </h1><p class='price'>{text}</p>")
    assert (found.name, found.price) == ("Grinder", Decimal(price))


@pytest.mark.parametrize("page", ["", "<p>sold out</p>", "<p class='price'>ask us</p>"])
def test_no_price_is_said(page: str) -> None:
    with pytest.raises(parsing.NoPriceError):
        parsing.offer(page)


async def test_a_low_price_is_told_once_a_day(shop: dict[str, str]) -> None:
    shop["https://shop.example.com/grinder"] = LINKED
    product = {"name": "grinder", "url": "https://shop.example.com/grinder", "below": 89.9}
    async with testing.engine([watching]) as engine:
        for _ in range(3):
            run = await engine.run(watching.watch_product, product)
            assert run.output == {"price": "79.90", "is_low": True}
        engine.assert_triggered("tell", times=1)
        await engine.advance(days=1, minutes=1)
        await engine.run(watching.watch_product, product)
        engine.assert_triggered("tell", times=2)


async def test_a_page_without_a_price_is_not_read_again(shop: dict[str, str]) -> None:
    shop["https://shop.example.com/grinder"] = "<p>sold out</p>"
    async with testing.engine([watching]) as engine:
        run = await engine.run(watching.read_offer, {"url": "https://shop.example.com/grinder"})
        assert (run.status, run.attempts) == ("FAILED", 1)


async def test_every_hour_what_answers_is_read(shop: dict[str, str]) -> None:
    shop["https://shop.example.com/grinder"] = LINKED
    async with testing.engine([watching]) as engine:
        await engine.advance(hours=1)
        (run,) = engine.assert_triggered("watch-all", times=1)
        assert (await engine.wait(run)).output == {"read": 1, "failed": 1, "low": 1}
