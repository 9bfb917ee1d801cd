"""How runs end, as those hear it who asked for them."""

from typing import Any, TypedDict


class ErrorInfo(TypedDict, total=False):
    """A run's error in the wire format of the public API (`TaskRunError`).

    type BUILT_IN_ERROR: name, message, stackTrace, causes; STRING_ERROR and CUSTOM_ERROR: raw;
    INTERNAL_ERROR: code, message, stackTrace. `location` ("trigger/basic.py:12", the user's innermost
    frame) and `sourceLine` are ours, for terminals.
    """

    type: str
    name: str
    message: str
    stackTrace: str
    causes: list[dict[str, Any]]
    raw: str
    code: str
    location: str
    sourceLine: str


class ChildResult(TypedDict, total=False):
    """What a parent gets of a finished child; `output` is text of type `output_type`."""

    ok: bool
    id: str
    task: str
    output: str | None
    output_type: str
    error: ErrorInfo
