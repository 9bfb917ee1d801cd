"""Replay: from every prefix of the record, a run does the rest, and only the rest."""

import asyncio
import copy
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, capture, failed, ok, output_of
from triggerdev import Context, metadata, tags, task, tasks, wait
from triggerdev.protocol import OpRecord
from triggerdev.sdk.registry import Registry

Body = Callable[[], Awaitable[Any]]


async def sequence() -> Any:
    await tags.add("a")
    handle = await tasks.trigger("child", 1)
    result = await tasks.trigger_and_wait("child", 2)
    await wait.for_(seconds=60)
    batch = await tasks.batch_trigger_and_wait("child", [{"payload": 3}, {"payload": 4}])
    token = await wait.for_token("approval", timeout="1h")
    return [handle.id, result.output, [run.output for run in batch], token.output]


async def gathered() -> Any:
    calls = [tasks.trigger_and_wait("child", n) for n in range(3)]
    results = await asyncio.gather(*calls, wait.for_(seconds=5))
    return [result.output for result in results if result]


async def grouped() -> Any:
    async def branch(n: int) -> Any:
        await tasks.trigger("child", n)
        await wait.for_(seconds=n)
        return (await tasks.trigger_and_wait("child", n).unwrap()) * 10

    async with asyncio.TaskGroup() as group:
        branches = [group.create_task(branch(n)) for n in range(3)]
    return [done.result() for done in branches]


async def nested() -> Any:
    async def inner(n: int) -> Any:
        return sum(await asyncio.gather(one(n), one(n + 1)))

    async def one(n: int) -> Any:
        await wait.for_(seconds=1)
        return await tasks.trigger_and_wait("child", n).unwrap()

    first = await asyncio.create_task(inner(1))
    return first + sum(await asyncio.gather(inner(10), inner(20)))


async def completed_in_order() -> Any:
    outputs = []
    for next_done in asyncio.as_completed([tasks.trigger_and_wait("child", n) for n in range(3)]):
        outputs.append((await next_done).output)
    return sorted(outputs)


async def cleaning() -> Any:
    try:
        await tasks.trigger_and_wait("bad", 1).unwrap()
    except Exception as error:
        return str(error)
    finally:
        await wait.for_(seconds=1)
        await tasks.trigger("cleanup", None)


async def reporting() -> Any:
    metadata.set("progress", 0)
    await wait.for_(seconds=1)
    metadata.increment("progress", 5).append("logs", "half")
    await asyncio.gather(tasks.trigger_and_wait("child", 1), tasks.trigger_and_wait("child", 2))
    metadata.increment("progress", 5).append("logs", "whole")
    await metadata.flush()
    return metadata.current()


SHAPES = [sequence, gathered, grouped, nested, completed_in_order, cleaning, reporting]


def make_engine(registry: Registry) -> AsyncEngine:
    engine = AsyncEngine(registry)
    engine.children = {
        "child": lambda payload: ok(payload),
        "bad": lambda payload: failed("boom", task="bad"),
    }
    return engine


@pytest.mark.parametrize("body", SHAPES, ids=lambda body: body.__name__)
async def test_a_run_goes_on_from_every_prefix_of_its_record(registry: Registry, body: Body) -> None:
    @task(id="shape")
    async def shape() -> Any:
        return await body()

    whole = make_engine(registry)
    expected = output_of(await whole.run("shape"))
    full = copy.deepcopy(whole.record)
    metadata_after = dict(whole.metadata)
    assert len(full) > 1

    for count in range(len(full) + 1):
        for last_is_pending in {False, bool(count) and full[count - 1]["kind"] in _WAITING}:
            prefix = copy.deepcopy(full[:count])
            if last_is_pending:
                prefix[-1]["done"] = False
            engine = make_engine(registry)
            engine.metadata = _metadata_at(prefix)
            done = await engine.run("shape", record=prefix, metadata=dict(engine.metadata))
            assert output_of(done) == expected
            repeated = {op["op"] for op in engine.sent("op")} & {op["op"] for op in prefix}
            assert not repeated
            assert engine.metadata == metadata_after


_WAITING = {"wait", "wait_token", "trigger_and_wait", "batch_trigger_and_wait"}


