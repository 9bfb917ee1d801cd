"""Durable operations of an attempt: done once, recorded, and answered from the record ever after."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from triggerdev import errors, protocol
from triggerdev.engine import metadata as meta
from triggerdev.engine import options as wire
from triggerdev.engine.commands import attempts, batches, finish, requests, schedule_calls, tokens, traces
from triggerdev.engine.commands.trigger import Origin, check, known_by_keys, trigger
from triggerdev.engine.context import Context
from triggerdev.engine.model import Batch, LogEntry, Run, TriggerItem
from triggerdev.engine.store.protocol import OpRow
from triggerdev.protocol import Message

_DAY = 86_400_000
_MAX_WAIT_MS = 3660 * _DAY


@dataclass(slots=True)
class Effect:
    """What an operation did: its result, or what it waits for."""

    result: Any = None
    done: bool = True
    ref: str | None = None
    due_at: int | None = None


def record(ctx: Context, message: Message, worker: str) -> None:
    """Do an operation and record it, in one transaction; a repeated one is answered from the record."""
    run = attempts.holder(ctx, message)
    reply: Message = {
        "t": "reply",
        "id": message["id"],
        "run": message["run"],
        "token": message["token"],
    }
    ctx.tell(worker, reply)
    if run is None or run.cancel_requested:
        reply.update(error="The run is no longer this worker's.", error_kind="stale")
        return
    row = _known(ctx, run, message) or _perform(ctx, run, message)
    if not row.done:
        reply["pending"] = True
    elif protocol.is_refusal(row.result):
        reply.update(row.result)
    else:
        reply["result"] = row.result


def _known(ctx: Context, run: Run, message: Message) -> OpRow | None:
    if not run.has_ops:
        return None
    return ctx.tx.get_op(run.id, run.attempt, message["op"])


def _perform(ctx: Context, run: Run, message: Message) -> OpRow:
    try:
        effect = _effect(ctx, run, message)
    except errors.EngineError as error:  # recorded: a replay must see it fail, too
        if message["kind"] == protocol.METADATA:
            _tell_user(ctx, run, f"A change of metadata was refused. {error}")
        refused = {"error": str(error), "error_kind": type(error).__name__}
        effect = Effect(
            refused | {name: message["args"][name] for name in ("base",) if name in message["args"]}
        )
    row = OpRow(
        run_id=run.id,
        attempt=run.attempt,
        op=message["op"],
        n=(message["token"] << 32) + message["id"],  # each process of the run counts its messages from 1
        kind=message["kind"],
        target=message.get("target"),
        done=effect.done,
        result=effect.result,
        ref=effect.ref,
        due_at=effect.due_at,
        heard=message.get("heard"),
    )
    ctx.tx.insert_ops([row])
    ctx.wake_at(effect.due_at)
    ctx.crash_points("operation")
    if not run.has_ops:
        run.has_ops = True
        ctx.save(run)
    return row


def _tell_user(ctx: Context, run: Run, text: str) -> None:
    """Write into the run's log what its code need not wait for and may never hear."""
    ctx.tx.append_logs([LogEntry(0, run.id, run.attempt, ctx.now, "log", "error", text)])
    ctx.effects.logged.add(run.id)


def _effect(ctx: Context, run: Run, message: Message) -> Effect:
    perform = _KINDS.get(message["kind"])
    if perform is None:
        raise errors.InvalidOptionError(f"{message['kind']!r} is no operation of this engine.")
    return perform(ctx, run, message.get("target"), message["args"])


