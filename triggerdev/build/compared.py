"""What a plan changes: its tasks and variables beside those of the version that is current here."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from triggerdev import errors
from triggerdev.build.deployments import Deployment, Deployments

_PLACE = ("file", "line")
"""Where a task is defined: its moving is no change of it."""


def current(history: Deployments) -> Deployment | None:
    """Give the version that is current; one that cannot be read counts as none."""
    version = history.current
    with contextlib.suppress(errors.UsageError):  # its file is gone, or damaged
        return history.get(version) if version else None
    return None


def tasks(found: Sequence[Mapping[str, Any]], before: Deployment | None) -> list[dict[str, Any]]:
    """Give each task with `change`: new "+", changed "~" or equal "=", and what has changed."""
    known = {str(task["id"]): task for task in before.tasks} if before else {}
    return [{**task, **_compared(task, known.get(str(task["id"])))} for task in found]


def removed(
    before: Deployment | None, tasks: Iterable[str], variables: Iterable[str]
) -> dict[str, list[str]]:
    """Name what the current version has and the plan has not."""
    if before is None:
        return {"tasks": [], "env": []}
    return {
        "tasks": sorted({str(task["id"]) for task in before.tasks} - set(tasks)),
        "env": sorted(set(before.variables) - set(variables)),
    }


def variable(name: str, before: Deployment | None) -> str:
    """Tell how a variable compares: "+" is new; values are known to a server only, so others are unknown."""
    return "+" if before is not None and name not in before.variables else "unknown"


def _compared(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    if before is None:
        return {"change": "+", "changes": []}
    changes = [
        f"{name} {_text(before.get(name))} -> {_text(value)}"
        for name, value in now.items()
        if name not in _PLACE and before.get(name) != value
    ]
    return {"change": "~" if changes else "=", "changes": changes}


def _text(value: Any) -> str:
    """Write a field of a task for people."""
    if isinstance(value, Mapping):
        return f"{value.get('cron')} {value.get('timezone')}"
    return "none" if value is None else str(value)
