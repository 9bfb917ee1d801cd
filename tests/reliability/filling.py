"""A database that is full before a server sees it: made by the engine's own commands, without workers."""

import functools
import time

from tests.engine.kit import manifest, task
from tests.model.core import Command, Core
from triggerdev import _json
from triggerdev.engine.commands import attempts
from triggerdev.engine.commands.trigger import trigger_many
from triggerdev.engine.context import Context
from triggerdev.engine.model import TriggerItem
from triggerdev.engine.store.protocol import Capacity, Store
from triggerdev.engine.tasks import TaskTable

_GROUP = 250
_AGO_MS = 60 * 60_000
_PAYLOAD = _json.dumps({"customer": "x" * 200})


def fill(store: Store, finished: int, queued: int, delayed: int, seed: int) -> None:
    """Store runs: `quick` ones that ended an hour ago, `narrow` ones in their queue, delayed `quick` ones."""
    core = Core(store, seed)
    core.now = time.time_ns() // 1_000_000 - _AGO_MS
    core.tasks = TaskTable(
        "1", manifest(task("quick"), task("narrow", queue={"name": "narrow", "concurrency_limit": 1}))
    )
    try:
        for count in _groups(finished):
            _do(core, functools.partial(_finish, count=count))
        for count in _groups(queued):
            _do(core, functools.partial(_trigger, name="narrow", count=count, options={}))
        for count in _groups(delayed):
            _do(core, functools.partial(_trigger, name="quick", count=count, options={"delay": "10d"}))
    finally:
        store.close()


def _groups(count: int) -> list[int]:
    return [min(_GROUP, count - done) for done in range(0, count, _GROUP)]


def _do(core: Core, command: Command) -> None:
    answer, why = core.do(command)
    assert answer == "ok", why


def _trigger(ctx: Context, name: str, count: int, options: dict[str, str]) -> list[str]:
    items = [TriggerItem(name, _PAYLOAD, options=dict(options)) for _ in range(count)]
    made = [result.id for result in trigger_many(ctx, items)]
    ctx.flush()
    return made


def _finish(ctx: Context, count: int) -> None:
    _trigger(ctx, "quick", count, {})
    assert attempts.claim(ctx, "w", [Capacity(["quick"], count)]) == count
    for _, message in list(ctx.effects.messages):
        run = message["run"]
        done = {"run": run["id"], "token": run["token"], "outcome": "ok", "output": _PAYLOAD, "usage_ms": 1}
        assert attempts.done(ctx, done)
