"""Plain functions: the same operations, blocking; interrupted only in user code."""

import copy
import signal
import sys
from types import FrameType
from typing import Any

import pytest

from tests.executor.harness import SyncEngine, capture, failed, ok, output_of
from triggerdev import (
    ContextError,
    RunCancelled,
    RunEvicted,
    RunTimedOut,
    SubtaskUnwrapError,
    metadata,
    runs,
    tags,
    task,
    tasks,
    usage,
    wait,
)
from triggerdev.sdk.registry import Registry


def test_a_plain_function_waits_triggers_and_returns(registry: Registry) -> None:
    @task(id="child")
    def child(payload: Any) -> Any: ...

    @task
    def blocking() -> Any:
        tags.sync.add("a")
        wait.sync.for_(seconds=5)
        output = child.sync.trigger_and_wait({"n": 1}).unwrap()
        batch = tasks.sync.batch_trigger_and_wait("child", [{"payload": 1}, {"payload": 2}])
        approval = wait.sync.for_token("approval")
        return [output, [run.output for run in batch.runs], approval.output]

    engine = SyncEngine(registry)
    assert output_of(engine.run("blocking")) == [{"n": 1}, [1, 2], "approved"]
    assert [op["op"] for op in engine.record] == [f"0:{number}" for number in range(5)]
    assert len(engine.sent("park")) == 4


def test_a_plain_function_is_replayed_from_every_prefix(registry: Registry) -> None:
    @task
    def blocking() -> Any:
        handle = tasks.sync.trigger("child", 1)
        wait.sync.for_(seconds=5)
        metadata.set("a", 1)
        return [handle.id, tasks.sync.trigger_and_wait("child", 2).output]

    whole = SyncEngine(registry)
    expected = output_of(whole.run("blocking"))
    for count in range(len(whole.record) + 1):
        engine = SyncEngine(registry)
        prefix = copy.deepcopy(whole.record[:count])
        assert output_of(engine.run("blocking", record=prefix)) == expected
        repeated = {op["op"] for op in engine.sent("op")} & {op["op"] for op in prefix}
        assert not repeated


def test_a_failing_child_raises_when_unwrapped(registry: Registry) -> None:
    @task
    def parent() -> str:
        result = tasks.sync.trigger_and_wait("child", 1)
        assert not result.ok
        with pytest.raises(SubtaskUnwrapError, match="boom"):
            result.unwrap()
        return str(result.error)

    engine = SyncEngine(registry)
    engine.children = {"child": lambda payload: failed("boom")}
    assert output_of(engine.run("parent")) == "boom"


def test_a_parked_function_can_be_evicted_and_cancelled(registry: Registry) -> None:
    seen: list[str] = []

    @task(on_cancel=lambda: seen.append("hook"))
    def parked() -> None:
        try:
            wait.sync.for_(hours=1)
        finally:
            with pytest.raises((RunEvicted, RunCancelled)) as caught:
                tags.sync.add("x")
            seen.append(caught.type.__name__)

    engine = SyncEngine(registry)
    order = {"run": "run_1", "token": 1}
    engine.on_park = lambda: engine.inbox.append({"t": "evict", **order})
    assert engine.run("parked") == {"t": "evicted", **order}
    engine.on_park = lambda: engine.inbox.append({"t": "cancel", "reason": "cancelled", **order})
    assert engine.run("parked")["outcome"] == "cancelled"
    assert seen == ["RunEvicted", "hook", "RunCancelled"]


def test_a_result_that_crosses_park_comes_with_resume(registry: Registry) -> None:
    @task
    def blocking() -> Any:
        return tasks.sync.trigger_and_wait("child", 1).unwrap()

    engine = SyncEngine(registry)

    def cross() -> None:  # the engine sent the result before it knew that the run has parked
        result = engine.find("0:0")["result"]
        engine.inbox.append({"t": "op_done", "run": "run_1", "token": 1, "op": "0:0", "result": result})
        engine.resume()

    engine.on_park = cross
    done = engine.run("blocking")
    assert (output_of(done), done["token"]) == (1, 2)


