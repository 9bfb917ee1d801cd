"""What BuildKit prints with --progress=plain, as events for the layers of a plan.

Its lines are "#7 [stage-0 3/5] RUN ...", "#7 0.42 what the step prints", "#7 DONE 1.2s", "#7 CACHED" and
"#7 ERROR: ...". Steps that make nothing ("[internal] load build definition") have no number of their own.
"""

import re
from collections import deque
from collections.abc import Sequence

from triggerdev.build.backends.protocol import StepFailedError
from triggerdev.build.progress import Event, Progress

_LINE = re.compile(r"#(\d+) (.*)")
_STEP = re.compile(r"\[(?:\S+ +)?(\d+)/(\d+)\] (.*)")
_TIMED = re.compile(r"\d+\.\d+ (.*)")
_DONE = re.compile(r"DONE (\d+(?:\.\d+)?)s")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_EXIT = re.compile(r"exit code: (\d+)")
_KEPT = 40


class Reader:
    """Reads the lines of one build. `steps` names the layer of each numbered step after the first (FROM)."""

    def __init__(self, steps: Sequence[str], progress: Progress) -> None:
        self._steps = steps
        self._progress = progress
        self._layers: dict[str, str] = {}
        self._last: dict[str, deque[str]] = {}
        self.tail: deque[str] = deque(maxlen=_KEPT)
        self.failed: StepFailedError | None = None

    def feed(self, line: str) -> None:
        """Read one line."""
        line = line.rstrip("\r")
        if line.strip():
            self.tail.append(self._progress.mask(line))
        match = _LINE.fullmatch(line)
        if match is None:
            self._exit_code(line)
            return
        number, rest = match[1], match[2].rpartition("\r")[2]  # of what was drawn over, the last state
        step = _STEP.fullmatch(rest)
        if step:
            self._began(number, int(step[1]), step[3])
        elif number in self._layers:
            self._went_on(number, rest)

    def _began(self, number: str, position: int, text: str) -> None:
        if number in self._layers:
            return  # BuildKit repeats the name when it comes back to a step
        names = ["base", *self._steps]
        layer = names[position - 1] if position <= len(names) else "base"
        self._layers[number] = layer
        self._last[number] = deque(maxlen=_KEPT)
        self._progress.tell(Event("step", layer, "started", text))

    def _went_on(self, number: str, rest: str) -> None:
        layer = self._layers[number]
        done = _DONE.fullmatch(rest)
        if done:
            self._progress.tell(Event("step", layer, "done", seconds=float(done[1])))
        elif rest == "CACHED":
            self._progress.tell(Event("step", layer, "cached"))
        elif rest.startswith("ERROR: "):
            self._progress.tell(Event("step", layer, "failed"))
            self._fail(number, layer, rest.removeprefix("ERROR: "))
        else:
            self._printed(number, layer, rest)

    def _printed(self, number: str, layer: str, rest: str) -> None:
        timed = _TIMED.fullmatch(rest)
        text = timed[1] if timed else rest
        if text and not _DIGEST.match(text):
            self._last[number].append(self._progress.mask(text))
            self._progress.tell(Event("line", layer, text=text))

    def _fail(self, number: str, layer: str, text: str) -> None:
        if self.failed is None:  # others are only "CANCELED" by it
            reason = self._progress.mask(text)
            self.failed = StepFailedError(layer, reason, self._last[number])
            self._exit_code(text)

    def _exit_code(self, text: str) -> None:
        """Find the exit code, which stands behind the whole command and so may be on a line of its own."""
        code = _EXIT.search(text)
        if code and self.failed is not None:
            self.failed.reason = f"exit code {code[1]}"
