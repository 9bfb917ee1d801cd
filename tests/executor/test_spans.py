"""The spans of a run: nested by context, told once, and the same again in a replay."""

import asyncio
import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, Engine, SyncEngine, capture, output_of
from triggerdev import Context, _traces, logger, task, tasks, wait
from triggerdev.errors import PayloadError
from triggerdev.sdk.registry import Registry
from triggerdev.worker.executor import spans as book

ATTEMPT = _traces.attempt_span("run_1", 1)


def told(engine: Engine) -> dict[str, dict[str, Any]]:
    """What was told of each span last, by its name."""
    return {span["name"]: span for batch in engine.sent("spans") for span in batch["spans"]}


def parents(engine: Engine) -> dict[str, str]:
    """The name of each span's parent, by its name."""
    spans = told(engine)
    names = {span["id"]: name for name, span in spans.items()} | {ATTEMPT: "attempt"}
    return {name: names[span["parent"]] for name, span in spans.items()}


async def test_spans_have_attributes_events_and_a_length(registry: Registry) -> None:
    @task
    async def work() -> None:
        async with logger.trace("fetch", {"user.id": 7}) as span:
            span.set_attribute("found", True).set_attributes({"tags": ["a", "b"]})
            span.add_event("asked", {"tries": 2})

    engine = AsyncEngine(registry)
    await engine.run("work")
    span = told(engine)["fetch"]
    assert (span["kind"], span["parent"]) == ("user", ATTEMPT)
    assert span["attributes"] == {"user.id": 7, "found": True, "tags": ["a", "b"]}
    (event,) = span["events"]
    assert (event["name"], event["attributes"]) == ("asked", {"tries": 2})
    assert span["start"] <= event["at"] <= span["end"]
    assert engine.messages[-1]["t"] == "done"


async def test_spans_are_nested_by_context_in_gather_and_in_threads(registry: Registry) -> None:
    def in_thread(name: str) -> None:
        with logger.trace(name):
            pass

    async def branch(name: str) -> None:
        async with logger.trace(name):
            await asyncio.sleep(0)
            with logger.trace(f"in {name}"):
                await asyncio.sleep(0)

    @task
    async def work() -> None:
        async with logger.trace("outer"):
            await asyncio.gather(branch("a"), branch("b"))
            await asyncio.to_thread(in_thread, "to_thread")
            thread = threading.Thread(target=in_thread, args=("thread",))
            thread.start()
            thread.join()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(in_thread, "pool").result()
        await branch("after")

    from triggerdev.worker.executor.threads import follow_threads

    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    follow_threads()
    try:
        engine = AsyncEngine(registry)
        await engine.run("work")
    finally:
        threading.Thread.start, ThreadPoolExecutor.submit = start, submit  # type: ignore[method-assign]  # put back
    assert parents(engine) == {
        "outer": "attempt",
        "a": "outer",
        "b": "outer",
        "in a": "a",
        "in b": "b",
        "to_thread": "outer",
        "thread": "outer",
        "pool": "outer",
        "after": "attempt",
        "in after": "after",
    }


async def test_steps_waits_and_triggers_are_spans(registry: Registry) -> None:
    def charge() -> int:
        with logger.trace("inside"):
            return 3

    @task
    async def work(payload: None, ctx: Context) -> None:
        with logger.trace("all"):
            await ctx.step("charge", charge)
            await wait.for_(minutes=2)
            await wait.for_token("approval")
            await tasks.trigger("child", 1)
            await tasks.trigger_and_wait("child", 2)
            await tasks.batch_trigger("child", [{"payload": 1}, {"payload": 2}])

    engine = AsyncEngine(registry)
    output_of(await engine.run("work"))
    assert parents(engine) == {
        "all": "attempt",
        "charge": "all",
        "inside": "charge",
        "wait for 2m": "all",
        "wait for token approval": "all",
        "trigger child": "all",
        "trigger_and_wait child": "all",
        "batch_trigger of 2 runs": "all",
    }
    kinds = {name: span["kind"] for name, span in told(engine).items()}
    assert [kinds[name] for name in ("charge", "wait for 2m", "trigger child")] == ["step", "wait", "trigger"]
    assert told(engine)["trigger child"]["attributes"] == {"task": "child", "run": "trigger 0:3"}
    assert all("end" in span for span in told(engine).values())


async def test_children_get_the_span_that_triggers_them_as_parent(registry: Registry) -> None:
    @task
    async def work() -> None:
        await tasks.trigger_and_wait("child", 2)

    engine = AsyncEngine(registry)
    caller = f"00-{'a' * 32}-{'b' * 16}-00"
    await engine.run("work", traceparent=caller)
    op = engine.sent("op")[0]
    span = told(engine)["trigger_and_wait child"]
    assert op["args"]["traceparent"] == _traces.write("a" * 32, span["id"], 0)


