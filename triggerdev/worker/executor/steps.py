"""Steps of a run: functions that are called once, whose results are recorded and given again by a replay."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from triggerdev import protocol
from triggerdev._crash import crash_point
from triggerdev.sdk import serialise
from triggerdev.worker.executor import step_errors
from triggerdev.worker.executor.course import is_failure
from triggerdev.worker.executor.record import Node, inside

if TYPE_CHECKING:
    from triggerdev.worker.executor.session import AttemptSession


class Steps:
    """What `ctx.step` does in one attempt."""

    def __init__(self, session: "AttemptSession") -> None:
        self._session = session

    async def do(self, name: str, function: Callable[[], Any]) -> Any:
        """Give a step's result: the recorded one, or that of the function, which is recorded then."""
        session = self._session
        node = session.operating_node()
        session.refuse_if_over()
        op_id = node.next_op()
        step = inside(op_id)
        recorded = session.record.take(op_id)
        try:
            if recorded is None:
                session.record.enter_step(node.path, step.path)
                kept = await self._do_now(op_id, name, step, function)
            else:
                session.operations.compare(recorded, op_id, protocol.STEP, name)
                kept = recorded.get("result") or {}
                span = session.spans.operation(op_id, protocol.STEP, name, {}, recorded)
                if span is not None:  # its end had not been told
                    session.spans.finish(span, None, recorded)
                if not is_failure(recorded) or session.record.is_entered(step.path):
                    await session.operations.again(recorded)
                self._take_state(kept, op_id)
                if "error" in kept:
                    raise step_errors.rebuild(kept["error"])
        finally:
            session.record.leave_step(step.path)
        return serialise.load(kept["output"], kept["output_type"])

    async def _do_now(self, op_id: str, name: str, step: Node, function: Callable[[], Any]) -> Any:
        session = self._session
        before = session.own.touches, session.tags()
        span = session.spans.operation(op_id, protocol.STEP, name, {}, None)
        assert span is not None
        try:
            span.enter()
            try:
                with session.counting(step):
                    value = await session.call_step(function)
            finally:
                span.leave()
            crash_point("worker.step_done")
            text = step_errors.result_text(name, value)
        except Exception as error:
            span.end(error)
            self._keep_failure(op_id, name, error, *before)
            raise
        span.end()
        session.refuse_if_over()  # a signal may have been swallowed in there
        session.record.go_live(session.node().path)
        session.run_metadata.send()
        args = {"output": text, "output_type": serialise.JSON, **self._new_state(*before)}
        return await session.perform(op_id, protocol.STEP, name, args)

    def _keep_failure(self, op_id: str, name: str, error: Exception, touches: int, tags: list[str]) -> None:
        """Record how a step has failed: the task may catch that and go on."""
        session = self._session
        kept = step_errors.describe(error) if session.signal is None and session.divergence is None else None
        if kept is not None:
            session.record.go_live(session.node().path)
            session.run_metadata.send()
            args = {"error": kept, **self._new_state(touches, tags)}
            session.post(op_id, protocol.STEP, args, name)

    def _new_state(self, touches: int, tags: list[str]) -> dict[str, Any]:
        """Give what a step has changed of the run, since its replay will not."""
        session = self._session
        state: dict[str, Any] = {}
        if touches != session.own.touches:
            state["metadata"] = session.own.snapshot()
        if session.tags() != tags:
            state["tags"] = session.tags()
        return state

    def _take_state(self, kept: dict[str, Any], op_id: str) -> None:
        """Show what a recorded step has changed of the run."""
        session = self._session
        if "metadata" in kept:
            session.own.show(kept["metadata"], session.own.moment(session.record.place(op_id)))
        if "tags" in kept:
            session.context.run.tags[:] = kept["tags"]
