"""The retry policy: whether a failed attempt is repeated, and when."""

import random
from collections.abc import Mapping
from typing import Any

from triggerdev.engine.model import Run, Status
from triggerdev.engine.transitions import Event
from triggerdev.protocol import DEFAULT_MACHINE, MACHINES, MAX_ATTEMPTS, RetryInfo

DEFAULT_RETRY: RetryInfo = {
    "max_attempts": 3,
    "factor": 2,
    "min_timeout_in_ms": 1000,
    "max_timeout_in_ms": 60_000,
    "randomize": True,
}

_CRASH_CODES_RETRIED = frozenset(
    {
        "TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE",
        "TASK_PROCESS_SIGTERM",
        "TASK_PROCESS_SIGSEGV",
        "TASK_RUN_UNCAUGHT_EXCEPTION",
        "TASK_MIDDLEWARE_ERROR",
        "TASK_PROCESS_MAYBE_OOM_KILLED",
    }
)
_OUT_OF_MEMORY = frozenset({"TASK_PROCESS_OOM_KILLED", "TASK_PROCESS_MAYBE_OOM_KILLED"})
_FAILED_CODES = frozenset(
    {
        "TASK_INPUT_ERROR",
        "TASK_OUTPUT_ERROR",
        "TASK_MIDDLEWARE_ERROR",
        "TASK_RUN_UNCAUGHT_EXCEPTION",
        "RECURSIVE_WAIT_DEADLOCK",
    }
)
_CRASHED_CODES = frozenset(
    {
        "TASK_PROCESS_OOM_KILLED",
        "TASK_PROCESS_MAYBE_OOM_KILLED",
        "TASK_PROCESS_SIGSEGV",
        "TASK_PROCESS_SIGTERM",
        "TASK_PROCESS_EXITED_WITH_NON_ZERO_CODE",
        "DISK_SPACE_EXCEEDED",
        "OUTDATED_SDK_VERSION",
        "HANDLE_ERROR_ERROR",
        "TASK_RUN_CRASHED",
    }
)


def delay_ms(policy: RetryInfo, attempt: int, rng: random.Random) -> int:
    """Compute the pause after a failed attempt.

    min(max_timeout, (1 + random if randomize else 1) * min_timeout * factor ** (attempt - 1)), the formula of
    Trigger.dev's `calculateNextRetryDelay`.
    """
    merged: dict[str, Any] = {**DEFAULT_RETRY, **{k: v for k, v in policy.items() if v is not None}}
    spread = 1 + rng.random() if merged["randomize"] else 1.0
    longest = float(merged["max_timeout_in_ms"])
    try:
        raw = float(spread * merged["min_timeout_in_ms"] * float(merged["factor"]) ** (attempt - 1))
    except OverflowError:  # 1000.0 ** 249
        raw = longest
    return round(min(longest, raw))


def retry_at(run: Run, done: dict[str, Any], policy: RetryInfo, now: int, rng: random.Random) -> int | None:
    """Decide when the failed attempt `done` is repeated; None when it is not."""
    code = _code(done["error"])
    own: RetryInfo = done.get("retry", {})  # what catch_error says
    limit = run.max_attempts or policy.get("max_attempts") or DEFAULT_RETRY["max_attempts"]
    if done.get("skip_retry") or run.attempt >= min(limit, own.get("max_attempts") or limit, MAX_ATTEMPTS):
        return None
    is_retried = code is None or code in _CRASH_CODES_RETRIED or larger_machine(run, done["error"], policy)
    if not is_retried:
        return None
    if "retry_at" in done:
        return max(now, int(done["retry_at"]))
    if "retry_delay_ms" in done:
        return now + max(0, int(done["retry_delay_ms"]))
    return now + delay_ms({**policy, **own}, run.attempt, rng)


def larger_machine(run: Run, error: Mapping[str, Any], policy: RetryInfo) -> str | None:
    """Name the machine that a run which ran out of memory goes on with; None if there is no larger one."""
    machine = policy.get("out_of_memory_machine")
    if machine is None or _code(error) not in _OUT_OF_MEMORY:
        return None
    return machine if _memory(machine) > _memory(run.machine) else None


def _memory(machine: str | None) -> float:
    return MACHINES.get(machine or DEFAULT_MACHINE, MACHINES[DEFAULT_MACHINE])[1]


def final_event(error: Mapping[str, Any]) -> Event:
    """Choose how a run ends that is not repeated, by its error (the real system's `runStatusFromError`)."""
    code = _code(error)
    if code is None or code in _FAILED_CODES:
        return Event.FAIL
    if code == "MAX_DURATION_EXCEEDED":
        return Event.TIME_OUT
    return Event.CRASH if code in _CRASHED_CODES else Event.BREAK


def _code(error: Mapping[str, Any]) -> str | None:
    return error.get("code") if error.get("type") == "INTERNAL_ERROR" else None


def is_kept_by_idempotency(status: Status) -> bool:
    """Tell whether a run of this status still answers for its idempotency key: unless it failed, it does."""
    return status in (Status.COMPLETED, Status.CANCELED) or not status.is_final
