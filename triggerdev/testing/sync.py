"""The same for tests that are plain functions: the engine has a thread and an event loop of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar, Unpack

from triggerdev.sdk.options import TriggerOptions
from triggerdev.sdk.results import RunHandle
from triggerdev.sdk.task import Task
from triggerdev.testing import single, virtual
from triggerdev.testing.project import Tasks
from triggerdev.testing.reports import RunReport
from triggerdev.testing.single import Children, TaskReport
from triggerdev.testing.traces import SpanReport
from triggerdev.testing.virtual import ANY, EngineOptions, VirtualEngine

T = TypeVar("T")
__all__ = ["SyncEngine", "engine", "run_task"]


class SyncEngine:
    """A `VirtualEngine` whose calls block; `testing.sync.engine(...)` makes it, or a fixture."""

    def __init__(self, inner: VirtualEngine, loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self._loop = loop

    def _do(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def trigger(
        self, task: str | Task[Any], payload: Any = None, **options: Unpack[TriggerOptions]
    ) -> RunHandle:
        """Trigger a task as a backend does. Raises UnknownTaskError, InvalidOptionError, PayloadError."""
        return self._do(self.inner.trigger(task, payload, **options))

    def run(self, task: str | Task[Any], payload: Any = None, **options: Unpack[TriggerOptions]) -> RunReport:
        """Trigger a task and wait until the run has ended, however that may be. Raises RunStuckError."""
        return self._do(self.inner.run(task, payload, **options))

    def wait(self, run: "str | RunHandle | RunReport") -> RunReport:
        """Wait until a run has ended; waits, delays and retries take no time. Raises RunStuckError."""
        return self._do(self.inner.wait(run))

    def idle(self) -> None:
        """Wait until every run has ended or waits, without moving the clock. Raises RunStuckError."""
        self._do(self.inner.idle())

    def advance(self, span: timedelta | None = None, **units: float) -> None:
        """Move the clock by a timedelta, or by its arguments (days=1, ...); all that is due happens."""
        self._do(self.inner.advance(span, **units))

    def complete_token(self, id_or_name: str, output: Any = None) -> None:
        """Complete a waitpoint token; a name that nobody waits for yet is complete when somebody does."""
        self._do(self.inner.complete_token(id_or_name, output))

    def cancel(self, run: "str | RunHandle | RunReport") -> RunReport:
        """Cancel a run and its descendants, and wait until it has let go."""
        return self._do(self.inner.cancel(run))

    @property
    def now(self) -> datetime:
        """The time on the clock."""
        return self.inner.now

    @property
    def runs(self) -> list[RunReport]:
        """Every run so far, oldest first."""
        return self.inner.runs

    def find(self, run: "str | RunHandle | RunReport") -> RunReport:
        """Look at a run. Raises NoSuchRunError."""
        return self.inner.find(run)

    def logs(self, run: "str | RunHandle | RunReport") -> list[str]:
        """List what a run has logged with `logger`."""
        return self.inner.logs(run)

    def trace(self, run: "str | RunHandle | RunReport") -> SpanReport:
        """Look at what a run and its descendants did, as a tree of spans. Raises NoSuchRunError."""
        return self.inner.trace(run)

    def triggered(self, task: str | Task[Any], payload: Any = ANY) -> list[RunReport]:
        """List the runs of a task, oldest first; with a payload only those that have it."""
        return self.inner.triggered(task, payload)

    def assert_triggered(
        self, task: str | Task[Any], payload: Any = ANY, *, times: int | None = None
    ) -> list[RunReport]:
        """Assert that a task was triggered (`times` times; else at least once) and give the runs."""
        __tracebackhide__ = True
        return self.inner.assert_triggered(task, payload, times=times)

    def assert_not_triggered(self, task: str | Task[Any], payload: Any = ANY) -> None:
        """Assert that a task was not triggered (with this payload)."""
        __tracebackhide__ = True
        self.inner.assert_not_triggered(task, payload)


@contextlib.contextmanager
def _loop_of_its_own() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever, name="triggerdev-testing", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_shut_down(loop), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _shut_down(loop: asyncio.AbstractEventLoop) -> None:
    await loop.shutdown_asyncgens()
    await loop.shutdown_default_executor()


@contextlib.contextmanager
def engine(tasks: Tasks | None = None, **options: Unpack[EngineOptions]) -> Iterator[SyncEngine]:
    """Make an engine in memory for a test without an event loop; tasks run in another thread.

    `tasks`: tasks or modules; by default all that were defined so far.
    """
    with _loop_of_its_own() as loop:
        opened = virtual.engine(tasks, **options)
        inner = asyncio.run_coroutine_threadsafe(_enter(opened), loop).result()
        try:
            yield SyncEngine(inner, loop)
        finally:
            asyncio.run_coroutine_threadsafe(_leave(opened), loop).result()


async def _enter(opened: contextlib.AbstractAsyncContextManager[VirtualEngine]) -> VirtualEngine:
    return await opened.__aenter__()


async def _leave(opened: contextlib.AbstractAsyncContextManager[VirtualEngine]) -> None:
    await opened.__aexit__(None, None, None)


def run_task(
    task: Task[Any],
    payload: Any = None,
    *,
    children: Children | None = None,
    tokens: Mapping[str, Any] | None = None,
    **options: Unpack[EngineOptions],
) -> TaskReport:
    """Run one task to its end; waits and retries take no time, children are not executed.

    The arguments are those of `testing.run_task`. Raises RunStuckError.
    """
    call = single.run_task(task, payload, children=children, tokens=tokens, **options)
    with _loop_of_its_own() as loop:
        return asyncio.run_coroutine_threadsafe(call, loop).result()
