"""The retry policy: whether a failed attempt is repeated, and when."""

import random
from typing import Any

from triggerdev.engine.model import Run, Status
from triggerdev.engine.transitions import Event
from triggerdev.protocol import RetryInfo

DEFAULT_RETRY: RetryInfo = {
    "max_attempts": 3,
    "factor": 2,
    "min_timeout_in_ms": 1000,
    "max_timeout_in_ms": 60_000,
    "randomize": True,
}
MAX_ATTEMPTS = 250

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
    merged: dict[str, Any] = {**DEFAULT_RETRY, **policy}
    spread = 1 + rng.random() if merged["randomize"] else 1.0
    raw: float = spread * merged["min_timeout_in_ms"] * merged["factor"] ** (attempt - 1)
    return round(min(float(merged["max_timeout_in_ms"]), raw))


def retry_at(run: Run, done: dict[str, Any], policy: RetryInfo, now: int, rng: random.Random) -> int | None:
    """Decide when the failed attempt `done` is repeated; None when it is not."""
    code = done["error"].get("code")
    limit = run.max_attempts or policy.get("max_attempts") or DEFAULT_RETRY["max_attempts"]
    if done.get("skip_retry") or run.attempt >= min(limit, MAX_ATTEMPTS):
        return None
    if code is not None and code not in _CRASH_CODES_RETRIED:
        return None
    if "retry_at" in done:
        return max(now, int(done["retry_at"]))
    if "retry_delay_ms" in done:
        return now + max(0, int(done["retry_delay_ms"]))
    return now + delay_ms({**policy, **done.get("retry", {})}, run.attempt, rng)


def final_event(error: dict[str, Any]) -> Event:
    """Choose how a run ends that is not repeated, by its error (the real system's `runStatusFromError`)."""
    code = error.get("code")
    if code is None or code in _FAILED_CODES:
        return Event.FAIL
    if code == "MAX_DURATION_EXCEEDED":
        return Event.TIME_OUT
    return Event.CRASH if code in _CRASHED_CODES else Event.BREAK


def is_kept_by_idempotency(status: Status) -> bool:
    """Tell whether a run of this status still answers for its idempotency key: unless it failed, it does."""
    return status in (Status.COMPLETED, Status.CANCELED) or not status.is_final
