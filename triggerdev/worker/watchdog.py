"""Notices that a task blocks the event loop it shares, and names the run and the line."""

import asyncio
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from triggerdev.worker.channel import AsyncChannel
from triggerdev.worker.executor.async_executor import AsyncExecutor
from triggerdev.worker.importing import is_user_file
from triggerdev.worker.problems import relative

BLOCKED_SECONDS = 1.0
_BEAT_SECONDS = 0.25
_MAX_FRAMES = 12


class Watchdog:
    """A daemon thread that watches the loop's beat."""

    def __init__(self, executor: AsyncExecutor, channel: AsyncChannel, root: Path) -> None:
        self._executor = executor
        self._channel = channel
        self._root = root
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._beat = time.monotonic()
        self._is_blocked = False
        self._blocking_task: asyncio.Task[Any] | None = None
        self._blamed: str | None = None

    def start(self) -> None:
        """Start to watch; loop thread only."""
        self._tick()
        threading.Thread(target=self._watch, name="triggerdev-watchdog", daemon=True).start()

    def interrupt(self, reason: str) -> None:
        """Raise in the code that blocks the loop; called by a signal handler, on the loop's thread."""
        task = self._blocking_task
        if task is not None and asyncio.current_task(self._loop) is task:
            self._executor.interrupt(task, reason)

    def _tick(self) -> None:
        now = time.monotonic()
        late, self._beat = now - self._beat, now
        if self._is_blocked:
            self._is_blocked = False
            self._blocking_task = None
            if self._blamed is not None:
                self._executor.excuse(self._blamed, late * 1000)
            self._channel.send({"t": "unblocked", "ms": round(late * 1000)})
        self._loop.call_later(_BEAT_SECONDS, self._tick)

    def _watch(self) -> None:
        while not self._channel.is_closed:
            time.sleep(_BEAT_SECONDS)
            late = time.monotonic() - self._beat
            if late > BLOCKED_SECONDS and not self._is_blocked:
                self._is_blocked = True
                self._report(late)

    def _report(self, late: float) -> None:
        task = asyncio.current_task(self._loop)
        self._blocking_task = task
        found = self._executor.find_run(task)
        run, token = found or (None, None)
        self._blamed = run
        frames = self._user_frames()
        self._channel.send_from_thread(
            {
                "t": "blocked",
                "run": run,
                "token": token,
                "ms": round(late * 1000),
                "location": f"{relative(frames[-1].filename, self._root)}:{frames[-1].lineno}"
                if frames
                else "",
                "source_line": frames[-1].line if frames else "",
                "stack": "".join(traceback.format_list(frames)),
            }
        )

    def _user_frames(self) -> list[traceback.FrameSummary]:
        """List what the loop's thread executes, innermost last; user code only if there is any."""
        frame = sys._current_frames().get(self._loop_thread)
        frames = list(traceback.extract_stack(frame)) if frame is not None else []
        return [entry for entry in frames if is_user_file(entry.filename, self._root)] or frames[
            -_MAX_FRAMES:
        ]
