"""The life of one attempt: hooks, middleware, run, and what its end means.

    init of the process -> middleware( init -> on_start (first attempt) -> on_start_attempt -> run
        ok     on_success -> on_complete
        error  catch_error -> (no retry left) on_failure -> on_complete )

Middleware hears of an error, but what the inside has come to stands.

The same coroutine serves both executors; under the blocking one it never suspends.
"""

from collections.abc import Iterator
from typing import Any

from triggerdev import errors
from triggerdev._crash import crash_point
from triggerdev.protocol import Message
from triggerdev.sdk import serialise
from triggerdev.worker.executor import decisions, failures, payloads, shortage
from triggerdev.worker.executor.binding import Bound
from triggerdev.worker.executor.project import Plan
from triggerdev.worker.executor.session import AttemptSession


class Attempt:
    """Executes one attempt and gives the fields of its Done message."""

    def __init__(self, session: AttemptSession, plan: Plan) -> None:
        self._session = session
        self._plan = plan
        self._payload: Any = None
        self._init: Any = None
        self._is_told = False
        self._inside: Message | None = None  # what everything that middleware is around has come to
        self._inner_error: BaseException | None = None

    async def execute(self) -> Message:
        """Run to the end; never raises, whatever user code does."""
        try:
            return await self._to_end()
        except GeneratorExit:
            raise
        except BaseException as error:  # a signal or an exit out of the hooks of the end
            signal = self._session.signal
            if signal is not None:
                return self.signalled(signal)
            return {"outcome": "failed", "error": failures.describe(error, self._session.project.root)}

    async def _to_end(self) -> Message:
        try:
            output = await self._body()
            text = payloads.dump_output(output) if self._inside is None else None
        except GeneratorExit:
            raise
        except BaseException as error:
            return await self._ended(error) if self._inside is None else await self._ended_around(error)
        if self._session.signal is not None:
            return self.signalled(self._session.signal)
        return await self._succeeded(output, text) if self._inside is None else self._inside

    async def _body(self) -> Any:
        plan, session = self._plan, self._session
        start, project = session.start, session.project
        self._payload = plan.load(start.get("payload"), start.get("payload_type") or serialise.JSON)
        if project.process_inits:
            self._init = await session.init_process()
        if not plan.hooks and project.attempt_init is None:
            return await self._run()
        return await self._wrapped(list(plan.hooks.get("middleware", ())))

    async def _all_inside(self) -> Any:
        """Do everything that middleware is around, with the hooks of its end."""
        try:
            await self._start_hooks()
            output = await self._run()
            text = payloads.dump_output(output)
        except GeneratorExit:
            raise
        except BaseException as error:
            self._inside = await self._ended(error)
            if self._inside["outcome"] != "ok":
                self._inner_error = error
                raise
            return getattr(failures.find_signal(error), "output", None)
        self._inside = await self._succeeded(output, text)
        return output

    async def _ended_around(self, error: BaseException) -> Message:
        """End an attempt whose middleware raised after the inside had come to its end."""
        assert self._inside is not None
        if self._session.signal is not None:
            return self.signalled(self._session.signal)
        if self._inside["outcome"] == "ok" or failures.find_signal(error) is not None:
            return await self._ended(error)
        if error is not self._inner_error:
            text = f"A middleware failed after the run had: {type(error).__name__}: {error}"
            self._session.log("error", text, None)
        return self._inside

    async def _wrapped(self, middleware: list[Bound]) -> Any:
        """Call the outermost middleware around the rest."""
        if not middleware:
            return await self._all_inside()
        name = f"middleware{len(middleware)}"
        session = self._session
        main = session.node()
        inside: list[Any] = []
        problem: list[BaseException] = []

        async def go_on() -> Any:
            previous = session.set_node(main)
            try:
                inside.append(await self._wrapped(middleware[1:]))
            except BaseException as error:
                problem.append(error)
                raise
            finally:
                session.set_node(previous)
            return inside[0]

        with session.phase(name):
            try:
                result = await self._call(middleware[0], next=go_on)
            except Exception as error:
                if problem or isinstance(error, (errors.TriggerError, MemoryError)):
                    raise
                raise failures.MiddlewareError(f"{type(error).__name__}: {error}") from error
        return inside[0] if inside else result

    async def _start_hooks(self) -> None:
        session = self._session
        if session.project.attempt_init is not None:
            with session.phase("init"):
                self._init = await self._call(session.project.attempt_init)
        if session.record.main_started:
            return  # a replay that got past them before
        names = ("on_start", "on_start_attempt") if session.start["attempt"] == 1 else ("on_start_attempt",)
        for name in names:
            for phase, hook in self._phases(name):
                with session.phase(phase):
                    await self._call(hook)

    async def _run(self) -> Any:
        crash_point("worker.before_code")
        try:
            output = await self._call(self._plan.run)
        except errors.CompleteTaskWithOutput as complete:
            output = complete.output
        crash_point("worker.after_code")
        return output

    def _phases(self, name: str, place: str = "") -> Iterator[tuple[str, Bound]]:
        """Yield hooks, each with a name of its own for the operations in it."""
        for index, hook in enumerate(self._plan.hooks.get(name, ())):
            yield f"{place or name}.{index}" if index else place or name, hook

    async def _call(self, function: Bound, **more: Any) -> Any:
        given = {"payload": self._payload, "init": self._init, **more}
        return await self._session.call(function, self._session.values(function, given))

    # -- the ends

    async def _succeeded(self, output: Any, text: str | None) -> Message:
        session = self._session
        if session.signal is not None:
            return self.signalled(session.signal)
        if session.divergence is not None:
            return await self._failed(session.divergence)
        session.operations.warn_of_rest()
        if self._plan.hooks:
            await self._tolerant("on_success", output=output)
            await self._tolerant("on_complete", output=output, result={"ok": True, "data": output})
        return {"outcome": "ok", "output": text, "output_type": serialise.JSON}

    async def _ended(self, error: BaseException) -> Message:
        session = self._session
        if session.signal is not None:
            return self.signalled(session.signal)
        if session.divergence is not None:
            return await self._failed(session.divergence)
        signal = failures.find_signal(error)
        if isinstance(signal, errors.CompleteTaskWithOutput):
            try:
                return await self._succeeded(signal.output, payloads.dump_output(signal.output))
            except payloads.OutputError as problem:
                error = problem
        elif signal is not None:  # raised past us, by a signal handler in code that blocks
            session.signal = signal
            if isinstance(signal, errors.RunCancelled):
                await self.cancelled("cancelled")
            return self.signalled(signal)
        if session.confinement.bounds and shortage.is_shortage(error):
            session.confinement.lift()
            if not session.alone:  # others have used that memory, too: this one goes on by itself
                return {"outcome": "evicted", "suspect": True}
        return await self._failed(error)

    def signalled(self, signal: errors.RunSignal) -> Message:
        """Give the fields of the message that ends a run which a signal ended."""
        if isinstance(signal, errors.RunEvicted):
            return {"outcome": "evicted"}
        if isinstance(signal, errors.RunTimedOut):
            return {"outcome": "timed_out", "error": failures.describe(signal, self._session.project.root)}
        return {"outcome": "cancelled"}

    async def _failed(self, error: BaseException) -> Message:
        decision, error = await self._decide(error)
        session = self._session
        info = failures.describe(error, session.project.root)
        ran_out = shortage.is_said(error) or (session.confinement.bounds and shortage.is_shortage(error))
        if ran_out:
            shortage.mark(info, error, session.context.machine.preset, session.peak().get("peak_memory"))
        done: Message = {"outcome": "failed", "error": info, **decision}
        if failures.skips_retry(error):
            done["skip_retry"] = True
        if self._plan.hooks and self._is_last(done, ran_out):
            await self._tolerant("on_failure", error=error)
            await self._tolerant("on_complete", error=error, result={"ok": False, "error": error})
        if session.signal is not None:
            return self.signalled(session.signal)
        return done

    def _is_last(self, done: Message, ran_out: bool) -> bool:
        """Say whether no attempt follows a failed one."""
        start = self._session.start
        if done.get("skip_retry") or start["attempt"] >= (start.get("max_attempts") or 1):
            return True
        return ran_out and not start.get("larger_machine")

    async def _decide(self, error: BaseException) -> tuple[Message, BaseException]:
        """Ask catch_error: the first that returns something decides about the retry."""
        if isinstance(error, (payloads.InputError, errors.NonDeterminismError)):
            return {}, error
        for phase, hook in self._phases("catch_error"):
            try:
                with self._session.phase(phase):
                    answer = await self._call(hook, error=error)
                if answer is None:
                    continue
                return decisions.read(answer, error)
            except errors.AbortTaskRunError as abort:
                return {"skip_retry": True}, abort
            except Exception as problem:
                broken = failures.HookError(f"catch_error failed: {type(problem).__name__}: {problem}")
                broken.__cause__ = problem
                return {}, broken
        return {}, error

    async def _tolerant(self, name: str, **values: Any) -> None:
        """Call hooks whose errors are logged and otherwise ignored."""
        for phase, hook in self._phases(name):
            try:
                with self._session.phase(phase):
                    await self._call(hook, **values)
            except Exception as problem:
                info = failures.describe(problem, self._session.project.root)
                where = info.get("location") or "unknown line"
                text = f"{name} hook failed and is ignored: {info['name']}: {info['message']} ({where})"
                self._session.log("error", text, None)

    async def cancelled(self, reason: str) -> None:
        """Call the on_cancel hooks, once."""
        if self._is_told:
            return
        self._is_told = True
        await self._tolerant("on_cancel", reason=reason)

    async def around_wait(self, name: str, place: str, wait: dict[str, Any]) -> None:
        """Call on_wait or on_resume hooks; `place` names this wait for the operations in them."""
        for phase, hook in self._phases(name, place):
            try:
                with self._session.phase(phase):
                    await self._call(hook, wait=wait)
            except Exception as problem:
                self._session.log("error", f"{name} hook failed and is ignored: {problem}", None)

    def has_hooks(self, name: str) -> bool:
        """Say whether hooks of this name are there."""
        return name in self._plan.hooks
