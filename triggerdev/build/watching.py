"""Watching over code of extensions: what does not end is given up, and where it was is said."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from triggerdev.build import origins

T = TypeVar("T")
_GRACE = 1.0  # seconds that an async hook has to end after it was cancelled


@dataclass(frozen=True)
class Part:
    """What is being called: a hook ("on_build_start") or "loading" of an extension."""

    extension: str
    what: str
    until: float


class NotEndedError(Exception):
    """A part that did not end in its time; `where` is the user's line that it was at, None if unknown."""

    def __init__(self, part: Part, where: str | None) -> None:
        super().__init__(part.what)
        self.part = part
        self.where = where


class Watch:
    """Runs code in a thread of its own, and gives up when a part takes more than `limit` seconds.

    The thread is left behind then; it ends with the process.
    """

    def __init__(self, limit: float, root: Path) -> None:
        self.limit = limit
        self._root = root
        self._part: Part | None = None
        self._changed = threading.Condition()
        self._is_over = False

    def begin(self, extension: str, what: str) -> None:
        """Say which part begins; its time starts."""
        self._set(Part(extension, what, time.monotonic() + self.limit + _GRACE))

    def end(self) -> None:
        """Say that the part has ended."""
        self._set(None)

    def _set(self, part: Part | None) -> None:
        with self._changed:
            self._part = part
            self._changed.notify_all()

    def run(self, function: Callable[[], T]) -> T:
        """Call a function, with the caller's context variables, and give its result.

        Raises NotEndedError, and what it raises.
        """
        outcome: dict[str, Any] = {}
        context = copy_context()

        def call() -> None:
            try:
                outcome["result"] = context.run(function)
            except BaseException as error:  # it is raised again where it is waited for
                outcome["error"] = error
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

        thread = threading.Thread(target=call, name="build extensions", daemon=True)
        thread.start()
        late = self._wait()
        if late is not None:
            raise NotEndedError(late, self._line(thread))
        if "error" in outcome:
            raise outcome["error"]
        result: T = outcome["result"]
        return result

    def _wait(self) -> Part | None:
        """Wait until the function has ended; give the part that takes too long."""
        with self._changed:
            while not self._is_over:
                part = self._part
                left = None if part is None else part.until - time.monotonic()
                if part is not None and left is not None and left <= 0:
                    return part
                self._changed.wait(left)
        return None

    def _line(self, thread: threading.Thread) -> str | None:
        frame: FrameType | None = sys._current_frames().get(thread.ident or 0)
        return None if frame is None else origins.line_of(frame, self._root)
