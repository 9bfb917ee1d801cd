"""What runs cost: compute time at the price of their machine, and a price for each run."""

from typing import Any

import pytest

from tests.executor.harness import ROOT, AsyncEngine, output_of
from triggerdev import Context, task, usage
from triggerdev._prices import NO_PRICES, Prices, price_table, read
from triggerdev.errors import ContextError, PayloadError
from triggerdev.protocol import MACHINES, WorkerSettings
from triggerdev.sdk.registry import Registry

SETTINGS: WorkerSettings = {
    "root": ROOT,
    "prices": {"per_run": 0.25, "per_second": price_table(2.0, 1.0, {"large-2x": 7})},
}


def test_a_price_is_that_of_the_machines_parts_or_its_own() -> None:
    prices = read(SETTINGS["prices"])
    assert prices.per_ms("medium-1x") == pytest.approx((1 * 2.0 + 2 * 1.0) / 1000)
    assert prices.per_ms("large-2x") == pytest.approx(0.007)
    assert prices.per_ms("unknown") == prices.per_ms("small-1x")
    assert all(NO_PRICES.per_ms(name) == 0 for name in MACHINES)
    assert Prices(1.0).per_ms("micro") == 0


async def test_a_run_knows_what_it_has_used_and_what_that_costs(registry: Registry) -> None:
    @task
    async def work(payload: None, ctx: Context) -> list[Any]:
        now = usage.get_current()
        return [
            ctx.machine.cents_per_ms,
            ctx.run.base_cost_in_cents,
            now.base_cost_in_cents,
            now.compute.attempt.cost_in_cents / now.compute.attempt.duration_ms,
            now.total.duration_ms - now.attempt.duration_ms,
            now.total.cost_in_cents - now.attempt.cost_in_cents,
            now.cost_in_cents - now.total.cost_in_cents,
            now.total_cost_in_cents == now.cost_in_cents,
            now.duration_ms == now.total.duration_ms,
        ]

    engine = AsyncEngine(registry, SETTINGS)
    before = {"usage_ms": 5000, "usage_before": 3000, "cost": 12.0, "base_cost": 0.25}
    found = output_of(await engine.run("work", machine="medium-1x", **before))
    price = 0.004
    # of the 5 s before, 2 s are this attempt's, in another process; 12 cents are for all of them
    expected = [price, 0.25, 0.25, price, 3000, 12 - 2000 * price, 0.25]
    assert found[:7] == pytest.approx(expected, abs=1e-6)
    assert found[7:] == [True, True]


async def test_a_function_is_measured(registry: Registry) -> None:
    @task
    async def work() -> list[Any]:
        async def slow() -> int:
            return sum(range(1000))

        measured = await usage.measure(slow)
        plain = await usage.measure(lambda: 3)
        assert measured.compute.cost_in_cents == measured.compute.duration_ms * 0.0015
        return [measured.result, plain.result, measured.compute.duration_ms > 0]

    assert output_of(await AsyncEngine(registry, SETTINGS).run("work")) == [499500, 3, True]


def test_outside_of_runs_nothing_costs_anything() -> None:
    assert usage.get_current().cost_in_cents == 0
    measured = usage.sync.measure(lambda: 3)
    assert (measured.result, measured.compute.cost_in_cents) == (3, 0)
    assert measured.compute.duration_ms > 0


async def test_what_cannot_be_measured_is_named() -> None:
    wrong: Any = 7
    with pytest.raises(PayloadError, match=r"usage.measure\(7\): give a function"):
        await usage.measure(wrong)
    with pytest.raises(ContextError, match=r"await usage\.measure"):
        usage.sync.measure(lambda: 3)
