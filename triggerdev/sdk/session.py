"""The run that surrounds a piece of code, as the SDK sees it; the worker provides it."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context as Variables
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from triggerdev.errors import ContextError

if TYPE_CHECKING:
    from triggerdev.sdk.context import Context
    from triggerdev.sdk.spans import Span

RUN_MARK, SPAN_MARK = "_triggerdev_run", "_triggerdev_span"  # of threads
MetadataScope = Literal["run", "parent", "root"]


class RunSession(ABC):
    """What SDK calls need of the run they are made in. `locals`: what its code keeps for this attempt."""

    locals: dict[str, Any]

    @property
    @abstractmethod
    def context(self) -> "Context":
        """The public description of the run."""

    @abstractmethod
    async def operate(self, kind: str, target: str | None, args: dict[str, Any]) -> Any:
        """Do a durable operation, or give its recorded result. Raises EngineError if it is refused."""

    @abstractmethod
    async def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Call a function and record its result, or give the recorded one. Raises StepResultError."""

    @abstractmethod
    def log(self, level: str, message: str, data: dict[str, Any] | None) -> None:
        """Send one log line; nothing while the run replays."""

    @abstractmethod
    def begin_span(self, span: "Span") -> None:
        """Note that a part of the run begins; gives it its id and its parent."""

    @abstractmethod
    def end_span(self, span: "Span", error: BaseException | None) -> None:
        """Send how a part of the run was; nothing while the run replays or leaves this process."""

    @abstractmethod
    def traceparent(self) -> str:
        """Write the span that this code is in, as the W3C's header, for what it calls."""

    @abstractmethod
    def change_metadata(self, scope: MetadataScope, change: dict[str, Any]) -> None:
        """Apply a metadata operation in wire form to the local copy and queue it."""

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """The local copy of the run's metadata."""

    @abstractmethod
    async def flush_metadata(self) -> None:
        """Send queued metadata operations and wait until they are stored."""

    @abstractmethod
    async def refresh_metadata(self) -> None:
        """Fetch the run's metadata anew, with what children have written to it."""

    @property
    @abstractmethod
    def cost_before(self) -> float:
        """What the run had cost, in cents, when it came to this process, without its base cost."""

    @abstractmethod
    def usage_ms(self) -> tuple[float, float, float]:
        """Compute time in this process, of this attempt and of the whole run; waits do not count."""


_current: ContextVar[RunSession | None] = ContextVar("triggerdev_run", default=None)

enter = _current.set
leave = _current.reset


def current() -> RunSession | None:
    """Give the session of the surrounding run, None outside of runs."""
    return _current.get()


def speaker() -> RunSession | None:
    """Give the session of the run that this thread speaks for: its own, or that of who started the thread."""
    running = _current.get()
    return running if running is not None else getattr(threading.current_thread(), RUN_MARK, None)


def thread_span() -> "Span | None":
    """Give the span in which this thread was started, or its call was submitted."""
    return getattr(threading.current_thread(), SPAN_MARK, None)


def current_in(variables: Variables) -> RunSession | None:
    """Give the session that code with these context variables belongs to."""
    return variables.get(_current)


def require(name: str, hint: str = "") -> RunSession:
    """Give the session of the surrounding run. Raises ContextError that names the call outside of runs."""
    running = _current.get()
    if running is None:
        raise ContextError(f"{name}() is only possible inside a task's run.{' ' + hint if hint else ''}")
    return running
