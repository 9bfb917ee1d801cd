"""What workers say, as commands: a frame of messages is one command, in order."""

from collections.abc import Callable, Sequence
from typing import Any

from triggerdev.engine.commands import attempts, operations
from triggerdev.engine.context import Context
from triggerdev.engine.model import LogEntry, Span
from triggerdev.protocol import Message

MAX_LINE = 65_536


def handle(ctx: Context, worker: str, messages: Sequence[Message]) -> None:
    """Carry out a frame of run-level messages of one worker."""
    ctx.preload(message["run"] for message in messages if "run" in message)
    for message in messages:
        handle_one(ctx, worker, message)


def handle_one(ctx: Context, worker: str, message: Message) -> None:
    """Carry out one message. A message under an old token has no effect; its sender is told to let go."""
    carry_out = _KINDS.get(message["t"])
    if carry_out is not None:
        carry_out(ctx, worker, message)


def instead_of(message: Message, error: Exception) -> Message | None:
    """Make what stands for a message that cannot be stored: a refusing reply, a failed end, another start."""
    reason = f"{type(error).__name__}: {error}"
    if message.get("t") == "op":
        reply = {**_address(message), "t": "reply", "id": message["id"], "error": _plain(reason)}
        return {"t": "refused", "reply": {**reply, "error_kind": "InvalidOptionError"}}
    if message.get("t") == "done":
        text = f"The outcome of the attempt cannot be stored. {reason}"
        failure = {"type": "INTERNAL_ERROR", "code": "TASK_OUTPUT_ERROR", "message": _plain(text)}
        return {**_address(message), "t": "done", "outcome": "failed", "error": failure}
    if message.get("t") in ("park", "evicted"):
        return {"t": "lost", "runs": [[message["run"], message["token"]]]}
    return None


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _let_go(ctx: Context, worker: str, message: Message) -> None:
    run = ctx.find(message["run"])
    if run is None or run.token != message["token"] or run.status.is_final:
        ctx.tell(worker, {**_address(message), "t": "cancel", "reason": "lease_lost"})


def _address(message: Message) -> dict[str, Any]:
    return {"run": message["run"], "token": message["token"]}


def append_logs(ctx: Context, lines: Sequence[dict[str, Any]]) -> None:
    """Store lines of runs; a line longer than 64 KB is cut."""
    entries = [
        LogEntry(
            0,
            line["run"],
            line.get("attempt", 0),
            line.get("at", ctx.now),
            line.get("stream", "stdout"),
            line.get("level", "info"),
            _plain(line["message"][:MAX_LINE]),
            line.get("data"),
            line.get("span"),
        )
        for line in lines
    ]
    ctx.tx.append_logs(entries)
    ctx.crash_points("logs")
    ctx.effects.logged.update(entry.run for entry in entries)


def put_spans(ctx: Context, message: Message) -> None:
    """Store what a run's worker tells of its spans, if it still is the run's."""
    run = attempts.holder(ctx, message)
    if run is None:
        return
    spans = [
        Span(
            run.id,
            each["id"],
            run.attempt,
            each["parent"],
            _plain(each["name"]),
            each["kind"],
            each["start"],
            each.get("end"),
            _plain(each["error"]) if "error" in each else None,
            each.get("attributes"),
            each.get("events"),
        )
        for each in message["spans"]
    ]
    ctx.tx.put_spans(spans)


def _park(ctx: Context, worker: str, message: Message) -> None:
    if not attempts.park(ctx, message):
        _let_go(ctx, worker, message)


_KINDS: dict[str, Callable[[Context, str, Message], object]] = {
    "op": lambda ctx, worker, message: operations.record(ctx, message, worker),
    "done": lambda ctx, worker, message: attempts.done(ctx, message),
    "park": _park,
    "wake": lambda ctx, worker, message: attempts.wake(ctx, message),
    "evicted": lambda ctx, worker, message: attempts.evicted(ctx, message),
    "lost": lambda ctx, worker, message: attempts.lost(ctx, message),
    "refused": lambda ctx, worker, message: ctx.tell(worker, message["reply"]),
    "logs": lambda ctx, worker, message: append_logs(ctx, message["lines"]),
    "spans": lambda ctx, worker, message: put_spans(ctx, message),
}
