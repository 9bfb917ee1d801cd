"""Steps: a function's result is recorded, and a replay gives it without calling the function."""

import asyncio
import copy
import signal
from collections.abc import Callable
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, SyncEngine, capture, in_any_order, ok, output_of
from triggerdev import (
    Context,
    ContextError,
    PayloadError,
    RunTimedOut,
    StepResultError,
    metadata,
    retry,
    tags,
    task,
    tasks,
    wait,
)
from triggerdev.protocol import MAX_STORED_BYTES, OpRecord
from triggerdev.sdk.registry import Registry


def ops(engine: AsyncEngine | SyncEngine) -> list[tuple[str, str, str | None]]:
    return [(op["op"], op["kind"], op["target"]) for op in engine.record]


async def test_a_step_is_called_once_and_its_result_recorded(registry: Registry) -> None:
    calls: list[Any] = []

    async def charge(order: dict[str, int], *, currency: str) -> dict[str, Any]:
        calls.append(order)
        return {"amount": order["amount"], "currency": currency}

    def plain(n: int) -> int:
        calls.append(n)
        return n + 1

    @task
    async def shop(payload: dict[str, int], ctx: Context) -> Any:
        return [await ctx.step("charge", charge, payload, currency="eur"), await ctx.step("plain", plain, 1)]

    engine = AsyncEngine(registry)
    expected = [{"amount": 3, "currency": "eur"}, 2]
    assert output_of(await engine.run("shop", {"amount": 3})) == expected
    assert ops(engine) == [("0:0", "step", "charge"), ("0:1", "step", "plain")]
    assert calls == [{"amount": 3}, 1]

    again = AsyncEngine(registry)
    done = await again.run("shop", {"amount": 3}, record=copy.deepcopy(engine.record))
    assert output_of(done) == expected
    assert len(calls) == 2
    assert again.sent("op") == []


async def test_a_step_gives_what_json_makes_of_it_the_first_time_too(registry: Registry) -> None:
    given: dict[Any, Any] = {
        "pair": (1, 2),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "big": 2**80,
        "tiny": 5e-324,
        "text": 'ä\U0001f600\x00"\u2028',
        1: None,
    }
    values: list[Any] = [given, None, [], "", 0, False]
    seen: list[Any] = []

    @task
    async def shop(ctx: Context) -> None:
        for value in values:
            seen.append(await ctx.step("make", copy.copy, value))

    engine = AsyncEngine(registry)
    await engine.run("shop")
    first, seen = seen, []
    await AsyncEngine(registry).run("shop", record=copy.deepcopy(engine.record))
    assert first == seen
    assert first[0] == {
        "pair": [1, 2],
        "at": "2026-01-01T00:00:00+00:00",
        "big": 2**80,
        "tiny": 5e-324,
        "text": given["text"],
        "1": None,
    }
    assert first[1:] == [None, [], "", 0, False]


async def test_what_a_step_does_has_ids_of_its_own(registry: Registry) -> None:
    async def inner(ctx: Context) -> list[Any]:
        await wait.for_(seconds=1)
        await ctx.step("innermost", tags.add, "deep")
        branches = [tasks.trigger_and_wait("child", n).unwrap() for n in range(2)]
        return await asyncio.gather(*branches)

    @task
    async def shop(ctx: Context) -> Any:
        await tags.add("before")
        return [await ctx.step("inner", inner, ctx), (await tasks.trigger("child", 9)).id]

    engine = AsyncEngine(registry)
    engine.children = {"child": ok}
    expected = output_of(await engine.run("shop"))
    assert sorted(op["op"] for op in engine.record) == [
        *("0.s1.0:0", "0.s1.1:0", "0.s1.s1:0", "0.s1:0", "0.s1:1", "0:0", "0:1", "0:2"),
    ]
    for count in range(len(engine.record) + 1):
        again = AsyncEngine(registry)
        again.children = {"child": ok}
        prefix = copy.deepcopy(engine.record[:count])
        assert output_of(await again.run("shop", record=prefix)) == expected
        assert in_any_order(again.record) == in_any_order(engine.record)