def _wait(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    due = args["until"] if "until" in args else ctx.now + args["for_ms"]
    if due > ctx.now + _MAX_WAIT_MS:
        raise errors.InvalidOptionError("A wait can last ten years at most.")
    key = _key(args)
    if key is not None:
        due = requests.wait_end(ctx, key, args.get("idempotency_ttl_ms"), due)
    return Effect(done=due <= ctx.now, due_at=None if due <= ctx.now else due)


def _key(args: dict[str, Any]) -> str | None:
    return wire.text(args.get("idempotency_key"), "idempotency_key", wire.MAX_IDEMPOTENCY_KEY)


def _wait_token(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    assert target is not None
    token = ctx.tx.get_token(target) or ctx.tx.token_by_key(target, ctx.now)
    if token is None and not args.get("is_name", True):
        raise errors.NoSuchRunError(f"Waitpoint {target!r} not found.")
    if token is None:
        token = tokens.find(ctx, tokens.create(ctx, args.get("timeout_ms"), key=target).id)
    if token.status != "WAITING":
        return Effect(tokens.result(token))
    return Effect(done=False, ref=token.id)


def _create_token(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    made = tokens.create(
        ctx,
        args.get("timeout_ms"),
        _key(args) or target,
        args.get("idempotency_ttl_ms"),
        args.get("tags"),
    )
    return Effect({"id": made.id, "is_cached": made.is_cached})


def _complete_token(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    assert target is not None
    tokens.complete(ctx, target, args.get("output"), args.get("output_type", "application/json"))
    return Effect({"ok": True})


def _item(task: str, args: dict[str, Any], index: int | None = None) -> TriggerItem:
    payload = args.get("payload")
    if payload is not None and len(payload) > protocol.MAX_STORED_BYTES:
        raise errors.InvalidOptionError(
            f"payload: {len(payload)} characters; {protocol.MAX_STORED_BYTES} bytes are allowed."
        )
    kind = args.get("payload_type", "application/json")
    return TriggerItem(task, payload, kind, args.get("options") or {}, index)


def _trigger(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    assert target is not None
    made = trigger(ctx, _item(target, args), Origin("trigger", parent=run, trace=traces.of_child(run, args)))
    ctx.flush()
    return Effect({"id": made.id, "is_cached": made.is_cached})


def _trigger_and_wait(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    assert target is not None
    origin = Origin("triggerAndWait", parent=run, trace=traces.of_child(run, args))
    made = trigger(ctx, _item(target, args), origin)
    ctx.flush()
    if made.is_cached:
        child = ctx.run(made.id)
        if child.status.is_final:
            return Effect(finish.child_result(child))
        _refuse_deadlock(ctx, run, child.id)
    return Effect(done=False, ref=made.id)


def _refuse_deadlock(ctx: Context, run: Run, first: str) -> None:
    """Refuse to wait for what an idempotency key has found if that waits for this run, over however many."""
    todo, seen = [first], set[str]()
    while todo:
        ref = todo.pop()
        if ref == run.id:
            raise errors.EngineError(
                f"Run {run.id} cannot wait for {first}, which waits for it: neither would ever end."
                " Use another idempotency key."
            )
        if ref not in seen:
            seen.add(ref)
            todo.extend(_waited_for(ctx, ref))


def _waited_for(ctx: Context, ref: str) -> list[str]:
    other = ctx.find(ref)
    if other is None:  # a batch, or a token
        return [run_id for _, run_id in ctx.tx.batch_items(ref) if run_id]
    if other.status.is_final or not other.has_ops:
        return []
    return [op.ref for op in ctx.tx.get_ops(other.id, other.attempt) if op.ref and not op.done]


def _batch(
    ctx: Context, run: Run, args: dict[str, Any], function: str
) -> tuple[Batch, bool, list[str | None]]:
    key = _key(args)
    items = [_item(raw["task"], raw, index) for index, raw in enumerate(args["items"])]
    made = batches.create(ctx, len(items), key, args.get("idempotency_ttl_ms"), run.id)
    batch = batches.get(ctx, made.id)
    if made.is_cached:
        return batch, True, [run_id for _, run_id in ctx.tx.batch_items(batch.id)]
    origin = Origin(function, parent=run, batch_id=batch.id, trace=traces.of_child(run, args))
    ids = batches.fill(ctx, batch, items, origin)
    batches.seal(ctx, batch)
    ctx.tx.update_batches([batch])
    return batch, False, ids


def _batch_trigger(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    _check_items(ctx, args["items"])
    batch, cached, ids = _batch(ctx, run, args, "batchTrigger")
    return Effect({"id": batch.id, "run_count": batch.run_count, "runs": ids, "is_cached": cached})


def _check_items(ctx: Context, items: list[dict[str, Any]]) -> None:
    """Refuse a batch with an item that cannot be triggered, before anything of it is."""
    problems = []
    for index, raw in enumerate(items):
        try:
            check(ctx, _item(raw["task"], raw, index))
        except errors.EngineError as error:
            problems.append(f"item {index}: {error}")
    if problems:
        raise errors.InvalidOptionError(
            f"{len(problems)} of {len(items)} items could not be triggered; {problems[0]}"
        )


def _batch_trigger_and_wait(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    for known in _known_by_keys(ctx, args):
        _refuse_deadlock(ctx, run, known)
    batch, _, _ = _batch(ctx, run, args, "batchTriggerAndWait")
    if batch.completed_at is not None:
        return Effect(finish.batch_result(ctx, batch))
    return Effect(done=False, ref=batch.id)


def _known_by_keys(ctx: Context, args: dict[str, Any]) -> list[str]:
    """List what the idempotency keys of a batch and its items will answer with, before anything is made."""
    key = args.get("idempotency_key")
    batch = ctx.tx.batch_by_key(key, ctx.now) if key is not None else None
    if batch is not None:
        return [batch.id] if batch.completed_at is None else []
    return known_by_keys(ctx, [_item(raw["task"], raw) for raw in args["items"]])


def _tags(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    before = run.tags
    add_tags(ctx, run, args.get("tags"))
    return Effect({"tags": run.tags, "before": before})


def add_tags(ctx: Context, run: Run, tags: Any) -> int:
    """Add tags to a run; returns how many were new."""
    merged = wire.tags([*run.tags, *wire.tags(tags)])
    added = len(merged) - len(run.tags)
    if added:
        run.tags = merged
        ctx.save(run)
    return added


def _metadata(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    result = {"metadata": change_metadata(ctx, run, args)}
    if "base" in args:
        result["base"] = args["base"]
    return Effect(result)


def change_metadata(ctx: Context, run: Run, args: dict[str, Any]) -> dict[str, Any]:
    """Apply operations to a run's metadata, its parent's and its root's (its own where it has no parent).

    What can be applied to one of them is, also if another refuses; that is raised at the end.
    """
    parent = ctx.find(run.parent_id) if run.parent_id else None
    root = ctx.find(run.root_id) if run.root_id else None
    targets = (
        (run, args.get("operations")),
        (parent or run, args.get("parent_operations")),
        (root or run, args.get("root_operations")),
    )
    refused: errors.EngineError | None = None
    for owner, operations in targets:
        if operations:
            try:
                owner.metadata = wire.metadata(meta.apply(owner.metadata, operations))
                ctx.save(owner)
            except errors.EngineError as error:
                refused = refused or error
    if refused is not None:
        raise refused
    return run.metadata or {}


def _reset_key(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    requests.reset_key(ctx, target or "", args["key"])
    return Effect({"id": args["key"]})


def _step(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    """Keep what a step of user code has given; `metadata` and `tags` are the run's own if it changed them."""
    output = args.get("output")
    if output is not None and len(output) > protocol.MAX_STORED_BYTES:
        raise errors.InvalidOptionError(
            f"The result of step {target!r} is {len(output)} characters; "
            f"{protocol.MAX_STORED_BYTES} bytes are allowed."
        )
    if "error" in args:  # the step has failed; its task may catch that and go on
        kept = {"error": args["error"]}
    else:
        kept = {"output": output, "output_type": args.get("output_type", "application/json")}
    return Effect(kept | {name: args[name] for name in ("metadata", "tags") if name in args})


def _schedule(ctx: Context, run: Run, target: str | None, args: dict[str, Any]) -> Effect:
    return Effect(schedule_calls.perform(ctx, args))


_KINDS: dict[str, Callable[[Context, Run, str | None, dict[str, Any]], Effect]] = {
    protocol.WAIT: _wait,
    protocol.WAIT_TOKEN: _wait_token,
    protocol.CREATE_TOKEN: _create_token,
    protocol.COMPLETE_TOKEN: _complete_token,
    protocol.TRIGGER: _trigger,
    protocol.TRIGGER_AND_WAIT: _trigger_and_wait,
    protocol.BATCH_TRIGGER: _batch_trigger,
    protocol.BATCH_TRIGGER_AND_WAIT: _batch_trigger_and_wait,
    protocol.TAGS: _tags,
    protocol.METADATA: _metadata,
    protocol.RESET_KEY: _reset_key,
    protocol.STEP: _step,
    protocol.SCHEDULE: _schedule,
}
