"""The simulation itself: it repeats, and it sees what is broken. (Many seeds are a reliability scenario.)"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pytest

from tests.simulation.many import simulate
from tests.simulation.world import World
from triggerdev.engine import cron
from triggerdev.engine.commands import attempts, finish, operations, schedules, timers, tokens
from triggerdev.engine.commands import trigger as triggering
from triggerdev.engine.context import Context
from triggerdev.engine.model import Run, Status
from triggerdev.engine.store import memory_queues
from triggerdev.engine.store.memory import MemoryTx
from triggerdev.engine.store.memory_tables import Tables
from triggerdev.engine.store.protocol import Lane
from triggerdev.protocol import Message

MOST_SEEDS = 150


def test_a_seed_gives_the_same_events_each_time() -> None:
    traces = []
    for _ in range(2):
        world = World(7, remember=None)
        world.run()
        traces.append(world.trace())
    assert traces[0] == traces[1]
    assert len(traces[0]) > 100


def anybody(ctx: Context, message: Message) -> Run | None:
    """Accept messages under any token."""
    run = ctx.find(message["run"])
    return run if run is not None and run.status in (Status.EXECUTING, Status.WAITING) else None


def forget_recovery(ctx: Context, worker: str | None) -> bool:
    return False


def wake_twice(ctx: Context, run: Run) -> None:
    """Wake a run that waits, and give it a slot although it was already woken."""
    run.status = Status.PENDING
    finish.make_resumable(ctx, run)
    run.attempt += 1


def one_more(original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: original(*args) + 1


def with_one_more(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let one run more execute than all may together."""
    return lambda tables, capacities, limit: original(tables, capacities, limit and limit + 1)


def in_spite_of_pauses(tables: Tables, lane: Lane, executing: int) -> float:
    queue = tables.queues.get(lane[0])
    return 2**30 if queue is None or queue.limit is None else queue.limit - executing


def early(original: Callable[..., Any]) -> Callable[..., Any]:
    """Find what is due a second too soon."""
    return lambda self, now, limit: original(self, now + 1000, limit)


def nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


def without_record(original: Callable[..., Any]) -> Callable[..., Any]:
    def start(ctx: Context, run: Run) -> Any:
        return {**original(ctx, run), "record": []}

    return start


def not_remembered(self: Any, task: str, options: Any) -> None:
    """Know no idempotency key."""


def same_attempt(original: Callable[..., Any]) -> Callable[..., Any]:
    """Begin a retry with the record of the attempt before."""

    def failed(ctx: Context, run: Run, message: Message) -> None:
        original(ctx, run, message)
        run.resuming = run.status is Status.RETRYING

    return failed


def slot_again(ctx: Context, schedule: Any) -> None:
    """Leave a slot due whose run is made."""
    schedule.next_at = cron.next_slot(schedule.cron, schedule.timezone, ctx.now - 60_000)
    ctx.tx.put_schedule(schedule)
    ctx.wake_at(ctx.now + 1000)


def last_result(original: Callable[..., Any]) -> Callable[..., Any]:
    """Give a parent the result of another child."""

    def result(run: Run) -> Any:
        return {**original(run), "output": "0"}

    return result


def after(original: Callable[..., Any], then: Callable[..., None]) -> Callable[..., Any]:
    def both(*args: Any, **kwargs: Any) -> Any:
        answer = original(*args, **kwargs)
        then(*args)
        return answer

    return both


def unready(ctx: Context, run: Run) -> None:
    run.ready = False


def unpump(ctx: Context, run: Run) -> None:
    ctx.effects.pump = False


BROKEN: dict[str, tuple[Any, str, Any]] = {
    "the token is not checked": (attempts, "holder", anybody),
    "nobody recovers": (timers, "recover", forget_recovery),
    "a wake-up counts as an attempt": (finish, "wake", wake_twice),
    "a limit is off by one": (memory_queues, "free_slots", one_more(memory_queues.free_slots)),
    "a paused queue gives runs out": (memory_queues, "free_slots", in_spite_of_pauses),
    "the limit of all is off by one": (memory_queues, "ready_runs", with_one_more(memory_queues.ready_runs)),
    "waits end a second early": (MemoryTx, "due_ops", early(MemoryTx.due_ops)),
    "delays end a second early": (MemoryTx, "due_runs", early(MemoryTx.due_runs)),
    "idempotency keys are forgotten": (triggering._Keys, "find", not_remembered),
    "a run goes on without its record": (attempts, "start_message", without_record(attempts.start_message)),
    "a retry keeps the attempt": (attempts, "_failed", same_attempt(attempts._failed)),
    "a slot that has run stays due": (schedules, "schedule_next", slot_again),
    "a parent gets another's result": (finish, "child_result", last_result(finish.child_result)),
    "a woken run is not ready": (finish, "make_resumable", after(finish.make_resumable, unready)),
    "nobody looks for runs to give out": (triggering, "enqueue", after(triggering.enqueue, unpump)),
    "batches are not counted down": (finish, "_count_down", nothing),
    "tokens wake nobody": (tokens, "_close", after(nothing, lambda ctx, token: ctx.tx.update_token(token))),
    "a repeated operation acts again": (operations, "_known", nothing),
    "operations of the last attempt stay": (MemoryTx, "delete_ops", nothing),
    "nothing is armed": (Context, "wake_at", nothing),
}


@contextmanager
def broken(name: str) -> Iterator[None]:
    owner, attribute, instead = BROKEN[name]
    with mock.patch.object(owner, attribute, instead):
        yield


@pytest.mark.parametrize("name", BROKEN)
def test_an_engine_that_is_broken_is_found_out(name: str) -> None:
    with broken(name):
        for first in range(0, MOST_SEEDS, 5):
            result = simulate(first, 5)
            if result.broken:
                print(f"{name}: found by seed {first}..{first + 4}: {result.failures[0][-200:]}")
                return
    pytest.fail(f"{MOST_SEEDS} seeds did not see that {name}")
