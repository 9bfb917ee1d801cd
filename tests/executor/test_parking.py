"""Parking: a run gives back its slot when all of it waits, and never while something of it moves."""

import asyncio
import time
from typing import Any

from tests.executor.harness import AsyncEngine, ok, output_of
from triggerdev import Context, metadata, retry, task, tasks, usage, wait
from triggerdev.protocol import OpRecord
from triggerdev.sdk.registry import Registry


async def test_a_wait_parks_the_run_with_its_operation(registry: Registry) -> None:
    @task
    async def sleepy() -> str:
        await wait.for_(hours=1)
        return "awake"

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("sleepy")) == "awake"
    (park,) = engine.sent("park")
    assert (park["token"], park["ops"]) == (1, ["0:0"])
    assert engine.sent("done")[0]["token"] == 2
    assert engine.sent("op")[0]["args"] == {"for_ms": 3_600_000}


async def test_branches_that_all_wait_are_parked_together(registry: Registry) -> None:
    @task
    async def wide() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait.for_(seconds=1))
            group.create_task(wait.for_(seconds=2))
            await wait.for_(seconds=3)

    engine = AsyncEngine(registry)
    await engine.run("wide")
    (park,) = engine.sent("park")
    assert sorted(park["ops"]) == ["0.0:0", "0.1:0", "0:0"]


async def test_branches_below_one_of_our_calls_are_parked_together(registry: Registry) -> None:
    async def grouped(days: int) -> int:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait.for_(days=days))
        return days

    @task
    async def wide(ctx: Context) -> Any:
        below = await ctx.step("grouped", grouped, 1)
        repeated = await retry.on_throw(lambda: grouped(2))
        return [below, repeated, *await asyncio.gather(ctx.step("a", grouped, 3), ctx.step("b", grouped, 4))]

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("wide")) == [1, 2, 3, 4]
    assert [sorted(park["ops"]) for park in engine.sent("park")] == [
        *(["0.s0.0:0"], ["0.0:0"], ["0.1.s0.0:0", "0.2.s0.0:0"]),
    ]


async def test_a_run_with_a_branch_that_works_is_not_parked(registry: Registry) -> None:
    working = asyncio.Event()

    @task
    async def busy() -> str:
        waiting = asyncio.create_task(wait.for_(hours=1))
        await working.wait()
        await waiting
        return "both"

    engine = AsyncEngine(registry)
    engine.start("busy")
    operation = await engine.until("op")
    engine.executor.handle(_op_done(operation["op"]))  # completed while the other branch runs
    working.set()
    assert output_of(await engine.until("done")) == "both"
    assert engine.sent("park") == []


async def test_a_run_beside_a_timer_of_its_own_is_not_parked(registry: Registry) -> None:
    @task
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.01):
                await wait.for_token("never")
        except TimeoutError:
            return "gave up"
        return "?"

    engine = AsyncEngine(registry)
    engine.held = {"wait_token"}
    assert output_of(await engine.run("impatient")) == "gave up"
    assert engine.sent("park") == []


async def test_a_run_beside_a_long_timer_waits_without_a_slot(registry: Registry) -> None:
    beats: list[str] = []

    async def beat() -> None:
        while True:
            beats.append("beat")
            await asyncio.sleep(0.02)

    @task
    async def beating() -> str:
        heart = asyncio.create_task(beat())
        try:
            async with asyncio.timeout(600):
                await wait.for_token("late")
        finally:
            heart.cancel()
        return "done"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.executor.patience_seconds = 0.03
    engine.start("beating")
    park = await engine.until("park")
    heard = len(beats)
    assert park["wake_at"] <= time.time() * 1000 + 21  # when its heart beats again
    await asyncio.sleep(0.03)  # the time itself is what is tested
    assert len(beats) == heard
    engine.resume([])
    await engine.until("park", 2)
    assert len(beats) > heard
    engine.resume()
    assert output_of(await engine.until("done")) == "done"


async def test_a_timeout_that_passes_while_a_run_is_parked_is_raised_once_it_goes_on(
    registry: Registry,
) -> None:
    @task
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.05):
                await wait.for_token("never")
        except TimeoutError:
            return "gave up"
        return "?"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.executor.patience_seconds = 0.01
    engine.start("impatient")
    await engine.until("park")
    await asyncio.sleep(0.06)  # the time itself is what is tested
    assert engine.sent("done") == []
    engine.resume([])
    assert output_of(await engine.until("done")) == "gave up"


async def test_a_callback_that_is_due_acts_before_a_replayed_run_is_parked(registry: Registry) -> None:
    @task
    async def late() -> str:
        try:
            async with asyncio.timeout(0):  # overdue at once, as on a machine that is slow
                await wait.for_token("never")
        except TimeoutError:
            return "gave up"
        return "?"

    engine = AsyncEngine(registry)
    record: list[OpRecord] = [{"op": "0:0", "kind": "wait_token", "target": "never", "done": False}]
    assert output_of(await engine.run("late", record=record)) == "gave up"
    assert engine.sent("park") == []


async def test_a_timer_set_by_code_that_a_thread_has_woken_asks_for_a_slot(registry: Registry) -> None:
    rung = asyncio.Event()

    @task
    async def threaded() -> str:
        async def listening() -> None:
            await rung.wait()
            await asyncio.sleep(0.01)

        branch = asyncio.create_task(listening())
        await wait.for_token("late")
        await branch
        return "done"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("threaded")
    await engine.until("park")
    rung.set()
    assert (await engine.until("wake"))["token"] == 1
    engine.resume()
    assert output_of(await engine.until("done")) == "done"


