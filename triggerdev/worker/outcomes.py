"""What the supervisor says in place of a process that cannot say it any more."""

import signal
from collections.abc import Iterable

from triggerdev.protocol import ErrorInfo, Message
from triggerdev.worker.executor.shortage import OUT_OF_MEMORY, describe_shortage
from triggerdev.worker.template_process import describe_exit
from triggerdev.worker.worker_process import Placement

_SIGNAL_CODES = {
    signal.SIGSEGV: "TASK_PROCESS_SIGSEGV",
    signal.SIGBUS: "TASK_PROCESS_SIGSEGV",
    signal.SIGTERM: "TASK_PROCESS_SIGTERM",
    signal.SIGKILL: "TASK_PROCESS_MAYBE_OOM_KILLED",
}
_OTHER_CODE = "TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE"


def lost(runs: Iterable[tuple[str, int]]) -> Message:
    """Runs that are in no process any more through no fault of theirs: they resume by replay."""
    return {"t": "lost", "runs": [list(run) for run in runs]}


def evicted(placement: Placement) -> Message:
    return {"t": "evicted", "run": placement.run, "token": placement.token}


def unknown_task(run: str, token: int, task: str, version: str) -> Message:
    text = f"Task {task!r} is not defined in version {version}."
    return _done(run, token, "failed", "COULD_NOT_FIND_TASK", text, 0) | {"skip_retry": True}


def crashed(placement: Placement, status: int, now: float, peak: int | None = None) -> Message:
    """The end of a run whose process ended under it; `status` is an exit code or minus a signal."""
    code = _SIGNAL_CODES.get(signal.Signals(-status), _OTHER_CODE) if _is_signal(status) else _OTHER_CODE
    text = f"The process of the run ended with {describe_exit(status)} while the run was executing."
    if code == "TASK_PROCESS_MAYBE_OOM_KILLED":
        text += " Nobody here sent it; most likely the system ran out of memory."
    return _with_peak(
        _done(placement.run, placement.token, "crashed", code, text, placement.usage_ms(now)), peak
    )


def out_of_memory(placement: Placement, now: float, peak: int | None) -> Message:
    """The end of a run whose process was killed since it had used up the memory of its machine."""
    text = f"The run has used up its memory: {describe_shortage(placement.machine, peak)}"
    done = _done(placement.run, placement.token, "crashed", OUT_OF_MEMORY, text, placement.usage_ms(now))
    return _with_peak(done, peak)


def _with_peak(done: Message, peak: int | None) -> Message:
    return done if peak is None else {**done, "peak_memory": peak}


def ended(placement: Placement, now: float) -> Message:
    """The end of a run whose process was killed because the run did not come to its end when told to."""
    usage = placement.usage_ms(now)
    if placement.ending == "timed_out":
        text = f"Run exceeded its max_duration of {(placement.max_ms or 0) / 1000:g} s of compute time."
        return _done(placement.run, placement.token, "timed_out", "MAX_DURATION_EXCEEDED", text, usage)
    return cancelled(placement.run, placement.token, usage)


def cancelled(run: str, token: int, usage_ms: float) -> Message:
    return _done(run, token, "cancelled", "TASK_RUN_CANCELLED", "The run was cancelled.", usage_ms)


def _is_signal(status: int) -> bool:
    return -status in set(signal.Signals)


def _done(run: str, token: int, outcome: str, code: str, text: str, usage_ms: float) -> Message:
    error = ErrorInfo(type="INTERNAL_ERROR", code=code, message=text)
    return {
        "t": "done",
        "run": run,
        "token": token,
        "outcome": outcome,
        "error": error,
        "usage_ms": round(usage_ms),
    }
