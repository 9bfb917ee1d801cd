"""The asyncio tasks of a run: numbered as they are created, ended by signals, seen when all of them wait."""

import asyncio
import asyncio.base_subprocess
import asyncio.locks
import asyncio.queues
import asyncio.taskgroups
import contextvars
import gc
from collections.abc import Callable, Coroutine
from enum import IntEnum
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
_WATCHED = "watched_timer"  # another executor of the loop may watch it already, in tests
_PACKAGE = __file__.rpartition("worker")[0]
_LIBRARY = asyncio.__file__.rpartition("asyncio")[0]
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
        session = self._session
        session.last_step = session.executor.turns
        if session.is_still:
            session.act_again()
        if session.alarm != self._heard:
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
        session.last_step = session.executor.turns
        if session.is_still:
            session.act_again()
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
    session: Any = session_of(options.get("context"))
    if session is None or session.ended or _connects_pipes(coroutine):
        return asyncio.Task(coroutine, loop=loop, **options)
    parent = asyncio.current_task(loop)
    is_mine = isinstance(parent, Branch) and parent.session is session
    owner = parent.node if is_mine and isinstance(parent, Branch) else session.main
    node = owner.child() if is_mine and _is_counted(coroutine, session.project.root) else owner.stranger()
    branch = Branch(coroutine, session=session, node=node, loop=loop, **options)
    session.adopt(branch)
    return branch


def _connects_pipes(coroutine: Any) -> bool:
    """Say whether a task is asyncio's own that connects a program's pipes, which takes a few turns.

    If it heard the run's signal, nobody would notice the program's end: who waits for that would not end.
    """
    return _file(coroutine) == asyncio.base_subprocess.__file__


def _is_counted(coroutine: Any, root: str) -> bool:
    """Say whether a task carries out code of the project, or a call of ours.

    A library may make tasks of its own or not (a connection is open already), and the end of a generator that
    was left comes at any time: those must not change the numbers of the others.
    """
    coroutine = _opened(coroutine)
    if _is_own(coroutine, root):
        return True
    frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
    return frame is not None and any(_is_own(value, root) for value in frame.f_locals.values())


def _is_own(value: Any, root: str) -> bool:
    if isinstance(value, Call):
        return True
    for name in ("cr_code", "gi_code", "__code__"):
        code = getattr(value, name, None)
        if code is not None:
            return is_project_file(code.co_filename, root)
    return False


def is_project_file(file: str, root: str) -> bool:
    """Say whether a file is the project's or ours, not one of a library."""
    if file.startswith(_PACKAGE):
        return True
    return file.startswith(root or "/") and "site-packages" not in file and not file.startswith(_LIBRARY)


def session_of(context: contextvars.Context | None) -> Any:
    session = sessions.current() if context is None else sessions.current_in(context)
    return session if hasattr(session, "adopt") else None


def follow(loop: Any, after_turn: Callable[[], None]) -> None:
    """Have a loop number the tasks of runs, note their timers, and call `after_turn` after each turn."""
    loop.set_task_factory(make_task)
    call_at, run_once = loop.call_at, loop._run_once

    def watched(when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        session = session_of(context)
        if session is None or getattr(callback, "__name__", "") == _WATCHED:
            return call_at(when, callback, *args, context=context)

        owner = current_branch()

        def watched_timer() -> None:
            if session.hold(watched_timer, when) or session.pacing.holds_back(owner):
                return
            if session.timers.take(handle):
                session.stir()
                session.last_step = session.executor.turns
                callback(*args)

        handle = call_at(when, watched_timer, context=context)
        session.timers.add(handle, owner)
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


class Rest(IntEnum):
    """How sure it is that a branch waits for nothing outside of its run."""

    NONE = 0
    LIKELY = 1
    CERTAIN = 2


def rest_of(branch: Branch, futures: set[int]) -> Rest:
    """Say whether a branch only waits for results (`futures`), timers and other branches of its run.

    At a queue, event or lock of the project's it is likely: a thread may have it.
    """
    future: Any = getattr(branch, "_fut_waiter", None)
    if future is None or future.done():
        return Rest.NONE
    if id(future) in futures or isinstance(future, Branch) or is_asleep(branch):
        return Rest.CERTAIN
    inner, outer = _innermost(branch)
    if _file(inner) in _MEETS:
        is_own = outer is None or _file(outer) in _JOINS
        return (
            Rest.LIKELY if is_own or is_project_file(_file(outer), branch.session.project.root) else Rest.NONE
        )
    joined = _joined(inner, future)
    return Rest.CERTAIN if joined and all(isinstance(each, Branch) for each in joined) else Rest.NONE


def _joined(inner: Any, future: Any) -> list[Any]:
    """List the futures that gather, wait, wait_for or a TaskGroup waits for."""
    children = getattr(future, "_children", None)
    if children is not None:
        return [each for child in children if not child.done() for each in _joined(None, child) or [child]]
    if _file(inner) not in _JOINS:
        return []
    names = inner.cr_frame.f_locals
    if "fs" in names:
        return [each for each in names["fs"] if not each.done()]
    if "fut" in names:
        return [names["fut"]]
    return list(getattr(names.get("self"), "_tasks", ()))


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
