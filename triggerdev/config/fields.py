"""The kinds of values in a configuration: durations, references, lists that may be written as one item."""

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from triggerdev import _durations

MAX_SECONDS = 2_147_483_647

_MILLISECONDS = re.compile(r"(\d{1,12})ms")
_DURATION_PATTERN = r"^((\d+(w|d|hr|h|m|s))+|\d+ms)$"
_MODULE_REFERENCE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_FILE_REFERENCE = re.compile(r"[^:\x00-\x1f]+\.py:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def to_seconds(value: Any) -> float:
    """Read a duration as seconds: a number, or text such as "100ms", "5m", "1h30m"."""
    if isinstance(value, str):
        seconds = _text_to_seconds(value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= MAX_SECONDS else math.inf
    else:
        seconds = None
    if seconds is None:
        raise PydanticCustomError("duration", 'expected a duration: seconds, or text such as "5m" or "1h30m"')
    if not 0 <= seconds <= MAX_SECONDS:
        message = "a duration must be between 0 and {limit} seconds"
        raise PydanticCustomError("duration_range", message, {"limit": MAX_SECONDS})
    return seconds


def _text_to_seconds(text: str) -> float | None:
    if match := _MILLISECONDS.fullmatch(text):
        return int(match[1]) / 1000
    milliseconds = _durations.parse_duration_ms(text)
    return None if milliseconds is None else min(milliseconds / 1000, math.inf)


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise PydanticCustomError("duration_zero", "a duration here must be longer than 0")
    return seconds


def is_file_reference(text: str) -> bool:
    """Tell whether a reference names a file, as "./build_support/banner.py:Banner" does, and not a module."""
    return _FILE_REFERENCE.fullmatch(text) is not None


def check_reference(text: str) -> str:
    """Return a well-formed reference unchanged; nothing is imported here."""
    if _MODULE_REFERENCE.fullmatch(text) or is_file_reference(text):
        return text
    raise PydanticCustomError("reference", 'expected a reference: "package.module:name" or "./file.py:name"')


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


def _inside_the_project(path: str) -> str:
    parts = path.replace("\\", "/").split("/")
    if not path.strip() or parts[0] == "" or ":" in parts[0] or ".." in parts:
        message = "expected a path inside the project, relative to the configuration's folder"
        raise PydanticCustomError("path", message)
    return path


def _http_url(text: str) -> str:
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "https") or not rest or rest.startswith("/"):
        raise PydanticCustomError("url", 'expected a URL such as "https://otel.example.com"')
    return text.rstrip("/")


def _visible(text: str) -> str:
    if not text or not text.isprintable() or " " in text:
        raise PydanticCustomError("visible", "expected text without spaces or control characters")
    return text


_DURATION_SCHEMA = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _DURATION_PATTERN}],
    "description": 'Seconds, or text such as "5m".',
}
_STRINGS_SCHEMA = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

Duration = Annotated[float, BeforeValidator(to_seconds), WithJsonSchema(_DURATION_SCHEMA)]
PositiveDuration = Annotated[
    float, BeforeValidator(to_seconds), AfterValidator(_positive), WithJsonSchema(_DURATION_SCHEMA)
]
Reference = Annotated[str, AfterValidator(check_reference)]
References = Annotated[list[Reference], BeforeValidator(_as_list), WithJsonSchema(_STRINGS_SCHEMA)]
Text = Annotated[str, StringConstraints(min_length=1)]
Word = Annotated[str, AfterValidator(_visible)]
Url = Annotated[str, AfterValidator(_visible), AfterValidator(_http_url)]
Price = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
Paths = Annotated[list[Text], BeforeValidator(_as_list), WithJsonSchema(_STRINGS_SCHEMA)]
ProjectPath = Annotated[str, AfterValidator(_inside_the_project)]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
