"""What a build says while it goes on: phases with their times, steps of an engine, lines that they print."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["started", "cached", "done", "failed"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    `kind` is "phase", "step" (one instruction of an engine) or "line" (what a step prints). `name` is that of
    the phase or the id of the layer that the step makes; `seconds` is how long it took, once it is over.
    """

    kind: Literal["phase", "step", "line"]
    name: str
    status: Status | None = None
    text: str = ""
    seconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Give the event without what it does not have."""
        whole: dict[str, Any] = {
            "event": self.kind,
            "name": self.name,
            "status": self.status,
            "text": self.text,
        }
        if self.seconds is not None:
            whole["seconds"] = round(self.seconds, 3)
        return {name: value for name, value in whole.items() if value not in (None, "")}


Sink = Callable[[Event], None]


class Progress:
    """Passes events on, without secrets; remembers how long each phase took."""

    def __init__(self, sink: Sink = lambda _: None, mask: Callable[[str], str] = str) -> None:
        self._sink = sink
        self.mask = mask
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, text: str = "") -> Iterator[None]:
        """Begin a phase, and end it with the block."""
        started = time.perf_counter()
        self.tell(Event("phase", name, "started", text))
        status: Status = "failed"
        try:
            yield
            status = "done"
        finally:
            took = time.perf_counter() - started
            self.seconds[name] = self.seconds.get(name, 0) + took
            self.tell(Event("phase", name, status, text, took))

    def tell(self, event: Event) -> None:
        """Pass one event on."""
        text = self.mask(event.text) if event.text else ""
        self._sink(Event(event.kind, event.name, event.status, text, event.seconds))
