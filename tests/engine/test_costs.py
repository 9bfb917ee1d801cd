"""What runs cost, as the engine counts it."""

from tests.engine.kit import EngineKit, Worker
from triggerdev._prices import Prices

PRICES = Prices(0.25, {"micro": 2.0, "medium-1x": 10.0})


async def test_compute_time_costs_by_machine_and_waits_cost_nothing(kit: EngineKit, worker: Worker) -> None:
    kit.engine._prices = PRICES
    run = await kit.trigger("job", None, machine="micro")
    start = await worker.started(run)
    assert (start["cost"], start["base_cost"]) == (0, 0.25)
    await worker.op(run, "0:0", "wait", None, for_ms=60_000)
    await worker.park(run, "0:0", usage_ms=1500)
    await kit.advance("61s")
    await worker.next("resume", run)
    assert (await kit.run(run)).cost == 3.0
    await worker.ok(run, usage_ms=2000)
    found = await kit.run(run)
    assert (found.cost, found.base_cost, found.usage_ms) == (4.0, 0.25, 2000)


async def test_each_attempt_costs_what_its_machine_costs(kit: EngineKit, worker: Worker) -> None:
    kit.engine._prices = PRICES
    run = await kit.start("job", None, machine="micro", maxAttempts=2)
    await worker.fail(run, usage_ms=1000)
    await kit.advance("5s")
    again = await worker.started(run)
    assert (again["usage_before"], again["cost"], again["base_cost"]) == (1000, 2.0, 0.25)
    await worker.ok(run, usage_ms=1500)
    found = await kit.run(run)
    assert (found.cost, found.base_cost) == (3.0, 0.25)


async def test_without_prices_nothing_costs_anything(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.ok(run, usage_ms=5000)
    found = await kit.run(run)
    assert (found.cost, found.base_cost, found.usage_ms) == (0, 0, 5000)