class DeclinedError(Exception):
    """An exception with attributes, as users write them."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"declined: {reason}")
        self.code = code
        self.reason = reason


async def test_a_failure_that_the_task_has_caught_is_raised_again_by_a_replay(registry: Registry) -> None:
    calls: list[str] = []

    async def fail() -> None:
        calls.append("fail")
        await tags.add("tried")
        metadata.set("tried", True)
        raise DeclinedError(51, reason="no money")

    @task
    async def shop(ctx: Context) -> Any:
        try:
            await ctx.step("fail", fail)
        except DeclinedError as error:
            print("caught")
            await wait.for_(seconds=1)
            return [str(error), error.code, error.reason, metadata.get("tried")]

    with capture():
        engine = AsyncEngine(registry)
        expected = ["declined: no money", 51, "no money", True]
        assert output_of(await engine.run("shop")) == expected
        assert [op["op"] for op in engine.record] == ["0.s0:0", "0.s0:m1", "0:0", "0:1", "0:1:r"]
        again = AsyncEngine(registry)
        assert output_of(await again.run("shop", record=copy.deepcopy(engine.record))) == expected
        assert calls == ["fail"]
        assert again.sent("op") == []
        assert (engine.lines, again.lines) == (["caught"], [])


class OddError(Exception):
    """An exception that JSON cannot hold."""

    def __init__(self) -> None:
        super().__init__(object())


async def test_a_failure_that_cannot_be_recorded_happens_again(registry: Registry) -> None:
    calls: list[str] = []

    def fail() -> None:
        calls.append("fail")
        print("failing")
        raise OddError

    @task
    async def shop(ctx: Context) -> str:
        with pytest.raises(OddError):
            await ctx.step("fail", fail)
        await wait.for_(seconds=1)
        return "went on"

    with capture():
        engine = AsyncEngine(registry)
        assert output_of(await engine.run("shop")) == "went on"
        assert ops(engine) == [("0:1", "wait", None)]
        again = AsyncEngine(registry)
        assert output_of(await again.run("shop", record=copy.deepcopy(engine.record))) == "went on"
        assert calls == ["fail", "fail"]
        assert (engine.lines, again.lines) == (["failing"], [])


async def test_a_step_that_is_retried_in_place_fails_as_often_as_before(registry: Registry) -> None:
    calls: list[int] = []

    async def fetch() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError("not yet")
        return "fetched"

    @task
    async def shop(ctx: Context) -> str:
        found = await retry.on_throw(lambda: ctx.step("fetch", fetch), max_attempts=5, min_timeout_in_ms=1)
        await wait.for_(seconds=1)
        return found

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("shop")) == "fetched"
    again = AsyncEngine(registry)
    assert output_of(await again.run("shop", record=copy.deepcopy(engine.record))) == "fetched"
    assert len(calls) == 3


async def test_a_failure_whose_class_is_gone_says_so(registry: Registry) -> None:
    @task
    async def shop(ctx: Context) -> None:
        await ctx.step("fail", print)

    error = {"module": __name__, "name": "Removed", "args": ["no"], "attributes": {}}
    record: list[OpRecord] = [
        {"op": "0:0", "kind": "step", "target": "fail", "done": True, "result": {"error": error}}
    ]
    done = await AsyncEngine(registry).run("shop", record=record)
    assert "test_steps.Removed ('no',), which this code does not have" in done["error"]["message"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {"a": [object()]}, "result of step 'make'.a[0]: a `object` object cannot be written"),
        (lambda: "x" * MAX_STORED_BYTES, "The result of step 'make' is 10,485,762 bytes as JSON"),
        (lambda: "\ud800", "result of step 'make': "),
    ],
)
async def test_a_result_that_cannot_be_recorded_fails_the_run_for_good(
    registry: Registry, make: Callable[[], Any], message: str
) -> None:
    @task
    async def shop(ctx: Context) -> None:
        await ctx.step("make", make)

    engine = AsyncEngine(registry)
    done = await engine.run("shop", max_attempts=3)
    assert (done["outcome"], done["skip_retry"]) == ("failed", True)
    assert done["error"]["name"] == StepResultError.__name__
    assert message in done["error"]["message"]
    assert [op["result"]["error"]["name"] for op in engine.record] == [StepResultError.__name__]


async def test_a_step_that_is_misused_says_how_to_use_it(registry: Registry) -> None:
    async def fetch() -> None: ...

    @task
    async def shop(ctx: Context) -> None:
        with pytest.raises(PayloadError, match="name of a step"):
            await ctx.step("", print)
        with pytest.raises(PayloadError, match="give a function"):
            await ctx.step("charge", misused(fetch()))
        with pytest.raises(ContextError, match=r"await ctx\.step"):
            ctx.step.sync("charge", int)
        with pytest.raises(ContextError, match="not in another thread"):
            await asyncio.to_thread(asyncio.run, _as_coroutine(ctx.step("x", print)))

    @task
    def plain(ctx: Context) -> None:
        with pytest.raises(ContextError, match="async function"):
            ctx.step.sync("charge", misused(fetch))

    engine = AsyncEngine(registry)
    output_of(await engine.run("shop"))
    assert engine.record == []
    sync_engine = SyncEngine(registry)
    await asyncio.to_thread(sync_engine.run, "plain")
    output_of(sync_engine.messages[-1])


def misused(value: Any) -> Any:
    return value


async def _as_coroutine(call: Any) -> Any:
    return await call


async def test_steps_in_branches_are_recorded_in_each(registry: Registry) -> None:
    calls: list[int] = []

    async def work(n: int) -> int:
        calls.append(n)
        await wait.for_(seconds=1)
        return n

    @task
    async def wide(ctx: Context) -> Any:
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(ctx.step("work", work, n)) for n in range(3)]
        return [*(each.result() for each in made), *await asyncio.gather(ctx.step("work", work, 3))]

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("wide")) == [0, 1, 2, 3]
    again = AsyncEngine(registry)
    assert output_of(await again.run("wide", record=copy.deepcopy(engine.record))) == [0, 1, 2, 3]
    assert calls == [0, 1, 2, 3]


async def test_a_run_that_is_evicted_inside_a_step_does_the_rest_of_it_elsewhere(registry: Registry) -> None:
    calls: list[str] = []

    async def slow() -> str:
        calls.append("called")
        try:
            await wait.for_(hours=1)
        except BaseException as error:  # swallowed on purpose: nothing may be recorded all the same
            calls.append(type(error).__name__)
        return "slow"

    @task
    async def shop(ctx: Context) -> str:
        return await ctx.step("slow", slow)

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("shop")
    park = await engine.until("park")
    assert park["ops"] == ["0.s0:0"]
    engine.executor.handle({"t": "evict", "run": "run_1", "token": 1})
    await engine.until("evicted")
    assert calls == ["called", "RunEvicted"]
    assert ops(engine) == [("0.s0:0", "wait", None)]

    again = AsyncEngine(registry)
    assert output_of(await again.run("shop", record=copy.deepcopy(engine.record))) == "slow"
    assert ops(again) == [("0.s0:0", "wait", None), ("0:0", "step", "slow")]


async def test_a_run_that_is_cancelled_inside_a_step_records_nothing(registry: Registry) -> None:
    @task
    async def shop(ctx: Context) -> None:
        await ctx.step("slow", wait.for_, hours=1)

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("shop")
    await engine.until("park")
    engine.executor.handle({"t": "cancel", "run": "run_1", "token": 1, "reason": "cancelled"})
    assert (await engine.until("done"))["outcome"] == "cancelled"
    assert ops(engine) == [("0.s0:0", "wait", None)]


async def test_steps_in_hooks_and_middleware(registry: Registry) -> None:
    calls: list[str] = []

    def note(text: str) -> str:
        calls.append(text)
        return text

    async def on_start(ctx: Context) -> None:
        await ctx.step("start", note, "start")

    async def around(ctx: Context, next: Callable[[], Any]) -> None:
        await ctx.step("around", note, "around")
        await next()

    async def first(ctx: Context) -> None:
        await ctx.step("first", note, "first")

    async def second(ctx: Context) -> None:
        await ctx.step("second", note, "second")

    @task(on_start=on_start, middleware=around, on_success=[first, second])
    async def shop(ctx: Context) -> str:
        return await ctx.step("run", note, "run")

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("shop")) == "run"
    assert calls == ["around", "start", "run", "first", "second"]
    assert len({op["op"] for op in engine.record}) == 5
    assert output_of(await AsyncEngine(registry).run("shop", record=copy.deepcopy(engine.record))) == "run"
    assert len(calls) == 5


async def test_another_step_than_recorded_ends_the_run_and_names_both(registry: Registry) -> None:
    @task
    async def shop(ctx: Context) -> None:
        await ctx.step("new name", print)

    record: list[OpRecord] = [
        {"op": "0:0", "kind": "step", "target": "old name", "done": True, "result": {"output": None}}
    ]
    done = await AsyncEngine(registry).run("shop", record=record, max_attempts=5)
    assert (done["error"]["name"], done["skip_retry"]) == ("NonDeterminismError", True)
    for part in ("0:0", "step 'new name'", "step 'old name'", "version v1", "test_steps.py:"):
        assert part in done["error"]["message"]


async def test_what_a_recorded_step_printed_stays_silent_and_what_follows_is_heard(
    registry: Registry,
) -> None:
    async def talk() -> None:
        print("in the step")
        await wait.for_(seconds=1)
        print("after its wait")

    @task
    async def shop(ctx: Context) -> None:
        await ctx.step("talk", talk)
        print("after the step")

    with capture():
        engine = AsyncEngine(registry)
        await engine.run("shop")
        assert engine.lines == ["in the step", "after its wait", "after the step"]
        for count, heard in ((2, ["after the step"]), (1, ["after its wait", "after the step"])):
            again = AsyncEngine(registry)
            await again.run("shop", record=copy.deepcopy(engine.record[:count]))
            assert again.lines == heard


async def test_metadata_that_a_step_changed_shows_after_its_replay(registry: Registry) -> None:
    seen: list[Any] = []

    async def count() -> None:
        metadata.increment("n", 2).append("steps", "begun")
        await wait.for_(seconds=1)
        metadata.increment("n", 3)

    @task
    async def shop(ctx: Context) -> None:
        metadata.set("n", 1)
        await ctx.step("count", count)
        seen.append(copy.deepcopy(metadata.current()))
        await wait.for_(seconds=1)
        seen.append(copy.deepcopy(metadata.current()))

    engine = AsyncEngine(registry)
    engine.metadata = {"n": 0}
    await engine.run("shop", metadata={"n": 0})
    again = AsyncEngine(registry)
    first, seen = seen, []
    await again.run("shop", record=copy.deepcopy(engine.record), metadata=dict(engine.metadata))
    assert seen == first == [{"n": 6, "steps": ["begun"]}] * 2
    assert again.sent("op") == []


def test_a_plain_function_s_steps(registry: Registry) -> None:
    calls: list[str] = []

    def charge(name: str) -> str:
        calls.append(name)
        wait.sync.for_(seconds=1)
        return f"charged {name}"

    @task
    def shop(ctx: Context) -> Any:
        return [ctx.step.sync("charge", charge, name) for name in ("a", "b")]

    engine = SyncEngine(registry)
    expected = ["charged a", "charged b"]
    assert output_of(engine.run("shop")) == expected
    assert [op["op"] for op in engine.record] == ["0.s0:0", "0:0", "0.s1:0", "0:1"]
    for count in range(5):
        calls.clear()
        again = SyncEngine(registry)
        assert output_of(again.run("shop", record=copy.deepcopy(engine.record[:count]))) == expected
        assert len(calls) == 2 - count // 2
        assert in_any_order(again.record) == in_any_order(engine.record)


def test_a_signal_is_raised_inside_a_plain_step(registry: Registry) -> None:
    seen: list[str] = []

    def loop_for_ever() -> None:
        try:
            signal.raise_signal(signal.SIGUSR1)
        except RunTimedOut:
            seen.append("timed out")
            raise

    @task
    def shop(ctx: Context) -> None:
        ctx.step.sync("loop", loop_for_ever)

    engine = SyncEngine(registry)

    def handle(number: int, frame: FrameType | None) -> None:
        engine.executor.interrupt("timed_out")

    previous = signal.signal(signal.SIGUSR1, handle)
    try:
        assert engine.run("shop")["outcome"] == "timed_out"
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert seen == ["timed out"]
    assert engine.record == []


def test_async_hooks_of_a_plain_function_have_steps(registry: Registry) -> None:
    calls: list[str] = []

    async def fetch(text: str) -> str:
        await asyncio.sleep(0)
        calls.append(text)
        return text

    async def around(ctx: Context, next: Callable[[], Any]) -> None:
        await ctx.step("before", fetch, "before")
        await next()
        await asyncio.gather(ctx.step("after", fetch, "after"), ctx.step("too", fetch, "too"))

    @task(middleware=around)
    def shop(ctx: Context) -> str:
        return ctx.step.sync("run", str, "run")

    engine = SyncEngine(registry)
    assert output_of(engine.run("shop")) == "run"
    assert calls == ["before", "after", "too"]
    assert {op["target"] for op in engine.record} == {"before", "run", "after", "too"}
    again = SyncEngine(registry)
    assert output_of(again.run("shop", record=copy.deepcopy(engine.record))) == "run"
    assert (len(calls), again.sent("op")) == (3, [])
