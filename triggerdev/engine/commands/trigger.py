"""Making runs: options, queue, idempotency."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from triggerdev import errors
from triggerdev._traces import TraceContext
from triggerdev.engine import options as wire
from triggerdev.engine import retry
from triggerdev.engine.commands import debouncing
from triggerdev.engine.context import Context
from triggerdev.engine.model import Run, Status, TriggerItem, TriggerOptions, TriggerResult
from triggerdev.engine.store.protocol import IdempotencyRow
from triggerdev.protocol import TaskInfo


@dataclass(slots=True)
class Origin:
    """Where a trigger call came from: the parent's run, a batch, a schedule; the span whose trace goes on."""

    function: str = "trigger"
    parent: Run | None = None
    batch_id: str | None = None
    schedule_id: str | None = None
    is_replay: bool = False
    trace: TraceContext | None = None


NOWHERE = Origin()


def trigger(ctx: Context, item: TriggerItem, origin: Origin = NOWHERE) -> TriggerResult:
    """Make one run. Raises UnknownTaskError, InvalidOptionError."""
    return trigger_many(ctx, [item], origin)[0]


def trigger_many(ctx: Context, items: Sequence[TriggerItem], origin: Origin = NOWHERE) -> list[TriggerResult]:
    """Make many runs, in order.

    An item with a known idempotency key answers with the run of that key, one with the debounce key of a run
    that is still delayed puts that off and answers with it.
    """
    parsed = [(item, *check(ctx, item)) for item in items]
    keys = _Keys(ctx, [(item.task, o.idempotency_key) for item, _, o in parsed if o.idempotency_key])
    delayed = debouncing.Delayed(ctx, [(item.task, o.debounce) for item, _, o in parsed if o.debounce])
    results = []
    for item, task, options in parsed:
        known = keys.find(item.task, options)
        if known is not None:
            results.append(TriggerResult(known, is_cached=True))
            continue
        run = delayed.put_off(item, options, _max_duration(task, options))
        if run is not None:
            keys.note(run, options)
            results.append(TriggerResult(run.id, is_cached=False, is_debounced=True))
            continue
        run = _make(ctx, item, task, options, origin)
        ctx.add(run)
        keys.note(run, options)
        delayed.note(run, options)
        ctx.crash_points("trigger")
        results.append(TriggerResult(run.id, is_cached=False))
    keys.save()
    delayed.save()
    return results


def check(ctx: Context, item: TriggerItem) -> tuple[TaskInfo, TriggerOptions]:
    """Find an item's task and read its options. Raises UnknownTaskError, InvalidOptionError."""
    return ctx.tasks.find(item.task), wire.parse(item.options, ctx.now)


def known_by_keys(ctx: Context, items: Sequence[TriggerItem]) -> list[str]:
    """List the runs that items with a known idempotency key would answer with."""
    found = []
    for item in items:
        if item.options.get("idempotencyKey") is not None:
            with contextlib.suppress(errors.EngineError):  # the item will be noted as one that is wrong
                options = check(ctx, item)[1]
                key = options.idempotency_key
                found.append(_Keys(ctx, [(item.task, key)]).find(item.task, options) if key else None)
    return [run_id for run_id in found if run_id is not None]


class _Keys:
    """The idempotency keys of one call: what is stored, and what the call itself adds."""

    def __init__(self, ctx: Context, pairs: list[tuple[str, str]]) -> None:
        self._ctx = ctx
        self._rows = ctx.tx.get_keys(pairs) if pairs else {}
        self._added: dict[tuple[str, str], IdempotencyRow] = {}
        ctx.preload(row.run_id for row in self._rows.values())

    def find(self, task: str, options: TriggerOptions) -> str | None:
        if options.idempotency_key is None:
            return None
        pair = (task, options.idempotency_key)
        if pair in self._added:
            return self._added[pair].run_id
        row = self._rows.get(pair)
        if row is None or row.expires_at <= self._ctx.now:
            return None
        run = self._ctx.find(row.run_id)
        return row.run_id if run is not None and retry.is_kept_by_idempotency(run.status) else None

    def note(self, run: Run, options: TriggerOptions) -> None:
        if options.idempotency_key is not None:
            given = options.idempotency_ttl_ms
            lifetime = wire.DEFAULT_IDEMPOTENCY_TTL_MS if given is None else given
            self._added[run.task, options.idempotency_key] = IdempotencyRow(
                run.task, options.idempotency_key, run.id, self._ctx.now + lifetime
            )

    def save(self) -> None:
        if self._added:
            self._ctx.tx.put_keys(list(self._added.values()))


