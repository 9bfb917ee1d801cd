"""The asyncio tasks of a run: numbered as they are created, ended by signals, seen when all of them wait."""

import asyncio
import asyncio.locks
import asyncio.queues
import asyncio.taskgroups
import contextvars
import gc
from collections.abc import Callable, Coroutine, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from triggerdev.errors import RunSignal
from triggerdev.sdk import session as sessions
from triggerdev.sdk.calls import Call
from triggerdev.worker.executor.failures import UserExit
from triggerdev.worker.executor.record import Node

if TYPE_CHECKING:
    from triggerdev.worker.executor.async_session import AsyncSession

NO_RUN = contextvars.Context()
_JOINS = frozenset({asyncio.tasks.__file__, asyncio.taskgroups.__file__})
_MEETS = frozenset({asyncio.queues.__file__, asyncio.locks.__file__})


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine of a run, stepped so that a signal of the run is raised in it once, at its next step.

    One that ends by that signal counts as cancelled: if it had failed, a TaskGroup would cancel the others,
    and cut short how they clean up.
    """

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
        except RunSignal as signal:
            if signal is self._session.signal:
                raise asyncio.CancelledError from signal
            raise

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
        except RunSignal as signal:
            if signal is self._session.signal:
                raise asyncio.CancelledError from signal
            raise

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
    """Have a loop number the tasks of runs, note their timers, and call `after_turn` after each turn."""
    loop.set_task_factory(make_task)
    call_at, run_once = loop.call_at, loop._run_once

    def watched(when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        session = _session_of(context)
        if session is None:
            return call_at(when, callback, *args, context=context)

        def fire() -> None:
            if session.hold(fire, when):
                return
            session.timers.pop(id(handle), None)
            if not handle.cancelled():  # since it was held
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


def joins_branches(branch: Branch, future: Any) -> bool:
    """Say whether a branch waits until others end: a task, gather, wait, wait_for, TaskGroup."""
    if isinstance(future, Branch) or getattr(future, "_children", None) is not None:
        return True
    inner, _ = _innermost(branch)
    return _file(inner) in _JOINS and inner.cr_code.co_name != "sleep"


def is_asleep(branch: Branch) -> bool:
    """Say whether a branch is in asyncio.sleep."""
    inner, _ = _innermost(branch)
    return _file(inner) == asyncio.tasks.__file__ and inner.cr_code.co_name == "sleep"


def waits_for_branches(branch: Branch, future: Any) -> bool:
    """Say whether a branch waits for others of its run: it joins them, or waits at a queue or lock."""
    if joins_branches(branch, future):
        return True
    inner, outer = _innermost(branch)
    return _file(inner) in _MEETS and "anyio" not in _file(
        outer
    )  # whose streams wait for sockets in an Event


def waiting_at(branch: Branch) -> list[tuple[str, int]]:
    """List the places (file and line) at which a branch that waits stands, the innermost first."""
    places = []
    coroutine = _opened(branch.steps)
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        places.append((frame.f_code.co_filename, frame.f_lineno))
        coroutine = _opened(coroutine.cr_await)
    return places[::-1]


def _innermost(branch: Branch) -> tuple[Any, Any]:
    """Give the coroutine in which a branch waits, and the one that awaits it."""
    outer, inner = None, _opened(branch.steps)
    while hasattr(awaited := _opened(getattr(inner, "cr_await", None)), "cr_frame"):
        outer, inner = inner, awaited
    return inner, outer


def _opened(awaited: Any) -> Any:
    """Give the coroutine itself for one of our calls, or for what awaiting such a call makes of it."""
    if type(awaited).__name__ == "coroutine_wrapper":
        return gc.get_referents(awaited)[0]
    return awaited.coroutine if isinstance(awaited, Call) else awaited


def _file(coroutine: Any) -> str:
    code = getattr(coroutine, "cr_code", None)
    return code.co_filename if code is not None else ""


_as_completed: Any = asyncio.as_completed


def ordered_as_completed(fs: Any, **options: Any) -> Any:
    """Do what asyncio.as_completed does, but create the tasks of a run in the order given.

    The original goes through a set, whose order changes from process to process, and with it the numbers of
    the tasks that a replay relies on.
    """
    if _session_of(None) is not None and isinstance(fs, Iterable):
        fs = [asyncio.ensure_future(item) for item in fs]
    return _as_completed(fs, **options)


asyncio.as_completed = asyncio.tasks.as_completed = ordered_as_completed
