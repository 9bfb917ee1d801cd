"""Why a version cannot be loaded, in the form that terminals and CI print."""

import linecache
import os
import traceback
from pathlib import Path

from triggerdev import errors
from triggerdev.protocol import SourceProblem
from triggerdev.worker.importing import is_user_file


def problem_of(
    error: BaseException, root: Path, file: Path | None = None, kind: str = "import"
) -> SourceProblem:
    """Describe an exception that an import raised: its place in user code, and the user's frames.

    `file` is the task file being imported, the place of last resort.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return _syntax_problem(error, root)
    if isinstance(error, errors.TaskDefinitionError):
        kind = "duplicate" if "defined twice" in str(error) else "definition"
    place = _innermost_user_frame(error, root)
    name, line = place or (str(file or root), 1)
    shown = relative(name, root)
    return SourceProblem(
        kind=kind,
        message=_without_place(_shorten(_one_line(error), root), shown, line),
        file=shown,
        line=line,
        source_line=linecache.getline(name, line).rstrip() if place else "",
        traceback=user_traceback(error, root),
    )


def _without_place(message: str, file: str, line: int) -> str:
    return message.removeprefix(f"{file}:{line}: ")  # it is shown beside the message


def definition_problem(error: Exception, root: Path, file: str, line: int) -> SourceProblem:
    """Describe a task that was imported but cannot be called."""
    shown = relative(file, root)
    return SourceProblem(
        kind="definition",
        message=_without_place(_shorten(str(error), root), shown, line),
        file=shown,
        line=line,
        source_line=linecache.getline(file, line).rstrip(),
        traceback=user_traceback(error, root),
    )


def relative(file: str, root: Path) -> str:
    """Shorten a path below the root; others stay absolute."""
    return os.path.relpath(file, root) if is_user_file(file, root) else file


def user_traceback(error: BaseException, root: Path) -> str:
    """Format an exception with the frames of user code only, or with all if there is none of those."""
    report = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = report
    while part is not None:
        mine = [frame for frame in part.stack if is_user_file(frame.filename, root)]
        if mine:
            part.stack = traceback.StackSummary.from_list(mine)
        part = part.__cause__ or part.__context__
    return "".join(report.format()).rstrip()


def _syntax_problem(error: SyntaxError, root: Path) -> SourceProblem:
    return SourceProblem(
        kind="syntax",
        message=f"{type(error).__name__}: {error.msg}",
        file=relative(str(error.filename), root),
        line=error.lineno or 1,
        source_line=(error.text or "").rstrip(),
        traceback="".join(traceback.format_exception_only(error)).rstrip(),
    )


def _innermost_user_frame(error: BaseException, root: Path) -> tuple[str, int] | None:
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if is_user_file(frame.f_code.co_filename, root):
            found = (frame.f_code.co_filename, line)
    return found


def _shorten(text: str, root: Path) -> str:
    return text.replace(f"{root}{os.sep}", "")


def _one_line(error: BaseException) -> str:
    if isinstance(error, errors.TriggerError):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip().splitlines()[-1]
