"""Shapes with steps. LEDGER counts how often the function of each has come to its end."""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from triggerdev import Context, metadata, tags, tasks, wait

LEDGER: Counter[str] = Counter()
StepShape = Callable[[Context], Any]


def note(name: str, value: Any = None) -> Any:
    """Do what must not be done twice."""
    LEDGER[name] += 1
    return value


async def later(name: str, value: Any = None, **period: float) -> Any:
    """Do it after a wait."""
    given: dict[str, Any] = period or {"minutes": 1}
    await wait.for_(**given)
    return note(name, value)


async def double(n: int) -> int:
    return 2 * int(await tasks.trigger_and_wait("child", n).unwrap())


async def steps_in_a_row(ctx: Context) -> Any:
    order = await ctx.step("price", note, "price", {"amount": 3})
    receipt = await ctx.step("charge", note, "charge", [order["amount"], None])
    await wait.for_(days=1)
    return [receipt, await ctx.step("thank", note, "thank")]


async def step_around_a_wait(ctx: Context) -> Any:
    await wait.for_(seconds=1)
    found = await ctx.step("later", later, "later", 1, days=30)
    return found + await double(1)


async def step_then_child(ctx: Context) -> Any:
    n = await ctx.step("choose", note, "choose", 5)
    return await double(n)


async def child_in_a_step(ctx: Context) -> Any:
    async def order(n: int) -> int:
        return int(note("order", await double(n)))

    return [await ctx.step("order", order, n) for n in (1, 2)]


async def steps_in_a_loop_with_waits(ctx: Context) -> Any:
    total = 0
    for n in range(4):
        total += await ctx.step(f"round {n}", note, f"round {n}", n)
        await wait.for_(hours=1)
    return total


async def steps_in_unequal_branches(ctx: Context) -> Any:
    async def branch(count: int) -> Any:
        found = []
        for n in range(count):
            found.append(await ctx.step("one", note, f"{count} {n}", n))
            await wait.for_(minutes=count)
        return [found, await ctx.step("last", later, f"last {count}", count)]

    return await asyncio.gather(*map(branch, (0, 3, 1, 2)))


async def gathered_steps(ctx: Context) -> Any:
    calls = [ctx.step("later", later, f"later {n}", n, minutes=3 - n) for n in range(3)]
    return await asyncio.gather(*calls, ctx.step("at once", note, "at once"), wait.for_(seconds=90))


async def steps_in_a_task_group(ctx: Context) -> Any:
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(ctx.step("grouped", later, f"grouped {n}", n)) for n in range(3)]
        await ctx.step("beside", note, "beside")
    return [each.result() for each in made]


async def branches_in_a_step(ctx: Context) -> Any:
    async def wide() -> Any:
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(double(n)) for n in range(2)]
            await wait.for_(seconds=5)
        return note("wide", [each.result() for each in made])

    await tags.add("before")
    return [await ctx.step("wide", wide), await double(3)]


async def nested_steps(ctx: Context) -> Any:
    async def inner(n: int) -> Any:
        await wait.for_(seconds=n)
        return note(f"inner {n}", [n, await ctx.step("innermost", note, f"innermost {n}", n)])

    async def outer() -> Any:
        first = await ctx.step("inner", inner, 1)
        rest = await asyncio.gather(ctx.step("inner", inner, 2), ctx.step("inner", inner, 3))
        return note("outer", [first, *rest])

    return [await ctx.step("outer", outer), await ctx.step("after", note, "after")]


async def step_in_finally(ctx: Context) -> Any:
    try:
        return await ctx.step("work", later, "work", "done")
    finally:
        await wait.for_(seconds=1)
        await ctx.step("clean", later, "clean")


async def failing_step_that_is_caught(ctx: Context) -> Any:
    async def fail() -> None:
        await tags.add("tried")
        await wait.for_(seconds=1)
        raise ValueError(note("fail", "no"))

    try:
        await ctx.step("fail", fail)
    except ValueError as error:
        await wait.for_(hours=1)
        return [str(error), await ctx.step("instead", note, "instead", "plan b")]


