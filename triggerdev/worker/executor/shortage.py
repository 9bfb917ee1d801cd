"""When memory has run out: which exceptions say so, and in what words the run's error does."""

import errno

from triggerdev import errors
from triggerdev.protocol import DEFAULT_MACHINE, MACHINES, ErrorInfo

OUT_OF_MEMORY = "TASK_PROCESS_OOM_KILLED"
_MB = 2**20


def is_shortage(error: BaseException) -> bool:
    """Say whether an exception means that the system has refused memory."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_shortage(part) for part in error.exceptions)
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)


def is_said(error: BaseException) -> bool:
    """Say whether the task says by itself that it needs a larger machine."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_said(part) for part in error.exceptions)
    return isinstance(error, errors.OutOfMemoryError)


def mark(info: ErrorInfo, error: BaseException, machine: str, peak: int | None) -> None:
    """Make a run's error one of memory that ran out, with the numbers and what to do."""
    info["type"] = "INTERNAL_ERROR"
    info["code"] = OUT_OF_MEMORY
    own = str(info.get("message") or "").rstrip(".")
    what = own if own not in ("", type(error).__name__) else "The run has used up its memory"
    asked = "" if is_said(error) else " and asked for more"
    info["message"] = f"{what}: {describe_shortage(machine, peak, asked)}"


def describe_shortage(machine: str, peak: int | None, asked: str = "") -> str:
    """Write what a machine has and a run had, and what to do."""
    has = f"{machine} has {megabytes(_memory(machine))}"
    had = "" if peak is None else f", the run had at most {megabytes(peak)}{asked}"
    advice = 'Give the task a larger machine=, or retry=Retry(out_of_memory={"machine": ...}).'
    return f"{has}{had}. {advice}"


def megabytes(size: int) -> str:
    """Write bytes as MB."""
    return f"{size / _MB:,.0f} MB"


def _memory(machine: str) -> int:
    return round(MACHINES.get(machine, MACHINES[DEFAULT_MACHINE])[1] * 1024) * _MB