async def test_a_failing_child_or_token_marks_its_wait(registry: Registry) -> None:
    from tests.executor.harness import failed

    @task
    async def work() -> bool:
        return (await tasks.trigger_and_wait("child", 2)).ok

    engine = AsyncEngine(registry)
    engine.children = {"child": lambda _: failed("boom")}
    assert output_of(await engine.run("work")) is False
    assert told(engine)["trigger_and_wait child"]["error"] == "ValueError: boom"


async def test_exceptions_mark_the_spans_that_they_leave(registry: Registry) -> None:
    def boom() -> None:
        raise ValueError("no\x1b[31m")

    @task
    async def work(payload: None, ctx: Context) -> None:
        try:
            with logger.trace("outer"), logger.trace("inner"):
                boom()
        except ValueError:
            pass
        with pytest.raises(ValueError, match="no"):
            await ctx.step("step", boom)
        with logger.trace("told") as span:
            span.set_error("half done")
        with logger.trace("fine"):
            pass

    engine = AsyncEngine(registry)
    output_of(await engine.run("work"))
    errors = {name: span.get("error") for name, span in told(engine).items()}
    text = "ValueError: no\x1b[31m"
    assert errors == {"outer": text, "inner": text, "step": text, "told": "half done", "fine": None}


async def test_a_function_can_be_traced(registry: Registry) -> None:
    async def fetch(span: logger.Span) -> str:
        span.set_attribute("found", True)
        await wait.for_(seconds=1)
        return "user"

    @task
    async def work() -> list[Any]:
        user = await logger.trace("fetch", fetch, {"id": 1})
        return [user, await logger.trace("count", lambda _: 3), logger.trace.sync("sum", lambda _: 4)]

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("work")) == ["user", 3, 4]
    assert told(engine)["fetch"]["attributes"] == {"id": 1, "found": True}
    assert parents(engine)["wait for 1s"] == "fetch"


def test_a_plain_function_has_spans_too(registry: Registry) -> None:
    @task
    def work() -> int:
        with logger.trace("outer"):
            wait.sync.for_(seconds=1)
            return logger.trace.sync("sum", lambda span: 4 if span.name == "sum" else 0)

    engine = SyncEngine(registry)
    assert output_of(engine.run("work")) == 4
    assert parents(engine) == {"outer": "attempt", "wait for 1s": "outer", "sum": "outer"}
    kinds = [message["t"] for message in engine.messages]
    assert kinds[-1] == "done"
    assert kinds[-2] == "spans"


async def test_lines_know_the_span_that_they_were_written_in(registry: Registry) -> None:
    @task
    async def work() -> None:
        print("outside")
        with logger.trace("part"):
            print("inside")
            logger.info("logged")

    engine = AsyncEngine(registry)
    with capture():
        await engine.run("work")
    lines = {line["message"]: line.get("span") for batch in engine.sent("logs") for line in batch["lines"]}
    part = told(engine)["part"]["id"]
    assert lines == {"outside": None, "inside": part, "logged": part}


async def replayed(registry: Registry, name: str, first: AsyncEngine, ops: int, **fields: Any) -> AsyncEngine:
    """Run a task again from the first operations of a record."""
    again = AsyncEngine(registry)
    record = copy.deepcopy(first.record[:ops])
    output_of(await again.run(name, record=record, resumed=True, **fields))
    return again


async def test_a_replay_tells_nothing_twice(registry: Registry) -> None:
    @task
    async def work(payload: None, ctx: Context) -> None:
        with logger.trace("first"):
            await wait.for_(seconds=1)
        await ctx.step("step", lambda: 1)
        with logger.trace("second"):
            await wait.for_(seconds=2)
        with logger.trace("third"):
            pass

    engine = AsyncEngine(registry)
    await engine.run("work")
    before = told(engine)
    assert set(before) == {"first", "wait for 1s", "step", "second", "wait for 2s", "third"}
    open_spans = {before[name]["id"]: before[name]["start"] for name in ("second", "wait for 2s")}
    again = await replayed(registry, "work", engine, 3, open_spans=open_spans)
    after = told(again)
    assert set(after) == {"second", "wait for 2s", "third"}
    assert {name: span["id"] for name, span in after.items()} == {name: before[name]["id"] for name in after}
    assert {after[name]["start"] for name in ("second", "wait for 2s")} == set(open_spans.values())
    assert after["second"]["end"] > before["second"]["end"]


