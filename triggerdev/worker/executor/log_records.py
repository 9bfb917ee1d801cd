"""Records of Python's logging as lines of the run that logged them, with their level and their `extra`."""

import logging
import sys
import traceback
from typing import Any

from triggerdev.sdk.session import speaker

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"))


def capture_logging() -> None:
    """Give from now on what runs log to the runs, in place of handlers that write to the console.

    No handler does this: one at the root logger would keep `logging.basicConfig` from doing anything.
    """
    call_handlers = logging.Logger.callHandlers

    def noted(self: logging.Logger, record: logging.LogRecord) -> None:
        running: Any = speaker()
        if running is None:
            call_handlers(self, record)
        else:
            _give(running, record)
            _call_others(self, record)

    logging.Logger.callHandlers = noted  # type: ignore[method-assign]  # there is no hook for this


def _give(running: Any, record: logging.LogRecord) -> None:
    try:
        running.log(_level(record.levelno), _message(record), _properties(record))
    except Exception as error:  # a message that cannot be formatted; logging itself says so, too
        running.log("error", f"A record of logger {record.name!r} cannot be shown: {error!r}", None)


def _call_others(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Call the handlers of a logger and those above it, but for those that write to the console."""
    found: logging.Logger | None = logger
    while found is not None:
        for handler in found.handlers:
            if record.levelno >= handler.level and not _writes_to_console(handler):
                handler.handle(record)
        found = found.parent if found.propagate else None


def _writes_to_console(handler: logging.Handler) -> bool:
    if not isinstance(handler, logging.StreamHandler):
        return False
    streams = (sys.stdout, sys.stderr)
    return any(handler.stream is each for each in (*streams, *(getattr(s, "real", s) for s in streams)))


def _level(number: int) -> str:
    return next((name for least, name in _LEVELS if number >= least), "debug")


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text = "\n".join((text, "".join(traceback.format_exception(*record.exc_info)).rstrip()))
    return text


def _properties(record: logging.LogRecord) -> dict[str, Any]:
    extra = {name: value for name, value in vars(record).items() if name not in _KNOWN}
    return {"logger": record.name, **extra}
