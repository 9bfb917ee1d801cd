"""Following runs with `runs.subscribe_to_...`, against the real server over the engine for tests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from triggerdev import PayloadError, batch, metadata, runs, tags, task, testing, wait
from triggerdev.errors import NotFoundError
from triggerdev.sdk.task import Task

Story = list[tuple[str, str]]


@pytest.fixture
def report() -> "Task[dict[str, int]]":
    @task(id="report", retry={"max_attempts": 1})
    async def report(payload: int) -> dict[str, int]:
        metadata.set("progress", 50)
        await wait.for_(hours=payload)
        if payload == 13:
            raise ValueError("no such hour")
        await tags.add("done")
        return {"pages": payload}

    return report


async def story(followed: AsyncIterator[runs.Run]) -> Story:
    return [(run.id, run.status) async for run in followed]


async def test_a_run_is_followed_to_its_end() -> None:
    @task(id="approved")
    async def approved(payload: str) -> dict[str, Any]:
        answer = await wait.for_token(payload)
        return {"by": answer.output}

    async with testing.engine([approved]):
        token = await wait.create_token()
        handle = await approved.trigger(token.id)
        states = []
        async for state in runs.subscribe_to_run(handle):
            states.append(state)
            if state.status == "WAITING":
                await wait.complete_token(token, "Ada")
        assert states[-1].status == "COMPLETED"
        assert states[-1].output == {"by": "Ada"}


async def test_a_batch_is_followed_until_all_have_ended(report: "Task[dict[str, int]]") -> None:
    async with testing.engine([report]):
        handle = await report.batch_trigger([{"payload": n} for n in (1, 13, 3)])
        last: dict[str, runs.Run] = {}
        async for run in runs.subscribe_to_batch(handle):
            last[run.id] = run
        ended = [last[run_id] for run_id in (await batch.retrieve(handle)).runs]
        assert [run.status for run in ended] == ["COMPLETED", "FAILED", "COMPLETED"]
        assert ended[0].output == {"pages": 1}
        assert ended[0].tags == ["done"]
        assert ended[0].metadata == {"progress": 50}
        assert str(ended[1].error) == "no such hour"
        assert all(run.is_completed and run.finished_at is not None for run in ended)


async def test_runs_of_a_tag_are_followed_until_the_caller_has_seen_enough(
    report: "Task[dict[str, int]]",
) -> None:
    async with testing.engine([report]):
        first = await report.trigger(1, tags=["vip", "eu"])
        await report.trigger(1, tags=["vip"])
        ended: list[str] = []
        async for run in runs.subscribe_to_runs_with_tag(["eu", "vip"]):
            if run.is_completed:
                ended.append(run.id)
                if len(ended) == 2:
                    break
                second = await report.trigger(2, tags=["eu", "vip"])
        assert ended == [first.id, second.id]


async def test_columns_that_are_skipped_are_empty(report: "Task[dict[str, int]]") -> None:
    async with testing.engine([report]):
        await report.trigger(4, tags="t")
        async for run in runs.subscribe_to_runs_with_tag("t", skip_columns=["payload"]):
            assert run.payload is None
            break
        async for run in runs.subscribe_to_runs_with_tag("t", created_at="1h"):
            assert run.payload == 4
            break


async def test_a_run_follows_others() -> None:
    @task(id="child")
    async def child(payload: int) -> int:
        return payload

    @task(id="watcher")
    async def watcher() -> list[int]:
        handle = await child.batch_trigger([{"payload": 1}, {"payload": 2}])
        outputs = {run.id: run.output async for run in runs.subscribe_to_batch(handle)}
        return [outputs[run_id] for run_id in handle.runs]

    async with testing.engine([child, watcher]) as engine:
        assert (await engine.run(watcher)).output == [1, 2]


def test_without_a_loop_the_same_names_are_under_sync(report: "Task[dict[str, int]]") -> None:
    with testing.sync.engine([report]):
        handle = report.sync.batch_trigger([{"payload": 1, "options": {"tags": ["t"]}}])
        assert [run.status for run in runs.sync.subscribe_to_batch(handle)][-1] == "COMPLETED"
        for run in runs.sync.subscribe_to_runs_with_tag("t"):
            assert run.output == {"pages": 1}
            break


async def test_what_is_not_there_is_an_error(report: "Task[dict[str, int]]") -> None:
    async with testing.engine([report]):
        with pytest.raises(NotFoundError, match="Batch not found"):
            await story(runs.subscribe_to_batch("batch_nope"))
        with pytest.raises(NotFoundError, match="Run not found"):
            await story(runs.subscribe_to_run("run_nope"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: runs.subscribe_to_runs_with_tag([]), "tag: give a tag"),
        (lambda: runs.subscribe_to_runs_with_tag("x" * 129), "tags: .* is no text of 1 to 128"),
        (lambda: runs.subscribe_to_runs_with_tag("a,b"), "tag: 'a,b' holds a comma"),
        (lambda: runs.subscribe_to_runs_with_tag("a", created_at="soon"), "created_at='soon' is no duration"),
        (lambda: runs.subscribe_to_runs_with_tag("a", skip_columns="payload"), "skip_columns='payload'"),
        (lambda: runs.subscribe_to_batch(cast(str, 5)), "batch=5 is no batch"),
        (lambda: runs.subscribe_to_run(cast(str, 5)), "5 is no run"),
    ],
)
async def test_mistakes_are_named(call: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        await story(call())


async def test_the_clock_stands_still_while_nobody_follows(report: "Task[dict[str, int]]") -> None:
    async with testing.engine([report]) as engine:
        handle = await report.trigger(2)
        begun = engine.now
        await engine.idle()
        assert engine.now == begun
        assert engine.find(handle).status == "WAITING"
        await asyncio.wait_for(story(runs.subscribe_to_run(handle)), 20)
        assert (engine.now - begun).total_seconds() >= 7200
