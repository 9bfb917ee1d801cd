"""Looking at queues, pausing them, overriding their limits; the limit of all queues together."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.engine.kit import EngineKit, Worker, engine_kit, task
from tests.store.backends import Backend
from triggerdev import errors
from triggerdev.engine.commands.queues import MOST, id_of
from triggerdev.engine.engine import Engine
from triggerdev.engine.model import Load, Status

pytestmark = pytest.mark.parametrize("backend", ["sqlite", "postgres", "memory"], indirect=True)
LIMITED = (task("job", queue={"concurrency_limit": 2}), task("child"), task("send.mail"))


@pytest.fixture
async def kit(backend: Backend) -> AsyncIterator[EngineKit]:
    async with engine_kit(backend, tasks=LIMITED) as kit:
        yield kit


async def queued(kit: EngineKit, count: int, **options: Any) -> list[str]:
    """Trigger runs; those for which there is a slot have it."""
    runs = [await kit.trigger("job", None, **options) for _ in range(count)]
    await kit.settled()
    return runs


async def executing(kit: EngineKit) -> list[str]:
    await kit.settled()
    return kit.worker.executing


async def test_a_queue_tells_its_load_and_its_limits(kit: EngineKit, worker: Worker) -> None:
    await queued(kit, 5)
    await kit.trigger("job", None, delay="1h")
    found = await kit.engine.queues.retrieve("task/job")
    assert (found.load, found.queue.limit) == (Load(running=2, queued=3), 2)
    assert await kit.engine.queues.retrieve(id_of("task/job")) == found
    assert (await kit.engine.queues.retrieve("task/send.mail")).queue.name == "task/sendmail"


async def test_queues_are_listed_by_name_and_page(kit: EngineKit, worker: Worker) -> None:
    await queued(kit, 3, queue={"name": "a-new-one", "concurrencyLimit": 10})
    page = await kit.engine.queues.list(page=1, per_page=2)
    assert [each.queue.name for each in page.items] == ["a-new-one", "task/child"]
    assert (page.count, page.total, page.limit) == (4, Load(3, 0), None)
    rest = await kit.engine.queues.list(page=2, per_page=2)
    assert [each.queue.name for each in rest.items] == ["task/job", "task/sendmail"]
    assert (await kit.engine.queues.list(page=3, per_page=2)).items == []


@pytest.mark.parametrize("name", ["nope", "queue_nope", "", "ta sk/job!x"])
async def test_an_unknown_queue_is_refused_by_name(kit: EngineKit, name: str) -> None:
    for call in (
        kit.engine.queues.retrieve(name),
        kit.engine.queues.pause(name),
        kit.engine.queues.override_limit(name, 1),
    ):
        with pytest.raises(errors.NoSuchRunError, match=r"Queue .* not found"):
            await call


async def test_a_paused_queue_gives_nothing_out_and_leaves_alone_what_executes(
    kit: EngineKit, worker: Worker
) -> None:
    first, second, third = await queued(kit, 3)
    assert (await kit.engine.queues.pause("task/job")).queue.paused_at == kit.clock.now()
    await worker.ok(first)
    assert await executing(kit) == [second]
    assert await kit.status(first) is Status.COMPLETED
    assert (await kit.engine.queues.retrieve("task/job")).load == Load(1, 1)
    assert (await kit.engine.queues.pause("task/job", paused=False)).queue.paused_at is None
    assert await executing(kit) == [second, third]


async def test_a_woken_run_of_a_paused_queue_waits_for_its_end_too(kit: EngineKit, worker: Worker) -> None:
    (run,) = await queued(kit, 1)
    await worker.wait_parked(run, ms=1000)
    await kit.engine.queues.pause("task/job")
    await kit.advance("2s")
    assert worker.heard("resume") == []
    await kit.engine.queues.pause("task/job", paused=False)
    await worker.next("resume", run)


async def test_other_queues_go_on_beside_a_paused_one(kit: EngineKit, worker: Worker) -> None:
    await kit.engine.queues.pause("task/job")
    await queued(kit, 2)
    child = await kit.trigger("child")
    assert await executing(kit) == [child]


async def test_pausing_twice_keeps_the_time_of_the_first(kit: EngineKit) -> None:
    at = (await kit.engine.queues.pause("task/job")).queue.paused_at
    kit.clock.advance(1000)
    assert (await kit.engine.queues.pause("task/job")).queue.paused_at == at


async def test_an_override_counts_until_it_is_reset_in_later_versions_too(
    kit: EngineKit, worker: Worker
) -> None:
    runs = await queued(kit, 6)
    changed = (await kit.engine.queues.override_limit("task/job", 3)).queue
    assert (changed.limit, changed.concurrency_limit, changed.overridden_at) == (3, 2, kit.clock.now())
    assert await executing(kit) == runs[:3]
    await kit.activate(task("job", queue={"concurrency_limit": 5}))
    assert await executing(kit) == runs[:3]
    await kit.restart()
    assert (await kit.engine.queues.retrieve("task/job")).queue.limit == 3
    await kit.engine.queues.override_limit("task/job", None)
    assert (await kit.engine.queues.retrieve("task/job")).queue.limit == 2


async def test_a_smaller_limit_ends_nothing(kit: EngineKit, worker: Worker) -> None:
    first, second, _ = await queued(kit, 3)
    await kit.engine.queues.override_limit("task/job", 0)
    assert await executing(kit) == [first, second]
    await worker.ok(first)
    await worker.ok(second)
    assert await executing(kit) == []


async def test_a_trigger_s_limit_does_not_undo_an_override(kit: EngineKit, worker: Worker) -> None:
    await kit.engine.queues.override_limit("task/job", 1)
    (first, *_) = await queued(kit, 3, queue={"name": "task/job", "concurrencyLimit": 3})
    assert await executing(kit) == [first]
    queue = (await kit.engine.queues.override_limit("task/job", None)).queue
    assert queue.limit == 3
    assert len(await executing(kit)) == 3


@pytest.mark.parametrize("limit", [-1, MOST + 1])
async def test_a_limit_that_makes_no_sense_is_refused(kit: EngineKit, limit: int) -> None:
    with pytest.raises(errors.InvalidOptionError, match="concurrencyLimit"):
        await kit.engine.queues.override_limit("task/job", limit)


async def test_all_queues_together_have_a_limit(backend: Backend) -> None:
    kit = EngineKit(backend, LIMITED, (), 0)
    kit.concurrency_limit = 3
    await kit.open()
    try:
        jobs = await queued(kit, 3)
        children = [await kit.trigger("child") for _ in range(3)]
        second = kit.connect("w2")
        await kit.settled()
        assert kit.worker.executing + second.executing == [*jobs[:2], children[0]]
        page = await kit.engine.queues.list(page=1, per_page=9)
        assert (page.total, page.limit) == (Load(3, 3), 3)
        await kit.worker.ok(jobs[0])
        await kit.settled()
        assert len(kit.worker.executing + second.executing) == 3
    finally:
        await kit.close()


def test_an_engine_has_a_limit_of_one_at_least(backend: Backend) -> None:
    with pytest.raises(ValueError, match="concurrency_limit"):
        Engine(backend.make(), concurrency_limit=0)
