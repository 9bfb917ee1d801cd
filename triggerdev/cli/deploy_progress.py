"""The progress of a deploy: a line for each phase, a live view on terminals, or JSON lines; all on stderr."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from triggerdev import errors
from triggerdev._terminal import clean, json_text, paint, use_colour

if TYPE_CHECKING:
    from triggerdev.build.progress import Event, Sink

KINDS = ("auto", "plain", "tty", "json")
_LIVE_LINES = 6
_TITLES = {
    "plan": "Planning",
    "base": "Building what is executed",
    "layers": "Writing layers",
    "index": "Indexing tasks",
    "release": "Running what comes before the version counts",
    "store": "Storing the image",
    "push": "Pushing",
}


@contextmanager
def shown(kind: str) -> Iterator[Sink]:
    """Show progress for as long as the block lasts. Raises UsageError for an unknown kind."""
    if kind not in KINDS:
        raise errors.UsageError(f"--progress must be one of {', '.join(KINDS)}, not {kind!r}")
    if kind == "json":
        yield _as_json
    elif kind == "tty" or (kind == "auto" and sys.stderr.isatty() and use_colour(sys.stderr)):
        with _Live() as live:
            yield live.tell
    else:
        yield _Plain().tell


def _as_json(event: Event) -> None:
    sys.stderr.write(json_text(event.as_json()) + "\n")
    sys.stderr.flush()


def _title(event: Event) -> str:
    title = _TITLES.get(event.name, event.name)
    return f"{title} ({clean(event.text)})" if event.text else title


def _took(event: Event) -> str:
    return "" if event.seconds is None else f"{event.seconds:.1f} s"


class _Plain:
    """One line for each event that is worth one."""

    def __init__(self) -> None:
        self._started = time.perf_counter()

    def tell(self, event: Event) -> None:
        """Print an event."""
        text = self._text(event)
        if text is not None:
            since = time.perf_counter() - self._started
            sys.stderr.write(f"{since:7.1f}s  {text}\n")
            sys.stderr.flush()

    def _text(self, event: Event) -> str | None:
        if event.kind == "line":
            return f"{event.name}: {clean(event.text)}"
        if event.kind == "step":
            return (
                None if event.status == "started" else f"{event.name}: {event.status} {_took(event)}".rstrip()
            )
        if event.status == "started":
            return f"{_title(event)} ..."
        return f"{_title(event)}: {event.status} in {_took(event)}"


class _Live:
    """Finished phases as lines, and below them what goes on now with its last lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._phase: Event | None = None
        self._step = ""
        self._began = time.perf_counter()
        self._lines: deque[str] = deque(maxlen=_LIVE_LINES)
        console = Console(stderr=True, highlight=False)
        self._live = Live(
            console=console, refresh_per_second=8, transient=True, get_renderable=self._renderable
        )

    def __enter__(self) -> _Live:
        self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._live.stop()

    def tell(self, event: Event) -> None:
        """Take an event."""
        if event.kind == "line":
            self._lines.append(f"{event.name}: {clean(event.text)}")
        elif event.kind == "step":
            self._step = event.name if event.status == "started" else ""
            if event.seconds is not None and event.seconds >= 1:
                self._print(f"  {event.name} {_took(event)}", "dim")
        elif event.status == "started":
            self._phase, self._began = event, time.perf_counter()
            self._lines.clear()
        else:
            self._phase = None
            good = event.status == "done"
            self._print(f"{'✓' if good else '✗'} {_title(event)} {_took(event)}", "green" if good else "red")

    def _print(self, text: str, tone: str) -> None:
        from rich.text import Text

        self._live.console.print(Text.from_ansi(paint(text, tone)))

    def _renderable(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        if self._phase is None:
            return Text("")
        now = time.perf_counter() - self._began
        step = f", {self._step}" if self._step else ""
        head = Text(f"· {_title(self._phase)}{step} {now:.1f} s")
        lines = [Text(f"    {line}", style="dim", no_wrap=True, overflow="ellipsis") for line in self._lines]
        return Group(head, *lines)
