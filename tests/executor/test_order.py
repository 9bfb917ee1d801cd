"""What the code has heard is told to the engine, and a replay gives results in that order."""

import asyncio
import copy
import threading
from typing import Any

from tests.executor.harness import AsyncEngine, output_of
from triggerdev import tags, task, tasks, wait
from triggerdev.protocol import OpRecord
from triggerdev.sdk.registry import Registry


def heard(engine: AsyncEngine) -> dict[str, Any]:
    """What each operation said of those before it, None where it said nothing."""
    return {message["op"]: message.get("heard") for message in engine.sent("op")}


async def replay(registry: Registry, name: str, record: list[OpRecord]) -> AsyncEngine:
    """Run a task from a record to its end."""
    engine = AsyncEngine(registry)
    await engine.run(name, record=copy.deepcopy(record))
    return engine


async def test_code_without_branches_says_nothing_of_what_it_heard(registry: Registry) -> None:
    @task
    async def plain() -> None:
        await tags.add("a")
        await wait.for_(seconds=1)
        await tasks.trigger_and_wait("child", 1)
        await tags.add("b")

    engine = AsyncEngine(registry)
    await engine.run("plain")
    assert set(heard(engine).values()) == {None}


async def test_branches_say_what_was_heard_when_and_what_in_one_turn(registry: Registry) -> None:
    @task
    async def wide() -> None:
        async def branch(n: int) -> None:
            await wait.for_(seconds=1)
            await tags.add(f"{n}")

        await asyncio.gather(branch(0), branch(1))

    engine = AsyncEngine(registry)
    await engine.run("wide")
    assert heard(engine) == {"0.0:0": None, "0.1:0": [], "0.0:1": ["0.0:0"], "0.1:1": ["+0.1:0"]}


async def test_what_is_given_up_together_is_so_again(registry: Registry) -> None:
    @task
    async def hasty() -> list[int]:
        given_up: list[int] = []
        deadline = asyncio.get_running_loop().time() + 0.01

        async def branch(n: int) -> None:
            try:
                async with asyncio.timeout_at(deadline):
                    await wait.for_token(f"token-{n}")
            except TimeoutError:
                given_up.append(n)
            await asyncio.sleep(0)
            await tasks.trigger(f"after-{given_up}")

        await asyncio.gather(branch(0), branch(1))
        return given_up

    engine = AsyncEngine(registry)
    engine.held = {"wait_token"}
    await engine.run("hasty")
    assert heard(engine)["0.0:1"] == ["-0.0:0", "+-0.1:0"]
    again = await replay(registry, "hasty", engine.record)
    assert (again.sent("op"), output_of(again.sent("done")[0])) == ([], [0, 1])


async def test_what_was_given_up_is_told(registry: Registry) -> None:
    @task
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.01):
                await wait.for_token("approval")
        except TimeoutError:
            await tags.add("gave up")
        return "done"

    engine = AsyncEngine(registry)
    engine.held = {"wait_token"}
    await engine.run("impatient")
    assert heard(engine)["0:1"] == ["-0:0"]
    for record in engine.record:
        record["done"] = True  # somebody has approved after all
    again = await replay(registry, "impatient", engine.record)
    assert again.sent("op") == []


async def test_what_was_heard_is_heard_again_though_its_time_is_over_before_the_wait_begins(
    registry: Registry,
) -> None:
    late = False

    async def patient() -> str:
        deadline = asyncio.get_running_loop().time() + (-1 if late else 60)
        try:
            async with asyncio.timeout_at(deadline):
                await wait.for_token("approval")
        except TimeoutError:
            return "gave up"
        return "heard"

    async def other() -> None:
        await tasks.trigger_and_wait("child")
        await tasks.trigger("next")

    @task
    async def both() -> str:
        outcome, _ = await asyncio.gather(patient(), other())
        await tags.add(outcome)
        return outcome

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("both")) == "heard"
    late = True
    again = await replay(registry, "both", engine.record)
    assert (again.sent("op"), output_of(again.sent("done")[0])) == ([], "heard")


async def test_a_replay_does_not_hurry_what_happens_outside(registry: Registry) -> None:
    async def fetch() -> str:
        await asyncio.get_running_loop().run_in_executor(None, threading.Event().wait, 0.05)
        return "fetched"

    @task
    async def client() -> Any:
        async with asyncio.timeout(30):
            page = await fetch()
        other = await asyncio.wait_for(fetch(), 30)
        await tasks.trigger("child", page)
        return [page, other]

    engine = AsyncEngine(registry)
    expected = output_of(await engine.run("client"))
    again = await replay(registry, "client", engine.record)
    assert output_of(again.sent("done")[0]) == expected == ["fetched", "fetched"]
    assert again.sent("op") == []


async def test_an_operation_that_was_taken_out_holds_nobody_up(registry: Registry) -> None:
    versions = iter(["old", "new"])

    @task
    async def changed() -> str:
        async def branch() -> None:
            await tags.add("first")
            if version == "old":
                await tags.add("second")
            await asyncio.get_running_loop().create_future()

        version = next(versions)
        other = asyncio.create_task(branch())
        await wait.for_(seconds=1)
        await tasks.trigger_and_wait("child", 1)
        other.cancel()
        return version

    engine = AsyncEngine(registry)
    engine.auto_resume = False
    engine.start("changed")
    while len(engine.record) < 3:
        await asyncio.sleep(0)
    engine.executor.handle(
        {"t": "op_done", "run": "run_1", "token": 1, "op": "0:0", "result": None},
    )
    while len(engine.record) < 4:
        await asyncio.sleep(0)
    record = copy.deepcopy(engine.record)
    for op in record:
        op["done"] = True
    again = AsyncEngine(registry)
    again.executor.patience_seconds = 0.001
    assert output_of(await again.run("changed", record=record)) == "new"
    assert again.sent("op") == []


