"""What `podman build` and `buildah build` print, as events for the layers of a plan.

Their lines are "STEP 3/9: RUN ...", what the step prints as it is, "--> Using cache 1a2b3c" or "--> 1a2b3c"
at its end, and `Error: building at STEP "RUN ...": ...: exit status 7`. Every instruction counts as a step.
"""

import re
import time
from collections import deque
from collections.abc import Sequence

from triggerdev.build.backends.protocol import StepFailedError
from triggerdev.build.progress import Event, Progress, Status

_STEP = re.compile(r"STEP (\d+)/\d+: (.*)")
_END = re.compile(r"--> (?:Using cache )?[0-9a-f]{8,}.*")
_EXIT = re.compile(r"exit (?:status|code:?) (\d+)")
_KEPT = 40


class Reader:
    """Reads the lines of one build. `instructions` names the layer of each instruction, FROM included."""

    def __init__(self, instructions: Sequence[str], progress: Progress) -> None:
        self._instructions = instructions
        self._progress = progress
        self._layer: str | None = None
        self._began = 0.0
        self._cached = False
        self._last: deque[str] = deque(maxlen=_KEPT)
        self.tail: deque[str] = deque(maxlen=_KEPT)
        self.failed: StepFailedError | None = None

    def feed(self, line: str) -> None:
        """Read one line."""
        line = line.rstrip("\r").rpartition("\r")[2]
        if line.strip():
            self.tail.append(self._progress.mask(line))
        if self.failed is not None:
            self._exit_code(line)
            return
        step = _STEP.fullmatch(line)
        if step:
            self._over("done")
            self._start(int(step[1]), step[2])
        elif _END.fullmatch(line):
            self._cached = self._cached or "Using cache" in line
        elif line.startswith("Error: ") and self._layer is not None:
            reason = self._progress.mask(line.removeprefix("Error: "))
            self.failed = StepFailedError(self._layer, reason, self._last)
            self._exit_code(line)
        elif line.strip() and self._layer is not None:
            self._last.append(self._progress.mask(line))
            self._progress.tell(Event("line", self._layer, text=line))

    def _exit_code(self, line: str) -> None:
        """Find the exit code, which stands behind the whole command and so may be on a later line."""
        code = _EXIT.search(line)
        if code and self.failed is not None:
            self.failed.reason = f"exit code {code[1]}"

    def end(self, status: int) -> None:
        """Take the end of the program."""
        self._over("done" if status == 0 else "failed")

    def _start(self, number: int, text: str) -> None:
        known = number <= len(self._instructions)
        self._layer = self._instructions[number - 1] if known else "base"
        self._began, self._cached = time.perf_counter(), False
        self._last = deque(maxlen=_KEPT)
        self._progress.tell(Event("step", self._layer, "started", text))

    def _over(self, status: Status) -> None:
        if self._layer is None:
            return
        if self._cached:
            self._progress.tell(Event("step", self._layer, "cached"))
        else:
            took = time.perf_counter() - self._began
            self._progress.tell(Event("step", self._layer, status, seconds=took))
        self._layer = None