async def failing_steps_in_branches(ctx: Context) -> Any:
    async def work(n: int) -> int:
        await wait.for_(minutes=n + 1)
        if n == 1:
            raise ValueError(note("fail", "one"))
        return int(note(f"work {n}", n))

    calls = [ctx.step("work", work, n) for n in range(3)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    return [str(each) for each in found]


async def failing_step_beside_branches(ctx: Context) -> Any:
    async def fail() -> None:
        await wait.for_(minutes=2)
        raise ValueError(note("fail", "no"))

    async def caught() -> Any:
        try:
            await ctx.step("fail", fail)
        except ValueError as error:
            await wait.for_(minutes=1)
            return str(error)

    async def reporting() -> Any:
        await double(1)
        metadata.set("seen", 1)
        await wait.for_(seconds=2)
        return metadata.get("seen")

    return await asyncio.gather(double(2), caught(), reporting())


async def cancelled_step(ctx: Context) -> Any:
    slow = asyncio.create_task(ctx.step("slow", later, "slow", days=9))
    fast = await ctx.step("fast", later, "fast", "fast")
    slow.cancel()
    with suppress(asyncio.CancelledError):
        await slow
    return [fast, await double(2)]


async def step_that_decides(ctx: Context) -> Any:
    chosen = await ctx.step("choose", note, "choose", "wait")
    if chosen == "wait":
        await wait.for_(days=2)
        return await ctx.step("after the wait", note, "after the wait", 1)
    return await double(1)


async def step_with_metadata(ctx: Context) -> Any:
    async def count() -> int:
        metadata.increment("n", 2).append("log", "a")
        await wait.for_(seconds=1)
        metadata.increment("n", 3)
        return int(note("count", metadata.get("n")))

    if metadata.get("n") is None:
        metadata.set("n", 1)
        first = await ctx.step("count", count)
        return [first, await ctx.step("again", count), await double(metadata.get("n"))]
    return "read what was written later"


async def step_with_tags(ctx: Context) -> Any:
    if not ctx.run.tags:
        await ctx.step("tag", tags.add, "first")
        found = list(ctx.run.tags)
        await wait.for_(seconds=1)
        await tags.add(["second"])
        return [found, ctx.run.tags]
    return "read what was added later"


def plain_steps(ctx: Context) -> Any:
    def work(n: int) -> int:
        wait.sync.for_(minutes=1)
        return int(note(f"work {n}", tasks.sync.trigger_and_wait("child", n).unwrap()))

    made = [ctx.step.sync("work", work, n) for n in range(2)]
    wait.sync.for_(hours=1)
    return [*made, ctx.step.sync("thank", note, "thank", "you")]


def plain_nested_steps(ctx: Context) -> Any:
    def outer() -> Any:
        first = ctx.step.sync("inner", note, "inner", 1)
        wait.sync.for_(seconds=1)
        return note("outer", [first, ctx.step.sync("inner", note, "inner again", 2)])

    try:
        return ctx.step.sync("outer", outer)
    finally:
        ctx.step.sync("clean", note, "clean")


def plain_failing_step(ctx: Context) -> Any:
    def fail() -> None:
        wait.sync.for_(seconds=1)
        raise ValueError(note("fail", "no"))

    try:
        ctx.step.sync("fail", fail)
    except ValueError as error:
        wait.sync.for_(seconds=1)
        return [str(error), ctx.step.sync("instead", note, "instead", 1)]


SHAPES: list[StepShape] = [
    *(steps_in_a_row, step_around_a_wait, step_then_child, child_in_a_step, steps_in_a_loop_with_waits),
    *(steps_in_unequal_branches, gathered_steps, steps_in_a_task_group, branches_in_a_step, nested_steps),
    *(step_in_finally, failing_step_that_is_caught, failing_steps_in_branches, cancelled_step),
    failing_step_beside_branches,
    *(step_that_decides, step_with_metadata, step_with_tags),
]
PLAIN_SHAPES: list[StepShape] = [plain_steps, plain_nested_steps, plain_failing_step]