async def test_what_a_parked_run_does_waits_for_its_slot(registry: Registry) -> None:
    go, woken = threading.Event(), asyncio.Event()

    @task
    async def fed() -> str:
        loop, items = asyncio.get_running_loop(), asyncio.Queue[int]()
        feeder = threading.Thread(target=lambda: (go.wait(5), loop.call_soon_threadsafe(items.put_nowait, 1)))
        feeder.start()
        waiting = asyncio.create_task(wait.for_(days=1))
        await items.get()
        woken.set()
        await tags.add("fed")
        waiting.cancel()
        return "fed"

    engine = AsyncEngine(registry)
    engine.held = {"wait"}
    engine.start("fed")
    await engine.until("park")
    go.set()
    await engine.until("wake")
    await woken.wait()
    assert [message["kind"] for message in engine.sent("op")] == ["wait"]
    engine.resume([])
    assert output_of(await engine.until("done")) == "fed"
    assert [message["token"] for message in engine.sent("op")] == [1, 2]
    assert len(engine.sent("wake")) == 1


async def test_a_parked_run_that_comes_to_its_end_tells_it_under_the_next_token(registry: Registry) -> None:
    go = threading.Event()

    @task
    async def fed() -> str:
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        threading.Thread(target=lambda: (go.wait(5), loop.call_soon_threadsafe(rung.set))).start()
        waiting = asyncio.create_task(wait.for_(days=1))
        await rung.wait()
        waiting.cancel()
        return "over"

    engine = AsyncEngine(registry)
    engine.held = {"wait"}
    engine.start("fed")
    await engine.until("park")
    go.set()
    await engine.until("wake")
    assert engine.sent("done") == []
    engine.resume([])
    done = await engine.until("done")
    assert (done["token"], output_of(done)) == (2, "over")


async def test_what_was_refused_is_refused_in_a_replay_too(registry: Registry) -> None:
    @task
    async def optional() -> str:
        try:
            await tasks.trigger("optional-child", 1)
        except Exception as error:
            name = type(error).__name__
        await wait.for_(days=1)
        await tags.add(name)
        return name

    engine = AsyncEngine(registry)
    engine.refuse = {"trigger": ("UnknownTaskError", "Task 'optional-child' not found")}
    assert output_of(await engine.run("optional")) == "UnknownTaskError"
    again = await replay(registry, "optional", engine.record)  # by a version that has that child
    assert output_of(again.sent("done")[0]) == "UnknownTaskError"
    assert again.sent("op") == []


async def test_an_on_cancel_hook_hears_that_it_cannot_do_operations(registry: Registry) -> None:
    seen: list[str] = []

    async def on_cancel() -> None:
        try:
            await tags.add("cancelled")
        except Exception as error:
            seen.append(str(error))
        seen.append("cleaned up")

    @task(on_cancel=on_cancel)
    async def endless() -> None:
        await wait.for_token("never")

    engine = AsyncEngine(registry)
    engine.held = {"wait_token"}
    engine.start("endless")
    await engine.until("park")
    engine.executor.handle({"t": "cancel", "run": "run_1", "token": 1, "reason": "cancelled"})
    assert (await engine.until("done"))["outcome"] == "cancelled"
    assert "on_cancel hooks cannot do durable operations" in seen[0]
    assert seen[1:] == ["cleaned up"]
    assert len(engine.sent("op")) == 1


async def test_a_branch_that_never_rests_does_not_hold_up_a_replay_for_ever(registry: Registry) -> None:
    @task
    async def changed() -> str:
        async def heartbeat() -> None:
            while True:
                await asyncio.sleep(0.001)

        beating = asyncio.create_task(heartbeat())
        await wait.for_(seconds=1)
        beating.cancel()
        return "done"

    record: list[OpRecord] = [
        {"op": "0.0:0", "kind": "tags", "target": None, "done": True, "result": {"tags": []}},
        {"op": "0:0", "kind": "wait", "target": None, "done": True, "result": None, "heard": ["0.0:0"]},
        {"op": "0:1", "kind": "tags", "target": None, "done": True, "result": {"tags": []}},
    ]
    engine = AsyncEngine(registry)
    engine.executor.patience_seconds = 0.001
    assert output_of(await engine.run("changed", record=record)) == "done"


async def test_a_replay_does_not_wait_for_the_sleep_before_an_operation(registry: Registry) -> None:
    @task
    async def sleepy() -> str:
        other = asyncio.create_task(wait.for_(seconds=1))
        await asyncio.sleep(3600)
        await tags.add("slept")
        await other
        return "slept"

    record: list[OpRecord] = [
        {"op": "0.0:0", "kind": "wait", "target": None, "done": True, "result": None},
        {"op": "0:0", "kind": "tags", "target": None, "done": True, "result": {"tags": []}, "heard": []},
    ]
    engine = AsyncEngine(registry)
    assert output_of(await engine.run("sleepy", record=record)) == "slept"


async def test_timers_and_results_come_to_their_branches_beside_one_that_never_rests(
    registry: Registry,
) -> None:
    @task
    async def busy() -> str:
        async def spin() -> None:
            while True:
                await asyncio.sleep(0)

        spinning = asyncio.create_task(spin())
        for _ in range(3):
            await asyncio.sleep(0.001)
            await tags.add("slept")
        spinning.cancel()
        return "over"

    assert output_of(await AsyncEngine(registry).run("busy")) == "over"