def _make(ctx: Context, item: TriggerItem, task: TaskInfo, options: TriggerOptions, origin: Origin) -> Run:
    parent, trace = origin.parent, origin.trace
    run = Run(
        seq=0,
        id=ctx.new_id("run"),
        task=item.task,
        status=Status.PENDING,
        queue=_queue(ctx, task, options),
        created_at=ctx.now,
        updated_at=ctx.now,
        payload=item.payload,
        payload_type=item.payload_type,
        metadata=options.metadata,
        tags=options.tags,
        machine=options.machine or task.get("machine"),
        concurrency_key=options.concurrency_key,
        priority=options.priority,
        ttl_ms=options.ttl_ms if options.ttl_ms is not None else task.get("ttl_ms"),
        max_attempts=options.max_attempts,
        max_duration_ms=_max_duration(task, options),
        parent_id=parent.id if parent else None,
        root_id=(parent.root_id or parent.id) if parent else None,
        depth=parent.depth + 1 if parent else 0,
        trigger_function=origin.function,
        batch_id=origin.batch_id,
        schedule_id=origin.schedule_id,
        idempotency_key=options.idempotency_key,
        idempotency_display=options.idempotency_display,
        is_test=options.is_test,
        is_replay=origin.is_replay,
        idempotency_scope=options.idempotency_scope if options.idempotency_key else None,
        traceparent=trace.traceparent if trace else None,
        tracestate=trace.tracestate if trace else None,
    )
    delay_until = options.delay_until
    if options.debounce is not None:
        delay_until = ctx.now + options.debounce.delay_ms
    if delay_until is not None:
        run.status = Status.DELAYED
        run.delayed_until = run.due_at = delay_until
        ctx.wake_at(run.due_at)
    else:
        enqueue(ctx, run)
    return run


def enqueue(ctx: Context, run: Run) -> None:
    """Put a PENDING run in its queue; its TTL starts now."""
    run.queued_at = ctx.now
    run.score = ctx.now - round(run.priority * 1000)
    run.ready = True
    run.due_at = run.expires_at = ctx.now + run.ttl_ms if run.ttl_ms else None
    ctx.wake_at(run.due_at)
    ctx.effects.pump = True
    ctx.event("queued", run)


def _queue(ctx: Context, task: TaskInfo, options: TriggerOptions) -> str:
    name = options.queue or ctx.tasks.queue_of(task)
    if options.queue_limit is not None:
        ctx.tx.put_queue(name, options.queue_limit, ctx.now)
    elif options.queue is not None and not ctx.has_queue(name):
        raise errors.InvalidOptionError(
            f"queue: no task declares {name!r}, and no run was put in it. Declare it with queue({name!r}), "
            f"or say its limit at the trigger: queue={{'name': {name!r}, 'concurrency_limit': 5}}."
        )
    return name


def _max_duration(task: TaskInfo, options: TriggerOptions) -> int | None:
    if options.max_duration_ms is not None:
        return options.max_duration_ms
    seconds = task.get("max_duration")
    return round(seconds * 1000) if seconds else None


def replay(ctx: Context, run_id: str, overrides: dict[str, Any]) -> TriggerResult:
    """Make a new run with the payload, metadata, tags, queue and machine of an old one, or with overrides.

    `overrides` has the wire's keys. Idempotency key, delay, TTL and parent are not copied.
    """
    old = ctx.run(run_id)
    options: dict[str, Any] = {
        "metadata": old.metadata,
        "tags": old.tags,
        "queue": old.queue,
        "concurrencyKey": old.concurrency_key,
        "machine": old.machine,
        "maxAttempts": old.max_attempts,
        "priority": old.priority,
        "test": old.is_test,
    }
    options.update({k: v for k, v in overrides.items() if k not in ("payload", "payloadType")})
    item = TriggerItem(old.task, old.payload, old.payload_type, options)
    if "payload" in overrides:
        item.payload = overrides["payload"]
        item.payload_type = overrides.get("payloadType", "application/json")
    return trigger(ctx, item, Origin(is_replay=True))
