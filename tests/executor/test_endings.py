"""Cancelling, evicting, running out of time: user code is unwound, and the right thing is reported."""

import asyncio
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, output_of
from triggerdev import RunCancelled, RunEvicted, RunTimedOut, metadata, tags, task, tasks, wait
from triggerdev.protocol import Message
from triggerdev.sdk.registry import Registry


def order(kind: str, **fields: Any) -> Message:
    return {"t": kind, "run": "run_1", "token": 1, **fields}


async def test_cancelling_unwinds_every_branch_after_the_hooks(registry: Registry) -> None:
    seen: list[str] = []

    async def branch(name: str) -> None:
        try:
            await wait.for_(hours=1)
        except RunCancelled:
            seen.append(f"{name} cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            seen.append(f"{name} cleaned up")

    @task(on_cancel=lambda ctx: seen.append(f"hook {ctx.run.id}"))
    async def wide() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(branch("a"))
            group.create_task(branch("b"))

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("wide")
    await engine.until("park")
    engine.executor.handle(order("cancel", reason="cancelled"))
    done = await engine.until("done")
    assert done["outcome"] == "cancelled"
    assert seen[0] == "hook run_1"
    assert sorted(seen[1:]) == ["a cancelled", "a cleaned up", "b cancelled", "b cleaned up"]


async def test_a_run_that_is_cancelled_before_its_first_step_ends_at_once(registry: Registry) -> None:
    @task
    async def never() -> str:
        return "ran"

    engine = AsyncEngine(registry)
    engine.start("never")
    engine.executor.handle(order("cancel", reason="cancelled"))
    assert (await engine.until("done"))["outcome"] == "cancelled"


async def test_an_ordinary_except_does_not_swallow_a_cancellation(registry: Registry) -> None:
    @task
    async def stubborn() -> str:
        try:
            await wait.for_(hours=1)
        except Exception:
            return "swallowed"
        return "?"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("stubborn")
    await engine.until("park")
    engine.executor.handle(order("cancel", reason="cancelled"))
    assert (await engine.until("done"))["outcome"] == "cancelled"


async def test_a_run_that_swallows_the_signal_is_given_up_in_the_end(registry: Registry) -> None:
    forever = asyncio.Event()
    heard: list[str] = []

    @task
    async def deaf() -> None:
        while True:
            try:
                await forever.wait()
            except BaseException as error:  # exactly what must not help
                heard.append(type(error).__name__)
                if len(heard) > 2:
                    raise

    engine = AsyncEngine(registry)
    engine.executor.grace_seconds = 0.01
    engine.start("deaf")
    await asyncio.sleep(0)
    engine.executor.handle(order("cancel", reason="cancelled"))
    assert (await engine.until("done"))["outcome"] == "cancelled"
    assert heard[:2] == ["RunCancelled", "RunCancelled"]
    assert engine.executor.run_count == 0


async def test_gathering_exceptions_does_not_swallow_a_cancellation(registry: Registry) -> None:
    seen: list[str] = []

    @task
    async def gathering() -> None:
        await asyncio.gather(wait.for_(hours=1), wait.for_(hours=2), return_exceptions=True)
        seen.append("went on")

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("gathering")
    await engine.until("park")
    engine.executor.handle(order("cancel", reason="cancelled"))
    assert (await engine.until("done"))["outcome"] == "cancelled"
    assert seen == []


async def test_evicting_reports_no_end_and_operations_in_finally_raise(registry: Registry) -> None:
    seen: list[str] = []

    @task
    async def parked() -> None:
        try:
            await wait.for_(hours=1)
        finally:
            for operation in (tags.add("x"), tasks.trigger("child"), wait.for_(seconds=1)):
                try:
                    await operation
                except RunEvicted:
                    seen.append("refused")
            with pytest.raises(RunEvicted):
                metadata.set("a", 1)

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("parked")
    await engine.until("park")
    engine.executor.handle(order("evict"))
    assert await engine.until("evicted") == {"t": "evicted", "run": "run_1", "token": 1}
    assert seen == ["refused"] * 3
    assert engine.sent("done") == []


async def test_losing_the_lease_ends_the_copy_without_a_result(registry: Registry) -> None:
    @task
    async def parked() -> None:
        await wait.for_(hours=1)

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("parked")
    await engine.until("park")
    engine.executor.handle(order("cancel", reason="lease_lost"))
    await engine.until("evicted")
    assert engine.sent("done") == []


async def test_a_stale_reply_ends_the_copy(registry: Registry) -> None:
    @task
    async def late() -> None:
        await tags.add("x")

    engine = AsyncEngine(registry)
    engine.refuse["tags"] = ("stale", "The run is no longer this worker's.")
    engine.start("late")
    await engine.until("evicted")


async def test_a_run_that_uses_too_much_time_is_ended(registry: Registry) -> None:
    forever = asyncio.Event()

    @task
    async def slow() -> None:
        try:
            await forever.wait()
        except RunTimedOut:
            assert True
            raise

    done = await AsyncEngine(registry).run("slow", max_duration_ms=1010, usage_ms=1000)
    assert done["outcome"] == "timed_out"
    assert done["error"]["code"] == "MAX_DURATION_EXCEEDED"
    assert "max_duration of 1.01 s" in done["error"]["message"]


async def test_parked_time_does_not_count_for_max_duration(registry: Registry) -> None:
    @task
    async def sleepy() -> str:
        await wait.for_(hours=1)
        return "in time"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("sleepy", max_duration_ms=60)
    await engine.until("park")
    await asyncio.sleep(0.1)  # the time itself is what is tested
    engine.resume()
    assert output_of(await engine.until("done")) == "in time"


async def test_messages_with_another_token_are_ignored(registry: Registry) -> None:
    @task
    async def sleepy() -> str:
        await wait.for_(hours=1)
        return "awake"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("sleepy")
    await engine.until("park")
    for kind in ("cancel", "evict"):
        engine.executor.handle(order(kind, reason="cancelled") | {"token": 9})
    engine.executor.handle(order("op_done", op="0:0", result=None) | {"token": 9})
    engine.resume()
    assert output_of(await engine.until("done")) == "awake"


@pytest.mark.parametrize("where", ["main", "child"])
async def test_sys_exit_fails_the_run_and_not_the_process(registry: Registry, where: str) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    @task
    async def leaving() -> None:
        await (leave() if where == "main" else asyncio.create_task(leave()))

    done = await AsyncEngine(registry).run("leaving")
    assert done["outcome"] == "failed"
    assert done["error"]["name"] == "SystemExit"
    assert "sys.exit(3)" in done["error"]["message"]


async def test_background_tasks_end_with_their_run(registry: Registry) -> None:
    forever = asyncio.Event()
    ended = asyncio.Event()

    async def background() -> None:
        try:
            await forever.wait()
        finally:
            ended.set()

    @task
    async def careless() -> str:
        background_task = asyncio.create_task(background())
        await asyncio.sleep(0)
        return str(background_task.done())

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("careless")) == "False"
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_run_that_is_started_again_replaces_the_old_copy(registry: Registry) -> None:
    @task
    async def sleepy() -> str:
        await wait.for_(hours=1)
        return "awake"

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("sleepy")
    await engine.until("park")
    record: list[Any] = [{"op": "0:0", "kind": "wait", "target": None, "done": True, "result": None}]
    engine.start("sleepy", token=5, record=record)
    done = await engine.until("done")
    assert (done["token"], done["outcome"]) == (5, "ok")
    await engine.until("evicted")


