"""What is recorded of a step: its result, or its exception, which the task may have caught to go on."""

import sys
from typing import Any

from triggerdev import _json, errors
from triggerdev.sdk import serialise

_MAX_CHARACTERS = 65_536


def result_text(name: str, value: Any) -> str | None:
    """Write what a step gave as JSON text, None for None. Raises StepResultError."""
    try:
        return serialise.dump_payload(value, f"result of step {name!r}")
    except errors.PayloadError as error:
        raise errors.StepResultError(str(error)) from None


def describe(error: Exception) -> dict[str, Any] | None:
    """Write an exception so that `rebuild` makes an equal one; None if that cannot be done.

    It can if its class is found by name and all that it holds (arguments, attributes) is plain JSON.
    """
    cls = type(error)
    kept = {
        "module": cls.__module__,
        "name": cls.__qualname__,
        "args": list(error.args),
        "attributes": vars(error),
    }
    try:
        text = _json.dumps(kept)
        read = _json.loads(text)
        made = rebuild(read)
        is_same = type(made) is cls and made.args == error.args and vars(made) == vars(error)
        return read if is_same and str(made) == str(error) and len(text) <= _MAX_CHARACTERS else None
    except Exception:  # whatever the user's class does: it is not recorded
        return None


def rebuild(kept: dict[str, Any]) -> Exception:
    """Make the exception again. Raises RunError if its class is no longer there."""
    cls: Any = sys.modules.get(kept["module"])
    for name in kept["name"].split("."):
        cls = getattr(cls, name, None)
    if not (isinstance(cls, type) and issubclass(cls, Exception)):
        raise errors.RunError(
            f"A step has failed with {kept['module']}.{kept['name']} {tuple(kept['args'])}, which this code "
            "does not have any more."
        )
    error = cls.__new__(cls, *kept["args"])
    error.args = tuple(kept["args"])
    error.__dict__.update(kept["attributes"])
    return error
