"""Random branches that share a queue, a lock and a log, under random completions, replayed from their record.

What each operation is depends on the log, so one result that is given out of order is another operation.
"""

import asyncio
import copy
import random
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, output_of
from triggerdev import tags, task, tasks, wait
from triggerdev.protocol import OpRecord
from triggerdev.sdk.registry import Registry

SEEDS = range(30)


class Program:
    """A random program; the same seed makes the same one."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        kinds = ["child", "child", "wait", "put", "get", "alone", "tag", "sleep", "patience", "spawn"]
        self.scripts = [chance.choices(kinds, k=chance.randint(2, 6)) for _ in range(chance.randint(2, 4))]

    async def run(self) -> list[str]:
        self.log: list[str] = []
        self.items: asyncio.Queue[str] = asyncio.Queue()
        self.lock = asyncio.Lock()
        async with asyncio.TaskGroup() as self.group:
            for name, script in enumerate(self.scripts):
                self.group.create_task(self.branch(f"{name}", script))
        await tags.add(f"{len(self.log)} entries")
        return self.log

    async def branch(self, name: str, script: list[str]) -> None:
        for number, kind in enumerate(script):
            self.log.append(await getattr(self, kind)(f"{name}{number}"))

    def target(self) -> str:
        """A task id that depends on all that has happened so far."""
        return "t-" + "-".join(self.log)

    async def child(self, name: str) -> str:
        await tasks.trigger_and_wait(self.target(), name)
        return f"c{name}"

    async def wait(self, name: str) -> str:
        await wait.for_(seconds=5)
        return f"w{name}"

    async def put(self, name: str) -> str:
        self.items.put_nowait(name)
        return f"p{name}"

    async def get(self, name: str) -> str:
        return f"g{name}" + (self.items.get_nowait() if not self.items.empty() else "")

    async def alone(self, name: str) -> str:
        async with self.lock:
            await tasks.trigger_and_wait(self.target(), name)
        return f"l{name}"

    async def tag(self, name: str) -> str:
        await tasks.trigger(self.target(), name)
        return f"t{name}"

    async def sleep(self, name: str) -> str:
        await asyncio.sleep(0)
        return f"s{name}"

    async def patience(self, name: str) -> str:
        try:
            async with asyncio.timeout(0.01):
                await wait.for_token(self.target())
        except TimeoutError:
            return f"x{name}"
        return f"a{name}"

    async def spawn(self, name: str) -> str:
        self.group.create_task(self.branch(f"{name}.", ["child", "tag"]))
        return f"n{name}"


class RandomEngine(AsyncEngine):
    """Completes what the run waits for at random: one or several at once, in any order."""

    def __init__(self, registry: Registry, seed: int) -> None:
        super().__init__(registry)
        self.auto_resume = False
        self.chance = random.Random(seed)

    async def run(self, task: str, payload: Any = None, **fields: Any) -> dict[str, Any]:
        self.start(task, payload, **fields)
        while not self.sent("done"):
            for _ in range(self.chance.randint(1, 12)):
                await asyncio.sleep(0)
            self.wake_if_done()
            waiting = [op for op in self.record if not op["done"]]
            if waiting and self.chance.random() < 0.7:
                self.complete(self.chance.sample(waiting, self.chance.randint(1, len(waiting))))
            elif not waiting:
                await asyncio.sleep(0.001)
        return self.sent("done")[0]

    def wake_if_done(self) -> None:
        """Wake the run if one of the operations that it parked for was complete already."""
        for park in self.sent("park")[-1:]:
            done = [op for op in self.record if op["done"] and op["op"] in park["ops"]]
            if park["token"] == self._token and done:
                self.resume(copy.deepcopy(done))

    def complete(self, ops: list[OpRecord]) -> None:
        for op in ops:
            op["done"] = True
            op["at"] = len(self.messages)
        if any(park["token"] == self._token for park in self.sent("park")):
            self.resume(copy.deepcopy(ops))
            return
        for op in ops:
            done = {"run": "run_1", "token": self._token, "op": op["op"], "result": op.get("result")}
            self.executor.handle({"t": "op_done", **done})


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_random_program_replays_from_every_prefix_of_its_record(
    registry: Registry, seed: int
) -> None:
    @task(id="random")
    async def body() -> list[str]:
        return await Program(seed).run()

    engine = RandomEngine(registry, seed)
    expected = output_of(await engine.run("random"))
    for count in range(len(engine.record), -1, -1):
        again = RandomEngine(registry, seed + count)
        done = await again.run("random", record=copy.deepcopy(engine.record[:count]))
        known = {op["op"] for op in engine.record[:count]}
        assert not [message["op"] for message in again.sent("op") if message["op"] in known]
        assert output_of(done) == expected or count < len(engine.record)