async def test_code_that_blocks_the_loop_can_be_interrupted(registry: Registry) -> None:
    seen: list[str] = []

    @task
    async def blocking() -> None:
        try:
            engine.executor.interrupt(asyncio.current_task(), "timed_out")  # a signal handler does this
        except RunTimedOut:
            seen.append("raised")
            raise

    engine = AsyncEngine(registry)
    assert (await engine.run("blocking"))["outcome"] == "timed_out"
    assert seen == ["raised"]
    engine.executor.interrupt(asyncio.current_task(), "timed_out")  # no run: nothing happens


async def test_the_owner_of_a_group_ends_after_all_of_its_branches(registry: Registry) -> None:
    ended: list[str] = []
    problems: list[Any] = []

    async def branch(n: int) -> None:
        try:
            await wait.for_(hours=1)
        finally:
            for _ in range(n * 5):
                await asyncio.sleep(0)
            ended.append(f"branch {n}")

    @task
    async def owner() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for n in range(3):
                    group.create_task(branch(n))
        finally:
            ended.append("owner")

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.loop.set_exception_handler(lambda _loop, context: problems.append(context["message"]))
    engine.start("owner")
    await engine.until("park")
    engine.executor.handle({"t": "evict", "run": "run_1", "token": 1})
    await engine.until("evicted")
    assert ended == ["branch 0", "branch 1", "branch 2", "owner"]
    assert problems == []
