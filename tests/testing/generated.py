"""Shapes by chance: small programs of operations, branches and steps, made from a seed."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.testing.step_shapes import note
from triggerdev import Context, SubtaskUnwrapError, metadata, tags, tasks, wait

LEAVES = ("wait", "child", "bad", "trigger", "batch", "tag", "count", "keep", "note", "nobody")
INNER = ("row", "row", "step", "step", "finally", "failing", "loop")
BRANCHED = (*INNER, "gather", "gather", "group", "ahead")
_MOST_PARTS = 3


@dataclass(frozen=True)
class Program:
    """A piece of a task; `n` tells it from all others of its shape."""

    kind: str
    n: int
    parts: tuple["Program", ...] = ()

    def __str__(self) -> str:
        inside = f"({', '.join(map(str, self.parts))})" if self.parts else ""
        return f"{self.kind}{self.n}{inside}"


def generate(seed: int, *, plain: bool = False) -> Program:
    """Make a program; a plain one has no branches."""
    rng = random.Random(seed)
    numbers = iter(range(1, 10**6))
    inner = INNER if plain else BRANCHED

    def make(depth: int) -> Program:
        n = next(numbers)
        if depth == 0 or rng.random() < 0.25:
            return Program(rng.choice(LEAVES), n)
        return Program(
            rng.choice(inner), n, tuple(make(depth - 1) for _ in range(rng.randint(1, _MOST_PARTS)))
        )

    return Program("row", 0, (make(2), make(3)))


def shape_of(seed: int) -> Callable[..., Any]:
    """Make a task's function of a seed; one of four is plain. Its name tells the program."""
    plain = seed % 4 == 0
    program = generate(seed, plain=plain)

    async def generated(ctx: Context) -> Any:
        return await perform(program, ctx)

    def generated_plain(ctx: Context) -> Any:
        return perform_plain(program, ctx)

    shape = generated_plain if plain else generated
    shape.__name__ = f"program {seed} {'plain ' if plain else ''}{program}"
    return shape


# -- coroutines


async def perform(program: Program, ctx: Context) -> Any:
    """Do a program."""
    return await _ASYNC[program.kind](program, ctx)


async def _wait(program: Program, ctx: Context) -> None:
    await wait.for_(seconds=program.n % 7 * 30)


async def _child(program: Program, ctx: Context) -> Any:
    return await tasks.trigger_and_wait("sleeper" if program.n % 2 else "child", program.n).unwrap()


async def _bad(program: Program, ctx: Context) -> str:
    try:
        await tasks.trigger_and_wait("bad", program.n).unwrap()
    except SubtaskUnwrapError:
        return "failed"
    return "never"


async def _trigger(program: Program, ctx: Context) -> bool:
    return (await tasks.trigger("cleanup", program.n)).is_cached


async def _batch(program: Program, ctx: Context) -> Any:
    items = [{"payload": program.n}, {"payload": -program.n}]
    return [result.output for result in await tasks.batch_trigger_and_wait("child", items)]


async def _tag(program: Program, ctx: Context) -> None:
    await tags.add(f"t{program.n % 9}")


async def _count(program: Program, ctx: Context) -> None:
    metadata.increment("sum", program.n)


async def _keep(program: Program, ctx: Context) -> Any:
    metadata.set(f"k{program.n}", program.n)
    await wait.for_(seconds=program.n % 3)
    return metadata.get(f"k{program.n}")


async def _note(program: Program, ctx: Context) -> Any:
    return await ctx.step("note", note, str(program), program.n)


async def _nobody(program: Program, ctx: Context) -> Any:
    return (await wait.for_token(f"nobody {program.n}", timeout="3m")).ok


async def _row(program: Program, ctx: Context) -> Any:
    return [await perform(part, ctx) for part in program.parts]


async def _loop(program: Program, ctx: Context) -> Any:
    return [await _row(program, ctx) for _ in range(2)]


async def _step(program: Program, ctx: Context) -> Any:
    async def inside() -> Any:
        return note(str(program), await _row(program, ctx))

    return await ctx.step(f"step {program.n}", inside)


async def _failing(program: Program, ctx: Context) -> Any:
    async def inside() -> Any:
        await _row(program, ctx)
        raise ValueError(note(str(program), f"no {program.n}"))

    try:
        await ctx.step(f"failing {program.n}", inside)
    except ValueError as error:
        await wait.for_(minutes=1)
        return str(error)


async def _finally(program: Program, ctx: Context) -> Any:
    first, *rest = program.parts
    try:
        return await perform(first, ctx)
    finally:
        for part in rest:
            await perform(part, ctx)


async def _gather(program: Program, ctx: Context) -> Any:
    return await asyncio.gather(*(perform(part, ctx) for part in program.parts))


async def _group(program: Program, ctx: Context) -> Any:
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(perform(part, ctx)) for part in program.parts]
        await wait.for_(seconds=program.n % 5)
    return [each.result() for each in made]


async def _ahead(program: Program, ctx: Context) -> Any:
    first, *rest = program.parts
    early = asyncio.create_task(perform(first, ctx))
    found = [await perform(part, ctx) for part in rest]
    return [*found, await early]


_ASYNC: dict[str, Callable[[Program, Context], Awaitable[Any]]] = {
    "wait": _wait,
    "child": _child,
    "bad": _bad,
    "trigger": _trigger,
    "batch": _batch,
    "tag": _tag,
    "count": _count,
    "keep": _keep,
    "note": _note,
    "nobody": _nobody,
    "row": _row,
    "loop": _loop,
    "step": _step,
    "failing": _failing,
    "finally": _finally,
    "gather": _gather,
    "group": _group,
    "ahead": _ahead,
}


# -- plain functions


def perform_plain(program: Program, ctx: Context) -> Any:
    """Do a program that has no branches, blocking."""
    if program.kind in LEAVES:
        return _leaf(program, ctx)
    return _inner(program, ctx)


def _leaf(program: Program, ctx: Context) -> Any:
    n = program.n
    match program.kind:
        case "wait":
            wait.sync.for_(seconds=n % 7 * 30)
        case "child":
            return tasks.sync.trigger_and_wait("sleeper" if n % 2 else "child", n).unwrap()
        case "bad":
            return tasks.sync.trigger_and_wait("bad", n).ok
        case "trigger":
            return tasks.sync.trigger("cleanup", n).is_cached
        case "batch":
            return [result.output for result in tasks.sync.batch_trigger_and_wait("child", [{"payload": n}])]
        case "tag":
            tags.sync.add(f"t{n % 9}")
        case "count":
            metadata.increment("sum", n)
        case "keep":
            metadata.set(f"k{n}", n)
            wait.sync.for_(seconds=n % 3)
            return metadata.get(f"k{n}")
        case "note":
            return ctx.step.sync("note", note, str(program), n)
        case _:
            return wait.sync.for_token(f"nobody {n}", timeout="3m").ok
    return None


def _inner(program: Program, ctx: Context) -> Any:
    def row() -> Any:
        return [perform_plain(part, ctx) for part in program.parts]

    def fail() -> Any:
        row()
        raise ValueError(note(str(program), f"no {program.n}"))

    match program.kind:
        case "step":
            return ctx.step.sync(f"step {program.n}", lambda: note(str(program), row()))
        case "failing":
            try:
                ctx.step.sync(f"failing {program.n}", fail)
            except ValueError as error:
                wait.sync.for_(minutes=1)
                return str(error)
        case "finally":
            try:
                return perform_plain(program.parts[0], ctx)
            finally:
                for part in program.parts[1:]:
                    perform_plain(part, ctx)
        case "loop":
            return [row() for _ in range(2)]
    return row()
