"""Durable operations of a run: done once and recorded; a replay gets what is recorded, in the same order."""

from typing import TYPE_CHECKING, Any

from triggerdev import errors, protocol
from triggerdev._crash import crash_point
from triggerdev.protocol import Message, OpRecord
from triggerdev.worker.executor.record import MAIN, Node, is_branch
from triggerdev.worker.executor.spans import TRIGGERS

if TYPE_CHECKING:
    from triggerdev.worker.executor.session import AttemptSession

STALE = "stale"
WAIT_TYPES = {
    protocol.WAIT: "duration",
    protocol.WAIT_TOKEN: "token",
    protocol.TRIGGER_AND_WAIT: "task",
    protocol.BATCH_TRIGGER_AND_WAIT: "batch",
}


class Operations:
    """What durable operations do in one attempt."""

    def __init__(self, session: "AttemptSession") -> None:
        self._session = session

    async def do(self, kind: str, target: str | None, args: dict[str, Any]) -> Any:
        """Give an operation's result: the recorded one, or the engine's, which is recorded then."""
        session = self._session
        node = session.operating_node()
        session.refuse_if_over()
        op_id = node.next_op()
        recorded = session.record.take(op_id)
        if recorded is None:
            session.record.go_live(node.path)
            session.run_metadata.send()
        else:
            self.compare(recorded, op_id, kind, target)
        result = await self._in_span(node, op_id, kind, target, args, recorded)
        if kind in protocol.WAITING_KINDS and session.own.is_used:
            await session.run_metadata.refresh_after(op_id)
        return result

    async def _in_span(
        self,
        node: Node,
        op_id: str,
        kind: str,
        target: str | None,
        args: dict[str, Any],
        recorded: OpRecord | None,
    ) -> Any:
        """Do an operation, or repeat it, and tell of it as a span of the run."""
        spans = self._session.spans
        span = spans.operation(op_id, kind, target, args, recorded)
        if span is None:
            return await self._do(node, op_id, kind, target, args, recorded)
        if kind in TRIGGERS:
            args = {**args, "traceparent": spans.as_caller(span)}
        try:
            result = await self._do(node, op_id, kind, target, args, recorded)
        except BaseException as error:
            span.end(error)
            raise
        spans.finish(span, result, recorded)
        return result

    async def _do(
        self,
        node: Node,
        op_id: str,
        kind: str,
        target: str | None,
        args: dict[str, Any],
        recorded: OpRecord | None,
    ) -> Any:
        session = self._session
        if recorded is None:
            return await session.perform(op_id, kind, target, args)
        crash_point("worker.replaying")
        if not recorded["done"]:
            return await session.perform(op_id, kind, target, None)
        result = await self.again(recorded)
        if kind in protocol.WAITING_KINDS:
            await self._resume_elsewhere(node.path, op_id, kind, target)
        return result

    async def again(self, recorded: OpRecord) -> Any:
        """Give a recorded result when its turn has come. Raises what an operation was refused with."""
        await self._session.turn(recorded["op"])
        result: Any = recorded.get("result")
        if protocol.is_refusal(result):
            raise refusal(result)
        return result

    async def _resume_elsewhere(self, path: str, op_id: str, kind: str, target: str | None) -> None:
        """Call on_resume hooks if the branch's record ends with this wait: in another process it goes on."""
        session = self._session
        is_last = is_branch(path) and not session.record.is_replaying(path)
        if is_last and session.attempt.has_hooks("on_resume"):
            wait = {"type": WAIT_TYPES.get(kind, kind), "target": target}
            await session.attempt.around_wait("on_resume", f"on_resume@{op_id.replace(':', '-')}", wait)

    def compare(self, recorded: OpRecord, op_id: str, kind: str, target: str | None) -> None:
        """Compare an operation with what is recorded under its id. Raises NonDeterminismError."""
        session = self._session
        if (recorded["kind"], recorded["target"]) == (kind, target):
            return
        now, before = _name(kind, target), _name(recorded["kind"], recorded["target"])
        version, line = session.start.get("version") or "unknown", session.user_line() or "an unknown line"
        session.divergence = errors.NonDeterminismError(
            f"Run {session.id} was replayed (version {version}) and did another operation than before: "
            f"operation {op_id} at {line} is {now}, its record says {before}. The order of waits and "
            "triggers must not depend on time, randomness or edited code; `runs.replay` starts the run anew."
        )
        raise session.divergence

    def warn_of_rest(self) -> None:
        """Say that the function has ended before the end of its record: operations were taken out of it."""
        session = self._session
        left = session.record.left_in(MAIN)
        if left:
            session.record.go_live(MAIN)
            first = left[0]
            what = _name(first["kind"], first["target"])
            version = session.start.get("version") or "unknown"
            session.log(
                "warn",
                f"The replayed function (version {version}) has ended without {len(left)} of the operations "
                f"that its record has; the first is {first['op']}, {what}. They were done and stay done.",
                None,
            )


def _name(kind: str, target: str | None) -> str:
    return f"{kind} {target!r}" if target else kind


def refusal(message: Message) -> Exception:
    """Make the exception of an operation that the engine refused, of the class that it names."""
    kind = getattr(errors, str(message.get("error_kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.TriggerError)):
        kind = errors.EngineError
    error: Exception = kind.__new__(kind)
    Exception.__init__(error, message["error"])
    return error