def _metadata_at(prefix: list[OpRecord]) -> dict[str, Any]:
    results = [op["result"]["metadata"] for op in prefix if op["kind"] == "metadata"]
    return dict(results[-1]) if results else {}


async def test_operation_ids_are_paths_of_tasks_and_counters(registry: Registry) -> None:
    @task(id="shape")
    async def shape() -> None:
        await tags.add("a")
        await grouped()

    engine = make_engine(registry)
    await engine.run("shape")
    ids = {op["op"] for op in engine.record}
    assert ids == {"0:0"} | {f"0.{branch}:{number}" for branch in range(3) for number in range(3)}


async def test_another_operation_than_recorded_ends_the_run_and_names_both(registry: Registry) -> None:
    @task(id="changed")
    async def changed() -> Any:
        try:
            await tasks.trigger("new-child", 1)
        except Exception:
            return "swallowed"

    record: list[OpRecord] = [
        {"op": "0:0", "kind": "trigger", "target": "old-child", "done": True, "result": {"id": "run_2"}}
    ]
    done = await make_engine(registry).run("changed", record=record, max_attempts=5)
    assert done["outcome"] == "failed"
    assert done["skip_retry"] is True
    message = done["error"]["message"]
    assert done["error"]["name"] == "NonDeterminismError"
    for part in ("0:0", "trigger 'new-child'", "trigger 'old-child'", "version v1", "test_replay.py:"):
        assert part in message


@pytest.mark.parametrize(
    ("op", "how"),
    [("0.1:0", "gather"), ("0.0:0", "group"), ("0.s0.1:0", "step")],
)
async def test_an_operation_that_is_a_branch_by_itself_is_named_by_the_line_that_waits_for_it(
    registry: Registry, op: str, how: str
) -> None:
    async def gathered() -> None:
        await asyncio.gather(wait.for_(seconds=1), tasks.trigger("child", 1))  # the line

    @task
    async def changed(ctx: Context) -> None:
        if how == "gather":
            await gathered()
        elif how == "step":
            await ctx.step("gathered", gathered)
        async with asyncio.TaskGroup() as group:  # the line
            group.create_task(wait.for_(seconds=1))

    record: list[OpRecord] = [{"op": op, "kind": "tags", "target": None, "done": True, "result": {}}]
    done = await make_engine(registry).run("changed", record=record)
    message = done["error"]["message"]
    found = re.search(r"test_replay\.py:(\d+)", message)
    assert found, message
    assert "# the line" in Path(__file__).read_text().splitlines()[int(found.group(1)) - 1]


async def test_a_replayed_part_is_silent_and_the_rest_is_heard(registry: Registry) -> None:
    @task(id="talk")
    async def talk() -> None:
        print("one")
        await wait.for_(seconds=1)
        print("two")
        await wait.for_(seconds=1)
        print("three")

    with capture():
        engine = make_engine(registry)
        await engine.run("talk")
        assert engine.lines == ["one", "two", "three"]
        again = make_engine(registry)
        await again.run("talk", record=copy.deepcopy(engine.record))
        assert again.lines == ["three"]


async def test_start_hooks_that_have_run_do_not_run_again(registry: Registry) -> None:
    calls = []

    async def on_start() -> None:
        calls.append("on_start")
        await tags.add("from-hook")

    @task(id="hooked", on_start=on_start, on_start_attempt=lambda: calls.append("on_start_attempt"))
    async def hooked() -> str:
        calls.append("run")
        await wait.for_(seconds=1)
        return "done"

    engine = make_engine(registry)
    await engine.run("hooked")
    assert calls == ["on_start", "on_start_attempt", "run"]
    assert [op["op"] for op in engine.record] == ["0.on_start:0", "0:0"]

    calls.clear()
    assert output_of(await make_engine(registry).run("hooked", record=copy.deepcopy(engine.record))) == "done"
    assert calls == ["run"]

    calls.clear()  # a hook that was cut short runs again, and its own operations come from the record
    again = make_engine(registry)
    await again.run("hooked", record=copy.deepcopy(engine.record[:1]))
    assert calls == ["on_start", "on_start_attempt", "run"]
    assert [op["op"] for op in again.sent("op")] == ["0:0"]
