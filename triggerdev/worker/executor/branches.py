"""The asyncio tasks of a run: numbered as they are created, ended by signals, seen when all of them wait."""

import asyncio
import asyncio.locks
import asyncio.queues
import asyncio.taskgroups
import contextvars
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from triggerdev.sdk import session as sessions
from triggerdev.worker.executor.failures import UserExit
from triggerdev.worker.executor.record import Node

if TYPE_CHECKING:
    from triggerdev.worker.executor.async_session import AsyncSession

NO_RUN = contextvars.Context()
_JOINING = frozenset(
    {asyncio.tasks.__file__, asyncio.taskgroups.__file__, asyncio.queues.__file__, asyncio.locks.__file__}
)


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine of a run, stepped so that a signal of the run is raised in it once, at its next step."""

    __slots__ = ("_coroutine", "_heard", "_session")

    def __init__(self, session: "AsyncSession", coroutine: Any) -> None:
        self._session = session
        self._coroutine = coroutine
        self._heard = 0

    def send(self, value: Any) -> Any:
        if self._session.alarm != self._heard:
            return self.throw(asyncio.CancelledError())
        try:
            return self._coroutine.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise UserExit(error) from error

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        error = typ if isinstance(typ, BaseException) else typ()
        session = self._session
        if session.signal is not None and session.alarm != self._heard:
            self._heard = session.alarm
            error = session.signal
        try:
            return self._coroutine.throw(error)
        except (SystemExit, KeyboardInterrupt) as problem:
            raise UserExit(problem) from problem

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:  # cr_frame, cr_await, __qualname__: for tracebacks and reprs
        return getattr(self._coroutine, name)


class Branch(asyncio.Task[Any]):
    """An asyncio task of a run."""

    def __init__(self, coroutine: Any, *, session: "AsyncSession", node: Node, **options: Any) -> None:
        self.session = session
        self.node = node
        self.steps = coroutine
        super().__init__(Steps(session, coroutine), **options)


def current_branch() -> Branch | None:
    """Give the branch that runs now in this thread, None outside of one."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return task if isinstance(task, Branch) else None


def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make the asyncio tasks of a loop (its task factory): those that a run creates are branches of it."""
    session: Any = _session_of(options.get("context"))
    if session is None or session.ended:
        return asyncio.Task(coroutine, loop=loop, **options)
    parent = asyncio.current_task(loop)
    is_mine = isinstance(parent, Branch) and parent.session is session
    owner = parent.node if is_mine and isinstance(parent, Branch) else session.main
    branch = Branch(coroutine, session=session, node=owner.child(), loop=loop, **options)
    session.adopt(branch)
    return branch


def _session_of(context: contextvars.Context | None) -> Any:
    session = sessions.current() if context is None else sessions.current_in(context)
    return session if hasattr(session, "adopt") else None


def follow(loop: Any, after_turn: Callable[[], None]) -> None:
    """Have a loop number the tasks of runs, note their timers, and call `after_turn` after each of its turns."""
    loop.set_task_factory(make_task)
    call_at, run_once = loop.call_at, loop._run_once

    def watched(when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        session = _session_of(context)
        if session is None:
            return call_at(when, callback, *args, context=context)

        def fire() -> None:
            session.timers.pop(id(handle), None)
            session.stir()
            callback(*args)

        handle = call_at(when, fire, context=context)
        session.timers[id(handle)] = handle
        return handle

    def turn() -> None:
        run_once()
        after_turn()

    loop.call_at = watched
    loop._run_once = turn


def waits_for_branches(branch: Branch, future: Any) -> bool:
    """Say whether a branch waits for others of its run: a task, gather, wait, TaskGroup, queue or lock."""
    if isinstance(future, Branch):
        return True
    if getattr(future, "_children", None) is not None:  # gather
        return True
    outer, inner = None, branch.steps
    while True:
        awaited = getattr(inner, "cr_await", None)
        if awaited is None or not hasattr(awaited, "cr_frame"):
            break
        outer, inner = inner, awaited
    if _file(inner) not in _JOINING:
        return False
    return "anyio" not in _file(outer)  # whose streams wait for sockets in an Event


def _file(coroutine: Any) -> str:
    code = getattr(coroutine, "cr_code", None)
    return code.co_filename if code is not None else ""
