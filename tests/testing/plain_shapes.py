"""Shapes of plain functions; each runs in a thread."""

from collections.abc import Callable
from typing import Any

from triggerdev import metadata, tags, tasks, wait


def double(n: int) -> int:
    return 2 * int(tasks.sync.trigger_and_wait("child", n).unwrap())


def plain_sequence() -> Any:
    tags.sync.add("plain")
    wait.sync.for_(days=30)
    first = double(1)
    wait.sync.for_(hours=1)
    return [first, double(2)]


def plain_loop() -> Any:
    total = 0
    while total < 20:
        total += double(total + 1)
    return total


def plain_cleanup() -> Any:
    try:
        tasks.sync.trigger_and_wait("bad", 1).unwrap()
    except Exception as error:
        wait.sync.for_(seconds=1)
        return str(error)
    finally:
        wait.sync.for_(seconds=2)
        tasks.sync.trigger("cleanup", None)


def plain_batch() -> Any:
    items = [{"payload": n} for n in range(3)]
    tasks.sync.batch_trigger("child", items)
    return [result.output for result in tasks.sync.batch_trigger_and_wait("sleeper", items)]


def plain_tokens() -> Any:
    token = wait.sync.create_token(timeout="1h")
    wait.sync.complete_token(token.id, "by itself")
    mine: Any = wait.sync.for_token(token.id)
    other: Any = wait.sync.for_token("nobody", timeout="10m")
    return [mine.output, other.ok]


def plain_metadata() -> Any:
    for n in range(3):
        metadata.set("step", n).append("steps", n)
        wait.sync.for_(seconds=1)
    return metadata.current()


SHAPES: list[Callable[[], Any]] = [
    *(plain_sequence, plain_loop, plain_cleanup, plain_batch, plain_tokens, plain_metadata),
]
