"""Warnings of the engine and the server on the terminal."""

import logging
import time

from triggerdev.dev.render import DevOutput

_QUIET_SECONDS = 5.0


class WarningsShown(logging.Handler):
    """Shows records from WARNING on; one that repeats is shown again after five seconds."""

    def __init__(self, output: DevOutput) -> None:
        super().__init__(logging.WARNING)
        self._output = output
        self._shown: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        now = time.monotonic()
        if now - self._shown.get(text, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return
        self._shown = {each: at for each, at in self._shown.items() if now - at < _QUIET_SECONDS}
        self._shown[text] = now
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"
        self._output.warning(text)
        self._output.flush()
