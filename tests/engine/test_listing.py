"""Listing runs: pages in both directions, filters."""

from typing import Any

import pytest

from tests.engine.kit import START, EngineKit, Worker, item
from triggerdev import errors
from triggerdev.engine.model import RunFilter, TokenFilter


async def many(kit: EngineKit, count: int) -> list[str]:
    """Ids of new runs, newest first."""
    kit.worker.room["async"] = 0
    batch = await kit.engine.create_batch(run_count=count)
    await kit.engine.add_batch_items(batch.id, [item("job", n, index=n) for n in range(count)])
    return (await kit.batch(batch.id)).runs[::-1]


async def ids(kit: EngineKit, **where: Any) -> list[str]:
    return [run.id for run in (await kit.engine.list_runs(RunFilter(**where))).items]


@pytest.mark.parametrize("size", [1, 7, 10, 11, 100])
async def test_pages_lead_to_the_end_and_back(kit: EngineKit, worker: Worker, size: int) -> None:
    runs = await many(kit, 20)
    forward = []
    page = await kit.engine.list_runs(RunFilter(), size=size)
    assert page.previous is None
    while True:
        forward.append([run.id for run in page.items])
        if page.next is None:
            break
        page = await kit.engine.list_runs(RunFilter(), size=size, after=page.next)
    assert sum(forward, []) == runs  # noqa: RUF017 - a handful of short lists
    backward = [[run.id for run in page.items]]
    while page.previous is not None:
        page = await kit.engine.list_runs(RunFilter(), size=size, before=page.previous)
        assert page.next is not None
        backward.append([run.id for run in page.items])
    assert backward[::-1] == forward


async def test_pages_beyond_the_ends_are_empty(kit: EngineKit, worker: Worker) -> None:
    await many(kit, 3)
    page = await kit.engine.list_runs(RunFilter(), after="1")
    assert (page.items, page.next, page.previous) == ([], None, None)
    page = await kit.engine.list_runs(RunFilter(), before="3")
    assert (page.items, page.next, page.previous) == ([], None, None)


async def test_new_runs_do_not_shift_the_pages(kit: EngineKit, worker: Worker) -> None:
    runs = await many(kit, 6)
    first = await kit.engine.list_runs(RunFilter(), size=3)
    await kit.trigger()
    second = await kit.engine.list_runs(RunFilter(), size=3, after=first.next)
    assert [run.id for run in second.items] == runs[3:]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "", "\uff19", "9" * 40])
async def test_a_cursor_that_was_never_given_out_is_refused(kit: EngineKit, cursor: str) -> None:
    with pytest.raises(errors.InvalidOptionError, match="page cursor"):
        await kit.engine.list_runs(RunFilter(), after=cursor)
    with pytest.raises(errors.InvalidOptionError, match="page cursor"):
        await kit.engine.list_runs(RunFilter(), before=cursor)


async def test_filters(kit: EngineKit, worker: Worker) -> None:
    done = await kit.start("job", None, tags=["red"], queue={"name": "q", "concurrencyLimit": 9})
    version = (await kit.run(done)).version
    await worker.ok(done)
    kit.clock.advance(1000)
    test = await kit.start("child", None, tags=["red", "blue"], test=True, machine="micro")
    worker.room["async"] = 0
    queued = await kit.trigger("job")
    assert await ids(kit) == [queued, test, done]
    assert await ids(kit, status=["COMPLETED"]) == [done]
    assert await ids(kit, status=["QUEUED", "EXECUTING"]) == [queued, test]
    assert await ids(kit, status=["NO_SUCH_STATUS"]) == []
    assert await ids(kit, task=["child", "other"]) == [test]
    assert await ids(kit, tag=["blue", "green"]) == [test]
    assert await ids(kit, tag=["red"], status=["COMPLETED"]) == [done]
    assert await ids(kit, queue=["q"]) == [done]
    assert await ids(kit, machine=["micro"]) == [test]
    assert await ids(kit, version=[version]) == [test, done]
    assert await ids(kit, is_test=True) == [test]
    assert await ids(kit, is_test=False) == [queued, done]
    assert await ids(kit, created_from=START + 1) == [queued, test]
    assert await ids(kit, created_to=START) == [done]


async def test_filters_hold_over_pages(kit: EngineKit, worker: Worker) -> None:
    runs = await many(kit, 20)
    tagged = runs[::3]
    for run in tagged:
        await kit.engine.add_tags(run, ["x"])
    where = RunFilter(tag=["x"])
    first = await kit.engine.list_runs(where, size=4)
    second = await kit.engine.list_runs(where, size=4, after=first.next)
    assert [run.id for run in first.items + second.items] == tagged
    assert second.next is None
    back = await kit.engine.list_runs(where, size=4, before=second.previous)
    assert [run.id for run in back.items] == tagged[:4]


async def test_a_retrying_run_is_listed_as_executing_and_a_waiting_one_as_waiting(
    kit: EngineKit, worker: Worker
) -> None:
    waiting = await kit.start()
    await worker.wait_parked(waiting)
    retrying = await kit.start()
    await worker.fail(retrying)
    assert await ids(kit, status=["EXECUTING"]) == [retrying]
    assert await ids(kit, status=["WAITING"]) == [waiting]


async def test_the_runs_of_a_batch(kit: EngineKit, worker: Worker) -> None:
    runs = await many(kit, 3)
    await kit.trigger()
    batch = (await kit.run(runs[0])).batch_id
    assert await ids(kit, batch=batch) == runs


async def test_tokens_have_pages_too(kit: EngineKit) -> None:
    made = []
    for _ in range(5):
        made.append((await kit.engine.tokens.create()).id)
        kit.clock.advance(1)
    first = await kit.engine.tokens.list(TokenFilter(), size=2)
    second = await kit.engine.tokens.list(TokenFilter(), size=2, after=first.next)
    last = await kit.engine.tokens.list(TokenFilter(), size=2, after=second.next)
    pages = [[token.id for token in page.items] for page in (first, second, last)]
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert (first.previous, last.next) == (None, None)
    back = await kit.engine.tokens.list(TokenFilter(), size=2, before=last.previous)
    assert [token.id for token in back.items] == pages[1]
