"""Debouncing: a trigger with the key of a run that is still delayed puts that run off and makes no other."""

from collections.abc import Sequence

from triggerdev import _json
from triggerdev.engine.context import Context
from triggerdev.engine.model import Debounce, Run, Status, TriggerItem, TriggerOptions
from triggerdev.engine.store.protocol import IdempotencyRow

_NO_TASK = (
    ""  # keys of this sort stand apart from the idempotency keys of runs, and go when they have expired
)


class Delayed:
    """The delayed runs that the debounce keys of one call stand for."""

    def __init__(self, ctx: Context, wanted: Sequence[tuple[str, Debounce]]) -> None:
        self._ctx = ctx
        pairs = [_pair(task, debounce.key) for task, debounce in wanted]
        rows = ctx.tx.get_keys(list(dict.fromkeys(pairs))) if pairs else {}
        self._runs = {pair: row.run_id for pair, row in rows.items()}
        self._changed: dict[tuple[str, str], IdempotencyRow] = {}
        ctx.preload(self._runs.values())

    def put_off(self, item: TriggerItem, options: TriggerOptions, max_duration_ms: int | None) -> Run | None:
        """Put off the run of an item's key and give it; None if there is none, or it can wait no longer."""
        debounce = options.debounce
        if debounce is None:
            return None
        run = self._ctx.find(self._runs.get(_pair(item.task, debounce.key), ""))
        until = self._ctx.now + debounce.delay_ms
        if run is None or not self._is_delayed(run) or _is_too_late(run, debounce, until):
            return None
        run.delayed_until = run.due_at = max(until, run.delayed_until or 0)
        if debounce.takes_last:
            self._replace(run, item, options, max_duration_ms)
        self._ctx.save(run)
        self.note(run, options)
        self._ctx.crash_points("trigger")
        return run

    def _is_delayed(self, run: Run) -> bool:
        """Tell if a run has not become due; what is due starts, though the timer may not have seen it yet."""
        return run.status is Status.DELAYED and (run.delayed_until or 0) > self._ctx.now

    def _replace(
        self, run: Run, item: TriggerItem, options: TriggerOptions, max_duration_ms: int | None
    ) -> None:
        """Give a run the payload of a later trigger, and of its options those that it has."""
        run.payload, run.payload_type = item.payload, item.payload_type
        run.metadata = options.metadata if options.metadata is not None else run.metadata
        run.tags = options.tags or run.tags
        run.machine = options.machine or run.machine
        run.max_attempts = options.max_attempts or run.max_attempts
        if options.max_duration_ms is not None:
            run.max_duration_ms = max_duration_ms
        if run.seq:
            self._ctx.tx.update_inputs([run])

    def note(self, run: Run, options: TriggerOptions) -> None:
        """Note which run a key stands for, until it starts."""
        if options.debounce is not None:
            pair = _pair(run.task, options.debounce.key)
            self._runs[pair] = run.id
            self._changed[pair] = IdempotencyRow(*pair, run.id, run.delayed_until or self._ctx.now)

    def save(self) -> None:
        if self._changed:
            self._ctx.tx.put_keys(list(self._changed.values()))


def _pair(task: str, key: str) -> tuple[str, str]:
    return _NO_TASK, "debounce " + _json.dumps([task, key])


def _is_too_late(run: Run, debounce: Debounce, until: int) -> bool:
    return debounce.max_delay_ms is not None and until > run.created_at + debounce.max_delay_ms
