"""Orders, from the cart to the report of the next morning."""

from datetime import UTC, datetime

import pytest
from shop.database import transaction
from shop.models import Product
from trigger import orders, reports

from triggerdev import testing

CART = {"order_id": "a-1", "email": "ada@example.com", "items": {"cup": 2, "plate": 1}}


def stock(sku: str) -> int:
    with transaction() as session:
        return session.get_one(Product, sku).in_stock


async def test_a_paid_order_is_confirmed() -> None:
    async with testing.engine([orders]) as engine:
        handle = await engine.trigger(orders.place_order, CART)
        await engine.advance(minutes=59)
        assert (engine.find(handle).status, stock("cup")) == ("WAITING", 3)
        await engine.complete_token("payment-a-1", {"paid": True})
        assert (await engine.wait(handle)).output == {"status": "paid", "total_cents": 3000}
        (sent,) = engine.assert_triggered("send-confirmation", times=1)
        assert "a-1:\n\n  2 x cup\n  1 x plate\n" in (await engine.wait(sent)).output


async def test_what_nobody_pays_goes_back_to_the_stock() -> None:
    async with testing.engine([orders]) as engine:
        run = await engine.run(orders.place_order, CART)
        assert run.output["status"] == "expired"
        engine.assert_not_triggered("send-confirmation")
    assert (stock("cup"), stock("plate")) == (5, 1)


async def test_what_is_not_there_is_refused_without_trying_again() -> None:
    async with testing.engine([orders]) as engine:
        run = await engine.run(orders.place_order, {**CART, "items": {"cup": 1, "plate": 2}})
        assert run.output == {"status": "refused", "reason": "plate: 2 ordered, 1 in stock"}
        assert engine.assert_triggered("reserve-stock", times=1)[0].attempts == 1
    assert stock("cup") == 5


@pytest.mark.parametrize("lost_after", range(1, 6))
async def test_nothing_is_taken_twice_wherever_the_run_is_lost(lost_after: int) -> None:
    async with testing.engine([orders], interrupt=lambda _run, count: count == lost_after) as engine:
        await engine.complete_token("payment-a-1", {"paid": True})
        run = await engine.run(orders.place_order, CART)
        assert run.output["status"] == "paid"
    assert (stock("cup"), stock("plate")) == (3, 0)


async def test_the_report_of_the_next_morning() -> None:
    async with testing.engine([orders, reports], now=datetime.now(UTC)) as engine:
        await engine.complete_token("payment-a-1", {"paid": True})
        await engine.run(orders.place_order, CART)
        await engine.advance(days=1)
        (report,) = engine.assert_triggered("daily-report", times=1)
        assert report.output == {"orders": 1, "total_cents": 3000, "best": "cup"}