class Interrupter:
    """Calls executor.interrupt from a real signal handler, as a worker does."""

    def __init__(self, engine: SyncEngine, reason: str) -> None:
        self.engine = engine
        self.reason = reason
        signal.signal(signal.SIGUSR1, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.engine.executor.interrupt(self.reason)

    def ring(self) -> None:
        signal.raise_signal(signal.SIGUSR1)


@pytest.mark.parametrize(
    ("reason", "error", "outcome"),
    [("timed_out", RunTimedOut, "timed_out"), ("cancelled", RunCancelled, "cancelled")],
)
def test_a_signal_raises_in_user_code(
    registry: Registry, reason: str, error: type[BaseException], outcome: str
) -> None:
    seen: list[str] = []

    @task(on_cancel=lambda: seen.append("hook"))
    def busy() -> None:
        try:
            interrupter.ring()
            seen.append("went on")
        except error:
            seen.append("raised")
            raise

    engine = SyncEngine(registry)
    interrupter = Interrupter(engine, reason)
    assert engine.run("busy")["outcome"] == outcome
    assert seen == ["raised"] + ["hook"] * (reason == "cancelled")


def test_a_signal_in_the_framework_is_raised_at_its_border(registry: Registry) -> None:
    seen: list[str] = []

    @task
    def busy() -> None:
        try:
            tags.sync.add("x")
            seen.append("went on")
        except RunTimedOut:
            seen.append("raised after the operation")
            raise

    engine = SyncEngine(registry)
    interrupter = Interrupter(engine, "timed_out")
    send = engine.send

    def send_under_signal(message: Any) -> None:
        if message["t"] == "op":
            interrupter.ring()
        send(message)

    engine.send = send_under_signal  # type: ignore[method-assign]  # the moment is what is tested
    assert engine.run("busy")["outcome"] == "timed_out"
    assert seen == ["raised after the operation"]
    assert len(engine.record) == 1


def test_a_signal_between_runs_does_nothing(registry: Registry) -> None:
    engine = SyncEngine(registry)
    Interrupter(engine, "timed_out").ring()


def test_a_signal_while_printing_does_not_lose_the_line(registry: Registry) -> None:
    @task
    def talk() -> None:
        print("one")
        interrupter.ring()

    engine = SyncEngine(registry)
    interrupter = Interrupter(engine, "timed_out")
    with capture():
        engine.run("talk")
    assert engine.lines == ["one"]


def test_bare_calls_work_through_asyncio_run_inside_a_plain_function(registry: Registry) -> None:
    import asyncio

    @task
    def mixed() -> Any:
        async def inner() -> Any:
            with pytest.raises(ContextError, match=r"await wait.for_"):
                wait.sync.for_(seconds=1)
            await wait.for_(seconds=1)
            return (await tasks.trigger_and_wait("child", 1)).output

        return asyncio.run(inner())

    engine = SyncEngine(registry)
    engine.children = {"child": ok}
    assert output_of(engine.run("mixed")) == 1


def test_a_refusal_and_an_exit_fail_the_run(registry: Registry) -> None:
    @task
    def refused() -> None:
        tasks.sync.trigger("missing")

    @task
    def leaving() -> None:
        sys.exit(4)

    engine = SyncEngine(registry)
    engine.refuse["trigger"] = ("UnknownTaskError", "Task 'missing' not found.")
    assert engine.run("refused")["error"]["name"] == "UnknownTaskError"
    assert engine.run("leaving")["error"]["name"] == "SystemExit"
    assert engine.run("nowhere")["error"]["code"] == "COULD_NOT_FIND_TASK"


def test_parked_time_is_no_compute_time(registry: Registry) -> None:
    import threading

    @task
    def sleepy() -> float:
        wait.sync.for_(hours=1)
        return usage.get_current().duration_ms

    engine = SyncEngine(registry)

    def take_time() -> None:
        threading.Event().wait(0.15)
        engine.resume()

    engine.on_park = take_time
    assert output_of(engine.run("sleepy")) < 100


def test_runs_are_looked_at_over_http_also_inside_a_run(registry: Registry) -> None:
    @task
    def looking() -> str:
        with pytest.raises(ContextError, match="TRIGGER_API_URL"):
            runs.sync.retrieve("run_2")
        return "asked"

    assert output_of(SyncEngine(registry).run("looking")) == "asked"
