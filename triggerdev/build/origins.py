"""Where in the user's own code an exception came from."""

import os
import traceback
from pathlib import Path
from types import FrameType

import pydantic

from triggerdev import errors
from triggerdev.build import layers, tokens

_OURS = Path(__file__).resolve().parent.parent


def describe(error: BaseException, root: Path) -> str:
    """Write an exception as "ValueError: text (file.py:12)" with the user's innermost line."""
    if isinstance(error, pydantic.ValidationError):
        text = f"{error.title}: {layers.field_problems(error)}"
    elif isinstance(error, errors.TriggerError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = user_line(error, root)
    return tokens.printable(f"{text} ({place})" if place else text)


def user_line(error: BaseException, root: Path) -> str | None:
    """Give "file:line" of the innermost frame in the project, else of the innermost that is not ours."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename, root)}:{error.lineno}"
    return _line(traceback.extract_tb(error.__traceback__), root)


def line_of(frame: FrameType, root: Path) -> str | None:
    """Give "file:line" where a thread is: its innermost frame in the project, else that is not ours."""
    return _line(traceback.extract_stack(frame), root)


def _line(frames: traceback.StackSummary, root: Path) -> str | None:
    in_project = [frame for frame in frames if _is_below(frame.filename, root)]
    foreign = [
        frame for frame in frames if not _is_below(frame.filename, _OURS) and frame.filename[:1] != "<"
    ]
    for found in (in_project, foreign):
        if found:
            return f"{_shown(found[-1].filename, root)}:{found[-1].lineno}"
    return None


def _is_below(filename: str, folder: Path) -> bool:
    if filename.startswith("<"):  # no file; it would be taken for one of the working folder
        return False
    path = Path(filename)
    return path.is_relative_to(folder) or path.resolve().is_relative_to(folder.resolve())


def _shown(filename: str, root: Path) -> str:
    path = Path(filename)
    for base in (root, root.resolve()):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return os.fspath(path)
