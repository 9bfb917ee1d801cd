"""Shapes of tasks: each a coroutine whose result must not depend on where its run is interrupted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from tests.executor.test_replay import SHAPES as SHAPES_OF_THE_EXECUTOR
from triggerdev import CompleteTaskWithOutput, batch, idempotency_keys, metadata, tags, task, tasks, wait
from triggerdev.sdk.results import Result

Shape = Callable[[], Awaitable[Any]]
DAY = timedelta(days=1)


def define_children() -> None:
    """Define the tasks that the shapes trigger."""

    @task(id="child")
    async def child(payload: Any) -> Any:
        return payload

    @task(id="bad", retry={"max_attempts": 1})
    async def bad(payload: Any) -> None:
        raise ValueError("boom")

    @task(id="cleanup")
    async def cleanup(payload: Any) -> None: ...

    @task(id="sleeper")
    async def sleeper(payload: int) -> int:
        await wait.for_(seconds=payload)
        return payload

    @task(id="parent")
    async def parent(payload: int) -> int:
        return payload + (await double(payload) if payload else 0)

    @task(id="reporter")
    async def reporter(payload: int) -> int:
        metadata.parent.increment("seen", payload)
        await metadata.flush()
        return payload

    @task(id="factorial")
    async def factorial(payload: int) -> int:
        if payload <= 1:
            return 1
        return payload * int(await tasks.trigger_and_wait("factorial", payload - 1).unwrap())


async def double(n: int) -> int:
    return 2 * int(await tasks.trigger_and_wait("child", n).unwrap())


# -- one after the other


async def one_wait() -> Any:
    await wait.for_(days=30)
    return "awake"


async def waits_in_a_row() -> Any:
    for days in (1, 2, 3):
        await wait.for_(days=days)
    return 3


async def wait_of_nothing() -> Any:
    await wait.for_(seconds=0)
    await wait.for_(seconds=1)
    return "both"


async def children_in_a_loop() -> Any:
    total = 0
    while total < 10:
        total += await double(total + 1)
    return total


async def choice_by_a_child() -> Any:
    if await double(3) == 6:
        await wait.for_(hours=1)
        return await double(4)
    return await tasks.trigger_and_wait("bad", 1)


async def child_that_waits() -> Any:
    return (await tasks.trigger_and_wait("sleeper", 90)).output


async def child_with_a_child() -> Any:
    return (await tasks.trigger_and_wait("parent", 5)).output


async def itself_below() -> Any:
    return (await tasks.trigger_and_wait("factorial", 4)).output


async def failed_child() -> Any:
    result: Result[Any] = await tasks.trigger_and_wait("bad", 1)
    return [result.ok, str(result.error)]


async def same_key_twice() -> Any:
    key = await idempotency_keys.create("once")
    first = await tasks.trigger_and_wait("child", 1, idempotency_key=key)
    second = await tasks.trigger_and_wait("child", 2, idempotency_key=key)
    return [first.output, second.output, first.id == second.id]


async def early_end() -> Any:
    await wait.for_(seconds=1)
    raise CompleteTaskWithOutput("early")


# -- side by side


async def gathered_waits() -> Any:
    await asyncio.gather(wait.for_(days=3), wait.for_(days=1), wait.for_(days=2))
    return "all"


async def unequal_branches() -> Any:
    async def branch(count: int) -> int:
        for _ in range(count):
            await wait.for_(minutes=count)
        return await double(count)

    return await asyncio.gather(*map(branch, (0, 3, 1, 2)))


async def gather_in_gather() -> Any:
    async def row(n: int) -> Any:
        return await asyncio.gather(*(double(n * 10 + column) for column in range(2)))

    return await asyncio.gather(*map(row, range(3)))


async def gathered_failures() -> Any:
    calls = [tasks.trigger_and_wait(name, 1).unwrap() for name in ("child", "bad", "child")]
    results = await asyncio.gather(*calls, return_exceptions=True)
    return [type(result).__name__ for result in results]


async def group_in_group() -> Any:
    found = []

    async def inner(n: int) -> None:
        async with asyncio.TaskGroup() as group:
            for each in range(2):
                group.create_task(leaf(n * 10 + each))

    async def leaf(n: int) -> None:
        await wait.for_(seconds=n + 1)
        found.append(await double(n))

    async with asyncio.TaskGroup() as group:
        for n in range(2):
            group.create_task(inner(n))
    return sorted(found)


async def group_that_fails() -> Any:
    seen = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait_long())
            group.create_task(fail_soon())
    except* ValueError as failed:
        seen += [str(error) for error in failed.exceptions]
    return seen


async def wait_long() -> None:
    await wait.for_(days=9)


async def fail_soon() -> None:
    await wait.for_(minutes=1)
    raise ValueError("soon")


async def first_of_two() -> Any:
    fast = asyncio.create_task(tasks.trigger_and_wait("sleeper", 5).unwrap())
    slow = asyncio.create_task(wait_long())
    done, pending = await asyncio.wait({fast, slow}, return_when=asyncio.FIRST_COMPLETED)
    for each in pending:
        each.cancel()
    return [each.result() for each in done]


async def awaited_later() -> Any:
    early = asyncio.create_task(double(1))
    await wait.for_(days=1)
    between = await double(2)
    return [await early, between]


async def limited_fan_out() -> Any:
    limit = asyncio.Semaphore(2)

    async def one(n: int) -> int:
        async with limit:
            return await double(n)

    return await asyncio.gather(*map(one, range(5)))


async def producer_and_consumer() -> Any:
    queue: asyncio.Queue[int | None] = asyncio.Queue(1)

    async def produce() -> None:
        for n in range(3):
            await queue.put(await double(n))
        await queue.put(None)

    async def consume() -> list[int]:
        found = []
        while (item := await queue.get()) is not None:
            await wait.for_(seconds=1)
            found.append(item)
        return found

    _, found = await asyncio.gather(produce(), consume())
    return found


async def signal_between_branches() -> Any:
    ready = asyncio.Event()

    async def first() -> int:
        await wait.for_(hours=1)
        ready.set()
        return await double(1)

    async def second() -> int:
        await ready.wait()
        return await double(2)

    return await asyncio.gather(first(), second())


async def twenty_children() -> Any:
    return sum(await asyncio.gather(*map(double, range(20))))


async def in_order_of_completion() -> Any:
    calls = [tasks.trigger_and_wait("sleeper", n).unwrap() for n in (30, 10, 20)]
    return sorted([await each for each in asyncio.as_completed(calls)])


# -- cleaning up


async def wait_in_finally() -> Any:
    try:
        return await double(1)
    finally:
        await wait.for_(hours=1)
        await tasks.trigger("cleanup", "finally")


async def wait_in_except() -> Any:
    try:
        await tasks.trigger_and_wait("bad", 1).unwrap()
    except Exception:
        await wait.for_(hours=1)
        return await double(7)


async def finally_in_finally() -> Any:
    seen = []
    try:
        try:
            await wait.for_(seconds=1)
            raise KeyError("inner")
        finally:
            await wait.for_(seconds=2)
            seen.append("inner")
    except KeyError:
        await wait.for_(seconds=3)
        seen.append("except")
    finally:
        await tasks.trigger("cleanup", None)
        seen.append("outer")
    return seen


async def finally_in_branches() -> Any:
    async def branch(n: int) -> int:
        try:
            return await double(n)
        finally:
            await wait.for_(seconds=n + 1)

    return await asyncio.gather(*map(branch, range(3)))


async def context_manager() -> Any:
    @asynccontextmanager
    async def lent() -> AsyncIterator[int]:
        yield await double(2)
        await wait.for_(minutes=1)

    async with lent() as value:
        return value + await double(3)


async def generator() -> Any:
    async def numbers() -> AsyncIterator[int]:
        for n in range(3):
            await wait.for_(seconds=1)
            yield await double(n)

    return [n async for n in numbers()]


# -- tokens, batches, metadata, tags


async def token_by_itself() -> Any:
    token = await wait.create_token(timeout="1h")
    await tasks.trigger_and_wait("child", token.id)
    await wait.complete_token(token.id, {"n": 1})
    return (await wait.for_token(token.id)).unwrap()


async def token_that_times_out() -> Any:
    result: Any = await wait.for_token("nobody", timeout="10m")
    return [result.ok, await double(1)]


async def tokens_side_by_side() -> Any:
    async def complete() -> None:
        await wait.for_(minutes=1)
        await wait.complete_token("early", 1)

    found: Any = await asyncio.gather(
        wait.for_token("early", timeout="1h"), wait.for_token("late", timeout="1h"), complete()
    )
    return [result.ok for result in found[:2]]


async def batch_and_go_on() -> Any:
    made = await tasks.batch_trigger("child", [{"payload": n} for n in range(3)])
    await wait.for_(seconds=1)
    return made.run_count


async def batch_with_a_failure() -> Any:
    items = [{"id": "child", "payload": 1}, {"id": "bad", "payload": 2}, {"id": "sleeper", "payload": 3}]
    results = await batch.trigger_and_wait(items)
    return [(result.ok, result.output) for result in results]


async def batches_side_by_side() -> Any:
    async def one(n: int) -> Any:
        results = await tasks.batch_trigger_and_wait("child", [{"payload": n}, {"payload": n + 1}])
        return [result.output for result in results]

    return await asyncio.gather(one(1), one(10))


async def metadata_step_by_step() -> Any:
    for n in range(3):
        metadata.set("step", n).append("steps", n)
        await wait.for_(seconds=1)
    return metadata.current()


async def metadata_of_branches() -> Any:
    async def branch(n: int) -> None:
        metadata.increment("sum", n)
        await wait.for_(seconds=n)
        metadata.increment("sum", n)

    await asyncio.gather(*map(branch, (1, 2, 3)))
    await metadata.flush()
    return metadata.current()


async def metadata_from_children() -> Any:
    metadata.set("seen", 1)
    await tasks.trigger_and_wait("reporter", 5)
    await tasks.trigger_and_wait("reporter", 7)
    return metadata.current()


async def tags_between() -> Any:
    await tags.add("first")
    await wait.for_(seconds=1)
    await tags.add(["second", "third"])
    return await double(1)


SHAPES: list[Shape] = [
    *SHAPES_OF_THE_EXECUTOR,
    *(one_wait, waits_in_a_row, wait_of_nothing, children_in_a_loop, choice_by_a_child, child_that_waits),
    *(child_with_a_child, itself_below, failed_child, same_key_twice, early_end),
    *(gathered_waits, unequal_branches, gather_in_gather, gathered_failures, group_in_group),
    *(group_that_fails, first_of_two, awaited_later, limited_fan_out, producer_and_consumer),
    *(signal_between_branches, twenty_children, in_order_of_completion),
    *(wait_in_finally, wait_in_except, finally_in_finally, finally_in_branches, context_manager, generator),
    *(token_by_itself, token_that_times_out, tokens_side_by_side, batch_and_go_on, batch_with_a_failure),
    *(
        batches_side_by_side,
        metadata_step_by_step,
        metadata_of_branches,
        metadata_from_children,
        tags_between,
    ),
]