async def test_cancelling_a_run_with_a_timer_that_is_due(registry: Registry) -> None:
    @task(on_cancel=lambda: asyncio.sleep(0.01))
    async def sleepy() -> None:
        try:
            await asyncio.gather(wait.for_token("never"), asyncio.sleep(0.05))
        finally:
            await asyncio.sleep(0.01)

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.executor.patience_seconds = 0.01
    engine.start("sleepy")
    await engine.until("park")
    await asyncio.sleep(0.06)  # the time itself is what is tested
    engine.executor.handle({"t": "cancel", "run": "run_1", "token": 1, "reason": "cancelled"})
    assert (await engine.until("done"))["outcome"] == "cancelled"


async def test_a_parked_run_goes_on_under_its_new_token_only(registry: Registry) -> None:
    @task
    async def sleepy() -> str:
        await wait.for_(hours=1)
        return "awake"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("sleepy")
    await engine.until("park")
    record: list[Any] = [{"op": "0:0", "kind": "wait", "target": None, "done": True, "result": None}]
    stale = {"t": "resume", "run": "run_1", "old": 7, "token": 8, "ops": record}
    engine.executor.handle(stale)
    assert engine.sent("done") == []
    engine.executor.handle(stale | {"old": 1, "token": 2})
    assert (await engine.until("done"))["token"] == 2


async def test_a_result_that_crosses_park_comes_with_resume(registry: Registry) -> None:
    @task
    async def sleepy() -> str:
        await wait.for_(hours=1)
        return "awake"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("sleepy")
    await engine.until("park")
    engine.executor.handle(_op_done("0:0"))  # sent before the engine knew that the run has parked
    for _ in range(20):  # turns of the loop, in which the run must not move
        await asyncio.sleep(0)
    assert engine.sent("done") == []
    engine.resume()
    assert (await engine.until("done"))["token"] == 2


async def test_a_run_that_is_not_here_cannot_be_resumed(registry: Registry) -> None:
    engine = AsyncEngine(registry)
    engine.executor.handle({"t": "resume", "run": "run_1", "old": 1, "token": 2, "ops": []})
    assert (await engine.until("evicted")) == {"t": "evicted", "run": "run_1", "token": 2}


async def test_time_spent_parked_is_no_compute_time(registry: Registry) -> None:
    @task
    async def sleepy() -> float:
        await wait.for_(hours=1)
        return usage.get_current().attempt.duration_ms

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("sleepy", usage_ms=5000, usage_before=5000)
    park = await engine.until("park")
    await asyncio.get_running_loop().run_in_executor(None, _pass_time, 0.2)
    engine.resume()
    done = await engine.until("done")
    assert output_of(done) < 150
    assert 5000 <= park["usage_ms"] <= done["usage_ms"] < 5150


def _pass_time(seconds: float) -> None:
    import threading

    threading.Event().wait(seconds)


async def test_hooks_surround_a_wait(registry: Registry) -> None:
    seen: list[Any] = []

    @task(
        on_wait=lambda wait: seen.append(("wait", wait["type"], wait["target"])),
        on_resume=lambda wait: seen.append(("resume", wait["type"])),
    )
    async def sleepy() -> None:
        await tasks.trigger_and_wait("child", 1)
        seen.append("went on")

    engine = AsyncEngine(registry)
    engine.children = {"child": ok}
    await engine.run("sleepy")
    assert seen == [("wait", "task", "child"), ("resume", "task"), "went on"]


async def test_metadata_is_refreshed_when_children_have_ended(registry: Registry) -> None:
    @task
    async def parent() -> Any:
        metadata.set("done", 0)
        await tasks.batch_trigger_and_wait("child", [{"payload": 1}, {"payload": 2}])
        return metadata.current()

    engine = AsyncEngine(registry)

    def child(payload: Any) -> dict[str, Any]:
        engine.metadata["done"] = engine.metadata.get("done", 0) + 1
        return ok(payload)

    engine.children = {"child": child}
    assert output_of(await engine.run("parent")) == {"done": 2}


async def test_metadata_travels_before_triggers_and_the_end(registry: Registry) -> None:
    @task
    async def parent() -> None:
        metadata.set("a", 1).increment("b", 2)
        await tasks.trigger("child", 1)
        metadata.parent.set("c", 3)

    engine = AsyncEngine(registry)
    await engine.run("parent")
    said = [message for message in engine.messages if message["t"] != "spans"]
    order = [(message["t"], message.get("op")) for message in said]
    assert order == [("op", "0:m2"), ("op", "0:0"), ("op", "0:m3"), ("done", None)]
    assert said[0]["args"] == {
        "operations": [
            {"type": "set", "key": "a", "value": 1},
            {"type": "increment", "key": "b", "value": 2},
        ],
        "base": {},
    }
    assert said[2]["args"] == {"parent_operations": [{"type": "set", "key": "c", "value": 3}]}


async def test_metadata_of_a_run_that_works_on_is_sent_after_a_moment(registry: Registry) -> None:
    go_on = asyncio.Event()

    @task
    async def working() -> None:
        metadata.set("progress", 50)
        await go_on.wait()

    engine = AsyncEngine(registry)
    engine.start("working")
    assert (await engine.until("op"))["op"] == "0:m1"
    go_on.set()
    await engine.until("done")


def _op_done(op: str, token: int = 1) -> dict[str, Any]:
    return {"t": "op_done", "run": "run_1", "token": token, "op": op, "result": None}
