"""Reading a payload from the command line, and saying where it is wrong."""

import json
import sys
from pathlib import Path
from typing import Any

from triggerdev import errors, protocol
from triggerdev._terminal import clean, width

_CONTEXT = 40


def read_payload(text: str | None, file: str | None) -> str | None:
    """Return the payload as JSON text, from the text or from a file ("-" is stdin); None if neither is given.

    Raises UsageError for both at once or a file that cannot be read, PayloadError for what is no JSON or more
    than 10 MB.
    """
    if text is not None and file is not None:
        raise errors.UsageError("--payload and --payload-file exclude each other; give one of them.")
    if file is not None:
        text = _read(file)
    if text is None:
        return None
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise errors.PayloadError("the payload is no UTF-8 text.") from None
    if size > protocol.MAX_STORED_BYTES:
        raise errors.PayloadError(
            f"the payload has {size:,} bytes; at most {protocol.MAX_STORED_BYTES:,} (10 MB) can be sent. "
            "Put the data where the task can fetch it, and send its address."
        )
    parse_json(text, "payload" if file is None else f"payload in {file}")
    return text


def parse_json(text: str, what: str) -> Any:
    """Parse JSON; raise PayloadError with line, column and a caret under the first mistake."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        problem = f"{what} is no JSON, line {error.lineno} column {error.colno}: {error.msg}"
        raise errors.PayloadError(f"{clean(problem)}\n{_pointed_at(text, error)}{_hint(text)}") from None
    except (_ConstantError, RecursionError) as error:
        why = f"{error} is no JSON value" if isinstance(error, _ConstantError) else "it is nested too deeply"
        raise errors.PayloadError(f"{clean(what)} is no JSON: {why}") from None


class _ConstantError(Exception):
    """NaN or an infinity, which Python's parser would take."""


def _refuse_constant(name: str) -> Any:
    raise _ConstantError(name)


def _read(file: str) -> str:
    limit = protocol.MAX_STORED_BYTES + 1
    try:
        if file == "-":
            data = sys.stdin.buffer.read(limit)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(limit)
    except OSError as error:
        raise errors.UsageError(f"cannot read --payload-file {file}: {error.strerror}") from error
    if len(data) == limit:
        raise errors.PayloadError(f"the payload in {file} is larger than {limit - 1:,} bytes (10 MB).")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise errors.PayloadError(f"the payload in {file} is no UTF-8 text (byte {error.start}).") from None


def _pointed_at(text: str, error: json.JSONDecodeError) -> str:
    """Show the part of the line around the mistake, with a caret below."""
    line_start = error.pos - (error.colno - 1)
    line_end = text.find("\n", line_start)
    line = text[line_start : line_end if line_end >= 0 else len(text)]
    column = error.colno - 1
    start = max(0, column - _CONTEXT)
    before = ("..." if start else "") + clean(line[start:column])
    after = clean(line[column : column + _CONTEXT]) + ("..." if len(line) > column + _CONTEXT else "")
    return f"    {before}{after}\n    {' ' * width(before)}^"


def _hint(text: str) -> str:
    if "'" in text and '"' not in text:
        return '\nJSON has double quotes; in a shell: --payload \'{"name": "Ada"}\''
    if text and text.strip().replace("_", "").replace("-", "").isalnum() and not text.strip().isdigit():
        return f"\nA text must be in double quotes: --payload '\"{clean(text.strip())[:40]}\"'"
    return ""
