"""Shapes whose way depends on which result the code hears first, on its own timers, or on tasks of others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tests.testing import library
from triggerdev import tags, tasks, wait


async def child(n: Any) -> Any:
    return await tasks.trigger_and_wait("child", n).unwrap()


async def slow(n: int) -> int:
    """A child that takes n seconds."""
    return int(await tasks.trigger_and_wait("sleeper", n).unwrap())


async def pool_over_a_queue() -> Any:
    items: asyncio.Queue[int] = asyncio.Queue()
    for n in (5, 1, 2, 1, 3):
        items.put_nowait(n)
    taken: dict[str, list[int]] = {"a": [], "b": []}

    async def worker(name: str) -> None:
        while not items.empty():
            taken[name].append(await slow(await items.get()))

    await asyncio.gather(worker("a"), worker("b"))
    await wait.for_(days=1)
    return taken


async def producer_and_consumers() -> Any:
    items: asyncio.Queue[int | None] = asyncio.Queue(1)
    sums = [0, 0]

    async def produce() -> None:
        for n in range(4):
            await wait.for_(seconds=n % 2)
            await items.put(n)
        for _ in sums:
            await items.put(None)

    async def consume(place: int) -> None:
        while (n := await items.get()) is not None:
            sums[place] += await child(n)
            await wait.for_(seconds=3)

    await asyncio.gather(produce(), consume(0), consume(1))
    return sums


async def the_first_decides() -> Any:
    order: list[int] = []
    for each in asyncio.as_completed([slow(2), slow(1), slow(3)]):
        n = await each
        if not order:
            await tasks.trigger("child", f"first was {n}")
        order.append(n)
    await wait.for_(days=7)
    return order


async def the_first_wins() -> Any:
    racers = [asyncio.create_task(slow(n)) for n in (3, 1, 2)]
    done, others = await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    await tasks.trigger("child", [task.result() for task in done])
    await wait.for_(days=7)  # the others end meanwhile
    return [task.cancelled() for task in racers]


async def timeout_that_gave_up() -> Any:
    try:
        async with asyncio.timeout(0.01):
            await wait.for_token("late")
        return "approved"
    except TimeoutError:
        await tasks.trigger("child", "escalated")
    await wait.complete_token("late", "approved after all")
    await wait.for_(days=7)
    return "escalated"


async def timeout_without_a_trace() -> Any:
    """The branch that has given up does nothing that is recorded, but another one looks at it later."""
    given_up = False

    async def impatient() -> None:
        nonlocal given_up
        try:
            await asyncio.wait_for(wait.for_token("never mind"), 0.01)
        except TimeoutError:
            given_up = True

    async def other() -> Any:
        await wait.for_(hours=1)
        await tasks.trigger("child", f"given up: {given_up}")
        await wait.complete_token("never mind", None)
        await wait.for_(days=1)
        return given_up

    async def bystander() -> None:
        await asyncio.sleep(0.02)
        await tags.add("seen")

    return (await asyncio.gather(impatient(), other(), bystander()))[1]


async def timeout_in_a_loop() -> Any:
    for attempt in range(3):
        try:
            await asyncio.wait_for(wait.for_token(f"attempt {attempt}"), 0.01)
        except TimeoutError:
            await wait.for_(minutes=1)
    return await child(3)


async def cancelled_in_a_group() -> Any:
    seen = []

    async def bad() -> None:
        await tasks.trigger_and_wait("bad", 1).unwrap()

    async def other() -> None:
        try:
            await wait.for_(seconds=5)
            seen.append("waited")
            await tasks.trigger("child", "next")
        except asyncio.CancelledError:
            seen.append("cancelled")
            await tasks.trigger("child", "undone")
            raise

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(other())
            group.create_task(bad())
    except* Exception:
        seen.append("failed")
    await wait.for_(days=7)
    return seen


async def limited_by_a_semaphore() -> Any:
    room, log = asyncio.Semaphore(2), []

    async def one(n: int) -> None:
        async with room:
            log.append(await slow(n))
            await tasks.trigger("child", list(log))

    await asyncio.gather(*(one(n) for n in (3, 1, 2, 1)))
    return log


async def results_at_the_same_time() -> Any:
    """Two branches go on in one turn; what the first wakes acts after both."""
    log: list[str] = []
    rung = asyncio.Event()

    async def first() -> None:
        await wait.for_(seconds=5)
        rung.set()

    async def second() -> None:
        await wait.for_(seconds=5)
        await tasks.trigger("child", f"second saw {log}")
        log.append("second")

    async def woken() -> None:
        await rung.wait()
        log.append("woken")
        await tasks.trigger("child", f"woken saw {log}")

    await asyncio.gather(first(), second(), woken())
    await wait.for_(days=1)
    return log


async def pages() -> AsyncIterator[int]:
    for n in range(10):
        await asyncio.sleep(0)
        yield n


async def generator_that_is_left() -> Any:
    async for n in pages():
        if n == 1:
            break
    await wait.for_(minutes=1)
    return await asyncio.gather(child(1), child(2))


async def task_of_a_library() -> Any:
    await library.get("example.org")
    return await asyncio.gather(child(1), child(2))


async def task_made_in_a_callback() -> Any:
    async def note() -> None: ...

    def make(_: Any) -> None:
        made.append(asyncio.create_task(note()))

    made: list[asyncio.Task[None]] = []
    first = asyncio.create_task(slow(1))
    first.add_done_callback(make)
    await wait.for_(seconds=60)
    return [await first, *await asyncio.gather(child(1), child(2))]


async def refused_and_caught() -> Any:
    try:
        await tasks.trigger("no such task", 1)
    except Exception as error:
        name = type(error).__name__
    await wait.for_(days=1)
    await tasks.trigger("child", name)
    return name


SHAPES: list[Callable[[], Awaitable[Any]]] = [
    *(pool_over_a_queue, producer_and_consumers, the_first_decides, the_first_wins),
    *(timeout_that_gave_up, timeout_without_a_trace, timeout_in_a_loop, cancelled_in_a_group),
    *(limited_by_a_semaphore, results_at_the_same_time, generator_that_is_left),
    *(task_of_a_library, task_made_in_a_callback, refused_and_caught),
]
