"""Rows of the PostgreSQL store: those of `rows`, but for the NUL character, which PostgreSQL cannot hold.

In texts that must come back unchanged (payloads, outputs, lines) U+E000 and a letter stand for it.
"""

from typing import Any

from triggerdev.engine.model import LogEntry, Run, Span, Token
from triggerdev.engine.store import rows

_MARK = "\ue000"
_NUL, _MARK_ITSELF = _MARK + "0", _MARK + "m"

Row = tuple[Any, ...]


def pack(text: str | None) -> str | None:
    """Write a text without NUL."""
    if text is None or ("\x00" not in text and _MARK not in text):
        return text
    return text.replace(_MARK, _MARK_ITSELF).replace("\x00", _NUL)


def unpack(text: str | None) -> str | None:
    """Read what `pack` wrote."""
    if text is None or _MARK not in text:
        return text
    return text.replace(_NUL, "\x00").replace(_MARK_ITSELF, _MARK)


def new_run(run: Run) -> Row:
    """Bind `insert_run`."""
    row = rows.new_run(run)
    payload, output = pack(run.payload), pack(run.output)
    if payload is run.payload and output is run.output:
        return row
    return _replaced(row, (run.payload, payload), (run.output, output))


def changed_run(run: Run) -> Row:
    """Bind `update_run`."""
    row, output = rows.changed_run(run), pack(run.output)
    return row if output is run.output else _replaced(row, (run.output, output))


def changed_input(run: Run) -> Row:
    """Bind `update_input`."""
    payload, *rest = rows.changed_input(run)
    return (pack(payload), *rest)


def run(row: Row) -> Run:
    """Read a row of `runs`."""
    found = rows.run(row)
    found.payload, found.output = unpack(found.payload), unpack(found.output)
    return found


def new_token(token: Token) -> Row:
    row, output = rows.new_token(token), pack(token.output)
    return row if output is token.output else _replaced(row, (token.output, output))


def token(row: Row) -> Token:
    found = rows.token(row)
    found.output = unpack(found.output)
    return found


def log(row: Row) -> LogEntry:
    found = rows.log(row)
    found.message = unpack(found.message) or ""
    return found


def new_log(entry: LogEntry) -> Row:
    row = rows.new_log(entry)
    message = pack(entry.message)
    return row if message is entry.message else _replaced(row, (entry.message, message))


def new_span(span: Span) -> Row:
    row, name, error = rows.new_span(span), pack(span.name), pack(span.error)
    if name is span.name and error is span.error:
        return row
    return _replaced(row, (span.name, name), (span.error, error))


def span(row: Row) -> Span:
    found = rows.span(row)
    found.name, found.error = unpack(found.name) or "", unpack(found.error)
    return found


def _replaced(row: Row, *pairs: tuple[str | None, str | None]) -> Row:
    """Put other texts in the place of the very objects that are in a row."""
    by_identity = {id(old): new for old, new in pairs if old is not None}
    return tuple(by_identity.get(id(value), value) for value in row)


new_op, completed_op, op = rows.new_op, rows.completed_op, rows.op
new_batch, batch = rows.new_batch, rows.batch
new_schedule, schedule, variable = rows.new_schedule, rows.schedule, rows.variable
