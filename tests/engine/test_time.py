"""Delays, time to live, rescheduling: what happens to a run by itself."""

import asyncio
from pathlib import Path

import pytest

from tests.engine.kit import DAY, HOUR, MINUTE, START, EngineKit, Worker, item, manifest, task
from triggerdev import _durations, errors
from triggerdev.engine.clock import SystemClock
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import Status
from triggerdev.engine.store.sqlite import SqliteStore


async def test_a_delayed_run_waits_for_its_time(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, delay="1h30m")
    assert await kit.status(run) is Status.DELAYED
    await kit.advance("1h29m")
    assert await kit.status(run) is Status.DELAYED
    assert worker.heard("start") == []
    await kit.advance("1m")
    assert (await worker.started())["id"] == run
    assert (await kit.run(run)).queued_at == START + 90 * MINUTE


async def test_a_delay_may_be_a_date(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, delay=_durations.iso(START + DAY))
    assert (await kit.run(run)).delayed_until == START + DAY
    await kit.advance("24h")
    await worker.started(run)


async def test_a_delay_in_the_past_is_none(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, delay="2020-01-01T00:00:00Z")
    await worker.started(run)
    assert (await kit.run(run)).delayed_until is None


@pytest.mark.parametrize("delay", ["soon", "", 5, "1 h", "9" * 90 + "w", "9999-12-31", True, ["1h"]])
async def test_a_delay_that_cannot_be_read_is_refused(kit: EngineKit, delay: object) -> None:
    with pytest.raises(errors.InvalidOptionError, match="Invalid delay"):
        await kit.trigger("job", None, delay=delay)
    assert kit.query("SELECT count(*) FROM runs") == [(0,)]


async def test_a_run_that_waits_too_long_in_the_queue_expires(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    run = await kit.trigger("job", None, ttl="10m")
    await kit.advance("9m")
    assert await kit.status(run) is Status.PENDING
    await kit.advance("1m")
    ended = await kit.run(run)
    assert ended.status is Status.EXPIRED
    assert ended.expired_at == ended.finished_at == START + 10 * MINUTE
    assert ended.error == {"type": "STRING_ERROR", "raw": "Run expired because the TTL (10m) was reached"}
    worker.room["async"] = 1
    kit.engine.pump()
    await kit.settled()
    assert worker.heard("start") == []


async def test_a_ttl_begins_when_the_delay_is_over(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    run = await kit.trigger("job", None, delay="1h", ttl=60)
    await kit.advance("1h")
    assert await kit.status(run) is Status.PENDING
    await kit.advance("1m")
    assert await kit.status(run) is Status.EXPIRED


async def test_a_run_that_has_started_never_expires(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, ttl="1m")
    await kit.advance("5m")
    assert await kit.status(run) is Status.EXECUTING
    await worker.lost(run)
    worker.room["async"] = 0
    await kit.advance("5m")
    assert not (await kit.status(run)).is_final


async def test_a_run_that_waits_for_its_slot_after_a_wait_does_not_expire(
    kit: EngineKit, worker: Worker
) -> None:
    run = await kit.start("job", None, ttl="1m")
    await worker.wait_parked(run, ms=HOUR)
    worker.room["async"] = 0
    await kit.advance("2h")
    assert await kit.status(run) is Status.PENDING
    worker.room["async"] = 1
    kit.engine.pump()
    await worker.next("resume", run)


async def test_the_trigger_s_ttl_goes_before_the_task_s_and_zero_means_never(kit: EngineKit) -> None:
    await kit.activate(task("job", ttl_ms=MINUTE))
    kit.worker.room["async"] = 0
    own = await kit.trigger("job", None, ttl="2m")
    of_task = await kit.trigger("job")
    never = await kit.trigger("job", None, ttl=0)
    await kit.advance("1m")
    assert await kit.status(of_task) is Status.EXPIRED
    assert await kit.status(own) is Status.PENDING
    await kit.advance("365d")
    assert await kit.status(own) is Status.EXPIRED
    assert await kit.status(never) is Status.PENDING


async def test_a_delayed_run_can_be_given_another_time(kit: EngineKit, worker: Worker) -> None:
    run = await kit.trigger("job", None, delay="1h")
    detail = await kit.engine.reschedule_run(run, "3h")
    assert detail.run.delayed_until == START + 3 * HOUR
    await kit.advance("2h")
    assert await kit.status(run) is Status.DELAYED
    await kit.engine.reschedule_run(run, "2020-01-01")
    await kit.advance(0)
    await worker.started(run)


async def test_only_delayed_runs_can_be_rescheduled(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    with pytest.raises(errors.EngineError, match="Cannot reschedule a run that is not delayed"):
        await kit.engine.reschedule_run(run, "1h")
    delayed = await kit.trigger("job", None, delay="1h")
    with pytest.raises(errors.InvalidOptionError, match="Invalid delay"):
        await kit.engine.reschedule_run(delayed, "later")
    assert (await kit.run(delayed)).delayed_until == START + HOUR


async def test_many_runs_become_due_at_once(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    batch = await kit.engine.create_batch(run_count=1000)
    items = [item("job", None, index=i, delay="1h") for i in range(1000)]
    await kit.engine.add_batch_items(batch.id, items)
    await kit.advance("1h")
    assert kit.query("SELECT status, count(*) FROM runs GROUP BY 1") == [("PENDING", 1000)]


async def test_the_engine_s_own_timer_needs_no_tick(tmp_path: Path) -> None:
    """With the machine's clock a due run is found without anybody asking, also if a tick is under way."""
    clock, engine = SystemClock(), Engine(SqliteStore(tmp_path / "real.db"))
    await engine.start()
    await engine.activate("1", manifest(task("job")))
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    engine.connect("w", lambda messages: started.set_result(messages[0]["run"]["id"]), lambda: {"async": 1})
    ticking = asyncio.ensure_future(engine.tick())
    made = await engine.trigger(item("job", None, delay=_durations.iso(clock.now() + 20)))
    await ticking
    async with asyncio.timeout(5):
        assert await started == made.id
    await engine.stop()


class Machine:
    """A machine whose clock can be set."""

    def __init__(self) -> None:
        self.passed = 0
        self.wall_ahead = START * 1_000_000

    def make_clock(self) -> SystemClock:
        return SystemClock(lambda: self.passed + self.wall_ahead, lambda: self.passed)

    def sleep(self, ms: int) -> None:
        self.passed += ms * 1_000_000

    def set_clock(self, by_ms: int) -> None:
        self.wall_ahead += by_ms * 1_000_000


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 365 * DAY, -365 * DAY, 5000, -5000])
def test_the_clock_leaves_jumps_out(jump: int, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = machine.make_clock()
    machine.sleep(MINUTE)
    machine.set_clock(jump)
    assert clock.now() == START + MINUTE
    assert f"set {'forward' if jump > 0 else 'back'} by {abs(jump) // 1000} s" in caplog.text
    machine.sleep(MINUTE)
    assert clock.now() == START + 2 * MINUTE
    machine.set_clock(-jump)
    assert clock.now() == START + 2 * MINUTE
    assert machine.make_clock().now() == START + 2 * MINUTE


def test_the_clock_follows_small_corrections_but_never_goes_back(caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine()
    clock = machine.make_clock()
    machine.set_clock(900)
    assert clock.now() == START + 900
    machine.set_clock(-500)
    assert clock.now() == START + 900
    machine.sleep(600)
    assert clock.now() == START + 1000
    assert caplog.text == ""
