"""What a replay sees of the run itself is what the first execution saw."""

import asyncio
import copy
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, SyncEngine, capture, in_any_order, output_of
from triggerdev import Context, ContextError, idempotency_keys, metadata, tags, task, tasks, wait
from triggerdev.protocol import OpRecord
from triggerdev.sdk.registry import Registry


async def replay(registry: Registry, record: list[OpRecord], **fields: Any) -> AsyncEngine:
    engine = AsyncEngine(registry)
    engine.metadata = dict(fields.get("metadata") or {})
    await engine.run("shape", record=copy.deepcopy(record), **fields)
    return engine


async def test_metadata_begins_as_it_was_when_it_was_first_read(registry: Registry) -> None:
    @task
    async def shape() -> Any:
        if metadata.get("seen") is None:
            await tasks.trigger("only-the-first-time", 1)
        metadata.set("seen", True).increment("n", 1)
        await wait.for_(seconds=1)
        return metadata.current()

    engine = AsyncEngine(registry)
    expected = output_of(await engine.run("shape", metadata={}))
    assert expected == {"seen": True, "n": 1}
    for count in range(1, len(engine.record) + 1):
        record = engine.record[:count]
        results = [op["result"]["metadata"] for op in record if op["kind"] == "metadata"]
        again = await replay(registry, record, metadata=results[-1] if results else {})
        assert output_of(again.sent("done")[0]) == expected
        assert in_any_order(again.record) == in_any_order(engine.record)


async def test_metadata_that_is_only_read_at_the_end_is_no_operation(registry: Registry) -> None:
    @task
    async def shape() -> Any:
        return metadata.get("from")

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("shape", metadata={"from": "outside"})) == "outside"
    assert engine.sent("op") == []


async def test_tags_begin_as_they_were_before_the_first_were_added(registry: Registry) -> None:
    seen: list[list[str]] = []

    @task
    async def shape(ctx: Context) -> None:
        seen.append(list(ctx.run.tags))
        await tags.add("b")
        seen.append(list(ctx.run.tags))

    result = {"tags": ["a", "b"], "before": ["a"]}
    record: list[OpRecord] = [{"op": "0:0", "kind": "tags", "target": None, "done": True, "result": result}]
    await replay(registry, record, tags=["a", "b", "from outside"])
    assert seen == [["a"], ["a", "b"]]


async def test_keys_are_the_same_in_each_replay(registry: Registry) -> None:
    keys: list[list[str]] = []

    @task
    async def shape() -> None:
        scopes: tuple[Any, ...] = ("run", "attempt", "global")
        keys.append([str(await idempotency_keys.create(["a", "b"], scope=scope)) for scope in scopes])
        await wait.for_(seconds=1)

    engine = AsyncEngine(registry)
    await engine.run("shape")
    await replay(registry, engine.record)
    await replay(registry, [], attempt=2)
    first, again, later = keys
    assert first == again
    assert [one == other for one, other in zip(first, later, strict=True)] == [True, False, True]


async def test_a_function_that_ends_before_its_record_ends_well_with_a_warning(registry: Registry) -> None:
    @task
    async def shape(ctx: Context) -> str:
        await ctx.step("kept", dict)
        print("the end")
        return "end"

    async def add() -> None:
        await tags.add("x")

    @task
    async def before(ctx: Context) -> None:
        await ctx.step("kept", add)
        await tasks.trigger("taken-out", 1)
        await wait.for_(seconds=1)

    engine = AsyncEngine(registry)
    await engine.run("before")
    with capture():
        again = await replay(registry, engine.record)
        assert output_of(again.sent("done")[0]) == "end"
        (warning,) = again.lines
    assert "ended without 2 of the operations" in warning
    assert "0:1, trigger 'taken-out'" in warning
    assert "version v1" in warning


async def test_lines_beside_a_branch_that_ended_without_its_record_are_heard(registry: Registry) -> None:
    @task
    async def shape() -> None:
        branch = asyncio.create_task(wait.for_(seconds=1))
        await asyncio.sleep(0)
        branch.cancel()
        await asyncio.wait({branch})
        print("the end")

    left: OpRecord = {"op": "0.0:1", "kind": "wait", "target": None, "done": True, "result": None}
    with capture():
        engine = await replay(registry, [left])
        assert engine.lines == ["the end"]


async def test_lines_after_a_wait_that_brought_metadata_are_heard_once(registry: Registry) -> None:
    @task
    async def shape() -> None:
        metadata.set("a", 1)
        for n in range(3):
            await wait.for_(seconds=1)
            print(n)

    with capture():
        engine = AsyncEngine(registry)
        await engine.run("shape")
        record = [op for op in engine.record if op["op"] != "0:2:r"]
        again = await replay(registry, record, metadata={"a": 1})
        assert (engine.lines, again.lines) == (["0", "1", "2"], ["2"])


def test_an_operation_of_another_thread_is_refused_in_a_plain_function(registry: Registry) -> None:
    problems: list[str] = []

    def attempt(call: Callable[[], Any]) -> None:
        with pytest.raises(ContextError) as caught:
            call()
        problems.append(str(caught.value))

    @task
    def plain(ctx: Context) -> None:
        calls: list[Callable[[], Any]] = [
            lambda: wait.sync.for_(seconds=1),
            lambda: ctx.step.sync("x", dict),
            metadata.sync.flush,
        ]
        for call in calls:
            thread = threading.Thread(target=copy_context().run, args=(attempt, call))
            thread.start()
            thread.join()
        wait.sync.for_(seconds=1)

    engine = SyncEngine(registry)
    engine.run("plain")
    assert [op["op"] for op in engine.record] == ["0:0"]
    assert len(problems) == 3
    assert "not in another thread" in problems[0]
