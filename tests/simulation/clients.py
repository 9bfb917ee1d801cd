"""Who asks the servers for things from outside, and asks again when no answer comes."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation import programs
from tests.simulation.checks import KEPT_MS
from tests.simulation.server import Job
from triggerdev import errors
from triggerdev.engine.commands import batches, finish, operations, queues, retention, timers, tokens
from triggerdev.engine.commands import trigger as triggering
from triggerdev.engine.commands.retention import Position, Retention
from triggerdev.engine.context import Context
from triggerdev.engine.model import Run, Status, TriggerItem

if TYPE_CHECKING:
    from tests.simulation.world import World

_TASKS = ("job", "job", "child", "narrow", "plain", "plain", "plain", "keyed", "extra")
_QUEUES = ("task/job", "task/child", "shared", "per-key")
_PATIENCE = 5_000
_UNTIL_ANSWERED = 1_000
_BEGIN = Position()


class Clients:
    """Callers of the API."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.rng
        self._numbers = itertools.count()

    def schedule(self, horizon: int) -> None:
        """Choose who asks for what, and when."""
        acts: tuple[Callable[[], None], ...] = (
            self._trigger,
            self._trigger,
            self._trigger,
            self._trigger_twice,
            self._batch,
            self._cancel,
            self._cancel,
            self._cancel,
            self._replay,
            self._reschedule,
            self._complete_any,
            self._complete_any,
            self._describe,
            self._clean,
            self._pause,
            self._override,
        )
        for _ in range(self._rng.randint(5, 18)):
            self._world.at(self._rng.randrange(horizon), self._rng.choice(acts))

    def _ask(
        self,
        label: str,
        command: Callable[[Context], Any],
        then: Callable[[Any], None] = lambda _: None,
        again: int = 3,
    ) -> None:
        """Ask a server; without an answer in time, another one, or the same again."""
        up = [server for server in self._world.servers if server.is_up]
        answered: list[bool] = []

        def answer(value: Any) -> None:
            answered.append(True)
            then(value)

        def refused(error: Exception) -> None:
            if not isinstance(error, errors.StorageFullError):
                answered.append(True)
                self._world.count("client was refused")

        def look_again() -> None:
            if not answered and again:
                self._world.count("client asked again")
                self._ask(label, command, then, again - 1)

        if up:
            self._rng.choice(up).submit(Job(label, command, answer, refused, is_ours=False))
        self._world.after(_PATIENCE, look_again)

    def _item(self, index: int | None = None) -> TriggerItem:
        payload = programs.payload(self._rng.getrandbits(32), 0, f"client/{next(self._numbers)}")
        return TriggerItem(
            self._rng.choice(_TASKS), payload, options=programs.options_of(self._rng), index=index
        )

    def _trigger(self) -> None:
        item = self._item()
        self._ask(
            f"trigger {item.task} {item.options}", lambda ctx: triggering.trigger(ctx, item), self._made
        )

    def _made(self, made: Any) -> None:
        if made.is_cached:
            self._world.count("idempotency key known")
        self._world.checks.accepted.add(made.id)

    def _trigger_twice(self) -> None:
        item = self._item()
        key = self._rng.choice(tuple(programs.KEY_TTL))
        item.options |= {"idempotencyKey": key, "idempotencyKeyTTL": f"{programs.KEY_TTL[key] // 1000}s"}
        for _ in range(2):
            self._ask(f"trigger {item.task} by {key}", lambda ctx: triggering.trigger(ctx, item), self._made)

    def _batch(self) -> None:
        count = self._rng.randint(1, 4)
        items = [self._item(index) for index in range(count)]
        self._ask(
            f"create a batch of {count}",
            lambda ctx: batches.create(ctx, count, None, None, None),
            lambda made: self._fill(made.id, items),
        )

    def _fill(self, batch: str, items: list[TriggerItem]) -> None:
        """Send the items in parts that overlap; sometimes the rest never comes."""
        cut = self._rng.randint(0, len(items))
        parts = [items[: cut + 1], items[cut:]]
        for part in parts[: self._rng.choice((1, 2, 2, 2))]:
            self._ask(f"fill {batch}", lambda ctx, part=part: batches.add_items(ctx, batch, part))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

    def _a_run(self) -> Run | None:
        """Choose a run, of each status that there is with the same chance."""
        by_status: dict[Status, list[Run]] = {}
        for run in self._world.checks.tables.runs.values():
            by_status.setdefault(run.status, []).append(run)
        live = [status for status in by_status if not status.is_final]
        statuses = live if live and self._rng.random() < 0.8 else list(by_status)
        return self._rng.choice(by_status[self._rng.choice(statuses)]) if statuses else None

    def _cancel(self) -> None:
        run = self._a_run()
        if run is not None:
            self._world.count("cancel")
            self._ask(f"cancel {run.id}", lambda ctx: finish.cancel(ctx, run.id))

    def _replay(self) -> None:
        run = self._a_run()
        if run is not None and run.schedule_id is None:
            self._ask(f"replay {run.id}", lambda ctx: triggering.replay(ctx, run.id, {}), self._made)

    def _reschedule(self) -> None:
        run = self._a_run()
        if run is not None:
            self._ask(f"reschedule {run.id}", lambda ctx: timers.reschedule(ctx, run.id, "30s"))

    def _describe(self) -> None:
        run = self._a_run()
        if run is not None:
            self._ask(f"tag {run.id}", lambda ctx: operations.add_tags(ctx, ctx.run(run.id), ["z"]))

    def _clean(self, at: Position | None = _BEGIN) -> None:
        """Delete what has ended some time ago, step by step, as a server does by itself."""
        if at is None:
            return
        keep = Retention(runs_ms=KEPT_MS, logs_ms=KEPT_MS)
        self._ask("clean", lambda ctx: retention.step(ctx, keep, at, 3), self._clean, again=0)

    def _pause(self) -> None:
        """Pause a queue, and have it go on some time later."""
        queue = self._rng.choice(_QUEUES)
        self._world.count("a queue was paused")
        self._set_paused(queue, paused=True, again=0)  # asked for again, it might come after its end
        self._world.after(self._rng.choice((1_000, 60_000)), lambda: self._set_paused(queue, paused=False))

    def _set_paused(self, queue: str, *, paused: bool, again: int = _UNTIL_ANSWERED) -> None:
        def command(ctx: Context) -> Any:
            change = set.add if paused else set.discard
            self._world.checks.rule(lambda rules: change(rules.paused, queue))
            return queues.pause(ctx, queue, paused)

        self._ask(f"{'pause' if paused else 'resume'} {queue}", command, again=again)

    def _override(self) -> None:
        """Let another limit count, or the declared one again."""
        self._set_limit(self._rng.choice(_QUEUES), self._rng.choice((None, 1, 2, 5)))

    def _set_limit(self, queue: str, limit: int | None) -> None:
        def command(ctx: Context) -> Any:
            self._world.checks.rule(lambda rules: rules.overrides.update({queue: limit}))
            return queues.override(ctx, queue, limit)

        self._world.count("a limit was overridden")
        self._ask(f"the limit of {queue} is {limit}", command, again=_UNTIL_ANSWERED)

    def free_queues(self) -> None:
        """Have all queues go on, with their declared limits."""
        for queue in _QUEUES:
            self._set_paused(queue, paused=False)
            self._set_limit(queue, None)

    def _complete_any(self) -> None:
        waiting = [
            token.id for token in self._world.checks.tables.tokens.values() if token.status == "WAITING"
        ]
        if waiting:
            self.complete(self._rng.choice(waiting))

    def complete(self, token: str) -> None:
        """Complete a token."""
        self._ask(
            f"complete {token}", lambda ctx: tokens.complete(ctx, token, '"from outside"', "application/json")
        )
