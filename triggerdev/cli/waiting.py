"""Waiting for a run, and showing how it ended."""

import time
from collections.abc import Callable
from typing import Any

from triggerdev import _durations, errors
from triggerdev._terminal import error_lines, json_text
from triggerdev.cli.api import LONG_POLL_S, Api
from triggerdev.cli.output import Output

_PAUSE_S = 1.0


def wait_for_run(
    api: Api,
    run: str,
    timeout_s: float | None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Wait until the run has ended, for at most `timeout_s` seconds; return it as the API shows it last.

    A server without the long poll is asked once a second.
    """
    deadline = None if timeout_s is None else clock() + timeout_s
    current = api.run(run)
    while not current.get("isCompleted"):
        left = LONG_POLL_S if deadline is None else min(LONG_POLL_S, deadline - clock())
        if left <= 0:
            break
        if "rev" in current:
            current = api.run_after(run, current["rev"], left)
        else:
            pause(min(_PAUSE_S, left))
            current = api.run(run)
    return current


def parse_timeout(text: str | None) -> float | None:
    """Read `--timeout`: seconds, or text such as "5m"; in seconds."""
    if text is None:
        return None
    try:
        ms: float | None = float(text) * 1000
    except ValueError:
        ms = _durations.parse_duration_ms(text)
    if ms is None or not 0 <= ms < 1e12:
        raise errors.UsageError(f"--timeout {text!r}: give seconds or a duration such as 30s, 5m, 2h30m.")
    return ms / 1000


def show_end(out: Output, run: dict[str, Any], root: str) -> bool:
    """Print a run's output on stdout, or its error on stderr; tell if the run completed successfully."""
    status = str(run.get("status", "")).lower().replace("_", " ")
    name = f"{run.get('taskIdentifier', '')} ({run.get('id', '')})"
    out.result(run)
    if run.get("isSuccess"):
        if not out.as_json:
            out.line(json_text(run.get("output")))
        out.say(f"{name} completed in {took(run)}")
        return True
    if not run.get("isCompleted"):
        out.say(f"{name} is still {status}; it goes on. `trigger runs get {run.get('id', '')}` shows it.")
        return False
    out.say(f"{name} {status} after {took(run)}")
    if isinstance(run.get("error"), dict) and status != "canceled":
        out.explain(error_lines(run["error"], root))
    return False


def took(run: dict[str, Any]) -> str:
    """Return the time from a run's creation to its end."""
    start, end = (_durations.parse_instant_ms(str(run.get(key))) for key in ("createdAt", "finishedAt"))
    if start is None or end is None:
        return _durations.format_ms(float(run.get("durationMs") or 0))
    return _durations.format_ms(max(0, end - start))