async def test_what_a_wait_had_told_of_its_end_is_not_told_by_a_replay(registry: Registry) -> None:
    @task
    async def work() -> None:
        await wait.for_(seconds=1)
        with logger.trace("last"):
            pass

    engine = AsyncEngine(registry)
    await engine.run("work")
    again = await replayed(registry, "work", engine, 1, open_spans={})
    assert set(told(again)) == {"last"}


async def test_a_run_that_leaves_its_process_leaves_its_spans_open(registry: Registry) -> None:
    @task
    async def work() -> None:
        with logger.trace("part"):
            await wait.for_(hours=1)

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("work")
    park = await engine.until("park")
    engine.executor.handle({"t": "evict", "run": "run_1", "token": park["token"]})
    await engine.until("evicted")
    assert set(told(engine)) == {"part", "wait for 1h"}
    assert all("end" not in span for span in told(engine).values())


async def test_spans_are_told_before_the_run_parks_and_when_a_turn_is_over(registry: Registry) -> None:
    go_on = asyncio.Event()

    @task
    async def work() -> None:
        with logger.trace("long"):
            await go_on.wait()

    engine = AsyncEngine(registry)
    engine.start("work")
    begun = await engine.until("spans")
    assert [(span["name"], "end" in span) for span in begun["spans"]] == [("long", False)]
    go_on.set()
    await engine.until("done")
    assert "end" in told(engine)["long"]


async def test_the_number_of_spans_has_a_limit(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "MAX_SPANS", 3)

    @task
    async def work() -> None:
        for number in range(5):
            with logger.trace(f"part {number}"):
                pass

    engine = AsyncEngine(registry)
    output_of(await engine.run("work"))
    assert list(told(engine)) == ["part 0", "part 1", "part 2"]
    assert engine.lines == ["This attempt has more than 3 spans; further ones are not stored."]


async def test_values_that_attributes_cannot_have_become_text(registry: Registry) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @task
    async def work() -> None:
        with logger.trace("odd") as span:
            span.set_attributes({"dict": {"a": [1]}, "mixed": [1, "a"], "big": 2**70, "nan": float("nan")})
            span.set_attributes({"none": None, "odd": Odd(), "half": "\ud800", "empty": []})

    engine = AsyncEngine(registry)
    output_of(await engine.run("work"))
    found = told(engine)["odd"]["attributes"]
    assert found.pop("odd").startswith("<tests.executor.test_spans.")
    assert found == {
        "dict": '{"a":[1]}',
        "mixed": '[1,"a"]',
        "big": str(2**70),
        "nan": "nan",
        "half": "\\ud800",
        "empty": "[]",
    }


async def test_attributes_are_limited_in_number_and_length(registry: Registry) -> None:
    @task
    async def work() -> None:
        with logger.trace("full") as span:
            span.set_attribute("long", "ä" * 131_072)
            span.set_attribute("list", ["x" * 1000] * 1000)
            for number in range(2000):
                span.set_attribute(f"a{number}", number)
            span.set_attribute("a0", "still settable")
            for _ in range(200):
                span.add_event("again")

    engine = AsyncEngine(registry)
    output_of(await engine.run("work"))
    span = told(engine)["full"]
    found = span["attributes"]
    assert len(found) == 1024
    assert len(found["long"].encode()) == 131_072
    assert len(found["list"].encode()) == 131_072
    assert found["a0"] == "still settable"
    assert len(span["events"]) == 128


untyped: Any = logger


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: untyped.trace(7), "7 is no name of a span"),
        (lambda: untyped.trace(""), "'' is no name of a span"),
        (lambda: untyped.trace("x" * 257), "use a text of 1 to 256 characters"),
        (lambda: untyped.trace("x", [1]), r"attributes of span 'x' are \[1\]"),
        (lambda: untyped.trace("x", {1: 2}), r"set_attribute\(1, ...\) of span 'x': 1 is no name"),
        (lambda: untyped.trace("x").set_attribute("", 2), "'' is no name of an attribute"),
        (lambda: untyped.trace("x").add_event(3), r"add_event\(3, ...\) of span 'x': the name is no text"),
        (lambda: untyped.trace("x").add_event("y", [1]), r"\[1\] are no attributes"),
        (lambda: untyped.trace.sync("x", 4), "give a plain function"),
        (lambda: untyped.info("x", [1]), r"logger.info: the properties are \[1\]; use a mapping"),
    ],
)
def test_bad_input_is_named(wrong: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        wrong()


def test_outside_of_runs_a_span_only_measures() -> None:
    with logger.trace("part", {"a": 1}) as span:
        span.set_attribute("b", 2)
    assert span.attributes == {"a": 1, "b": 2}
    assert span.duration_ms > 0
    assert logger.trace.sync("sum", lambda _: 3) == 3
