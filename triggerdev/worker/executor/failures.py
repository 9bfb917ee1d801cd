"""Exceptions to errors of the wire: the user's frames first, the framework's folded."""

import linecache
import os
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from triggerdev import errors
from triggerdev.protocol import ErrorInfo
from triggerdev.worker.executor.payloads import InputError, OutputError
from triggerdev.worker.executor.shortage import OUT_OF_MEMORY

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep  # noqa: PTH120,PTH100 - text of frames
_BRANCHES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "branches.py")  # noqa: PTH118,PTH120,PTH100 - text of frames
_LIBRARY = sysconfig.get_paths()["stdlib"] + os.sep
_MAX_MESSAGE = 1000
_MAX_FRAMES = 50
_MAX_LINE = 1024
_MAX_CAUSES = 5


class HookError(Exception):
    """catch_error itself failed; its exception is the cause."""


class UserExit(Exception):  # noqa: N818 - it is no error of ours
    """An asyncio task of a run raised SystemExit or KeyboardInterrupt, which would end the whole process."""


class MiddlewareError(Exception):
    """A middleware failed outside of the task; its exception is the cause."""


_CODES: dict[type[BaseException], str] = {
    InputError: "TASK_INPUT_ERROR",
    OutputError: "TASK_OUTPUT_ERROR",
    HookError: "HANDLE_ERROR_ERROR",
    MiddlewareError: "TASK_MIDDLEWARE_ERROR",
    errors.OutOfMemoryError: OUT_OF_MEMORY,
    errors.RunTimedOut: "MAX_DURATION_EXCEEDED",
}


def describe(error: BaseException, root: str) -> ErrorInfo:
    """Write an exception in the wire format; paths below the project root are relative to it."""
    if isinstance(error, UserExit) and error.__cause__ is not None:
        return describe(error.__cause__, root)
    frames = _Frames(error, root)
    info: ErrorInfo = {"message": message_of(error), "stackTrace": frames.text(error)}
    code = _CODES.get(type(error))
    if code is None:
        info["type"] = "BUILT_IN_ERROR"
        info["name"] = type(error).__name__
    else:
        info["type"] = "INTERNAL_ERROR"
        info["code"] = code
        info["name"] = type(error).__name__
    if frames.location:
        info["location"] = frames.location
        info["sourceLine"] = frames.source_line
    causes = _causes(error, root)
    if causes:
        info["causes"] = causes
    return info


def message_of(error: BaseException) -> str:
    """Give an exception's message, its name where it has none, at most 1,000 characters."""
    if isinstance(error, SystemExit):
        return f"The task called sys.exit({error.code!r}); return or raise instead."
    try:
        text = str(error)
    except Exception as problem:  # an exception of the user may not even have a text
        text = f"<no message: {type(problem).__name__} in __str__>"
    if isinstance(error, BaseExceptionGroup):
        text = f"{text}: " + "; ".join(
            f"{type(part).__name__}: {part}" for part in error.exceptions[:_MAX_CAUSES]
        )
    return (text or type(error).__name__)[:_MAX_MESSAGE]


class _Frames:
    """The frames of a traceback, sorted: the user's first, innermost at the top."""

    def __init__(self, error: BaseException, root: str) -> None:
        self._root = os.path.join(os.path.realpath(root), "") if root else ""  # noqa: PTH118 - text of frames
        self.location = ""
        self.source_line = ""
        user: list[str] = []
        others: list[str] = []
        folded = 0
        for frame, line in reversed(list(traceback.walk_tb(_innermost(error).__traceback__))):
            file = frame.f_code.co_filename
            if file.startswith((_PACKAGE, "<frozen")):
                folded += 1
                continue
            is_user = self._is_user(file)
            source = linecache.getline(file, line, frame.f_globals).strip()
            text = f'  File "{self._relative(file)}", line {line}, in {frame.f_code.co_name}'
            (user if is_user else others).append(f"{text}\n    {source}"[:_MAX_LINE] if source else text)
            if is_user and not self.location:
                self.location = f"{self._relative(file)}:{line}"
                self.source_line = source[:_MAX_LINE]
        self._lines = (user + others)[:_MAX_FRAMES]
        self._folded = folded

    def _is_user(self, file: str) -> bool:
        if self._root:
            inside = os.path.realpath(file).startswith(self._root)
            return inside and "site-packages" not in file and f"{os.sep}.venv{os.sep}" not in file
        return "site-packages" not in file and not file.startswith(_LIBRARY)

    def _relative(self, file: str) -> str:
        real = os.path.realpath(file)
        return real[len(self._root) :] if self._root and real.startswith(self._root) else file

    def text(self, error: BaseException) -> str:
        head = f"{type(error).__name__}: {message_of(error)}"
        folded = [f"  ({self._folded} frames of triggerdev)"] if self._folded else []
        return "\n".join([head, *self._lines, *folded])


def _innermost(error: BaseException) -> BaseException:
    """Give the exception whose frames say most: a wrapper of ours stands for its cause."""
    if isinstance(error, (HookError, MiddlewareError)) and error.__cause__ is not None:
        return error.__cause__
    if isinstance(error, BaseExceptionGroup) and error.exceptions:
        return _innermost(error.exceptions[0])
    return error


def _causes(error: BaseException, root: str) -> list[dict[str, Any]]:
    causes: list[dict[str, Any]] = []
    seen = {id(error)}
    current = _cause(error)
    while current is not None and id(current) not in seen and len(causes) < _MAX_CAUSES:
        seen.add(id(current))
        stack = _Frames(current, root).text(current)
        causes.append({"name": type(current).__name__, "message": message_of(current), "stackTrace": stack})
        current = _cause(current)
    return causes


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None:
        return error.__cause__
    return None if error.__suppress_context__ else error.__context__


def find_signal(error: BaseException) -> errors.RunSignal | None:
    """Find a signal of ours in an exception, also inside the group that a TaskGroup makes."""
    if isinstance(error, errors.RunSignal):
        return error
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(find_signal, error.exceptions)), None)
    return None


def skips_retry(error: BaseException) -> bool:
    """Say whether another attempt would be of no use."""
    if isinstance(error, BaseExceptionGroup):
        return any(skips_retry(part) for part in error.exceptions)
    if isinstance(error, errors.ApiError):
        return 400 <= error.status < 500 and error.status not in (408, 429)
    final = (
        *(errors.AbortTaskRunError, errors.NonDeterminismError, errors.StepResultError),
        *(InputError, OutputError, HookError),
    )
    return isinstance(error, final)


def user_line(root: str) -> str | None:
    """Give the innermost line of the user's on the stack of this branch or thread: "trigger/basic.py:12"."""
    import sys

    def frames() -> Iterator[tuple[str, int]]:
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != _BRANCHES:
            yield frame.f_code.co_filename, frame.f_lineno
            frame = frame.f_back

    return first_user_line(root, frames())


def first_user_line(root: str, frames: Iterable[tuple[str, int]]) -> str | None:
    """Give the first of some places (file and line) that is in the user's code."""
    base = os.path.join(os.path.realpath(root), "") if root else ""  # noqa: PTH118 - text of frames
    for file, line in frames:
        if not file.startswith((_PACKAGE, _LIBRARY, "<frozen")) and "site-packages" not in file:
            real = os.path.realpath(file)
            return f"{real[len(base) :] if base and real.startswith(base) else file}:{line}"
    return None
