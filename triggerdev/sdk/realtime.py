"""Following many runs: the rows of the server's realtime API, and runs read from them."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from triggerdev import _json
from triggerdev.errors import ApiError, PayloadError
from triggerdev.protocol import STORED
from triggerdev.sdk import http, options, packets, serialise, times
from triggerdev.sdk.results import BatchHandle
from triggerdev.sdk.run_filters import ENDED

_HOLD_S = 20
_START = "-1"
_CONFLICT = 409
_STATUS = {  # of the rows; the others are the API's names
    "PENDING": "QUEUED",
    "DEQUEUED": "QUEUED",
    "RETRYING_AFTER_FAILURE": "EXECUTING",
    "WAITING_TO_RESUME": "WAITING",
    "PAUSED": "WAITING",
    "COMPLETED_SUCCESSFULLY": "COMPLETED",
    "COMPLETED_WITH_ERRORS": "FAILED",
}
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}]+)')
Row = dict[str, Any]


async def follow(path: str, params: Mapping[str, str]) -> AsyncIterator[list[Row]]:
    """Yield the rows that are there, then those that have changed, for ever. Raises ApiError.

    A list may be empty: nothing has changed for a while.
    """
    known: dict[str, Row] = {}
    place: dict[str, str] = {"offset": _START}
    while True:
        try:
            answer = await http.request("GET", path, params={**params, **place}, timeout=_HOLD_S + 15)
        except ApiError as error:
            if error.status != _CONFLICT or place["offset"] == _START:
                raise
            place = {"offset": _START}  # the server has forgotten us
            continue
        yield [await _filled(row) for row in _changed(known, answer.body or [])]
        headers = answer.headers
        place = {
            "offset": headers.get("electric-offset", place["offset"]),
            "handle": headers.get("electric-handle", ""),
        }
        if "electric-up-to-date" in headers or _is_up_to_date(answer.body):
            place |= {"live": "true", "cursor": headers.get("electric-cursor", "")}


async def _filled(row: Row) -> Row:
    """Download what is stored beside the run."""
    for part in ("payload", "output"):
        if row.get(f"{part}Type") == STORED and row.get(part) is not None:
            text, kind = await packets.fetch_of_run(row["friendlyId"], part)
            row = {**row, part: text, f"{part}Type": kind}
    return row


def _changed(known: dict[str, Row], messages: Iterable[Row]) -> list[Row]:
    """Merge messages into the rows that are known; gives each row that has changed, once."""
    changed: dict[str, Row] = {}
    for message in messages:
        if "key" in message:
            key = str(message["key"])
            changed[key] = known[key] = {**known.get(key, {}), **message["value"]}
    return list(changed.values())


def _is_up_to_date(messages: Any) -> bool:
    return any(message.get("headers", {}).get("control") == "up-to-date" for message in messages or ())


def of_tags(
    tags: str | Sequence[str], created_at: str | timedelta | None, skip_columns: Sequence[str]
) -> AsyncIterator[list[Row]]:
    """Follow the runs that have all of these tags. Raises PayloadError for what is no tag."""
    wanted = options.check_tags(tags)
    if not wanted:
        raise PayloadError("tag: give a tag to follow, or several.")
    for tag in wanted:
        if "," in tag:
            raise PayloadError(
                f"tag: {tag!r:.60} holds a comma, which separates tags: it cannot be followed."
            )
    params = {"tags": ",".join(wanted)}
    if created_at is not None:
        params["createdAt"] = times.duration_text(created_at, "created_at")
    return follow("/realtime/v1/runs", params | _skipping(skip_columns))


def of_batch(batch: str | BatchHandle, skip_columns: Sequence[str]) -> AsyncIterator[list[Row]]:
    """Follow the runs of a batch."""
    return follow(f"/realtime/v1/batches/{quote(batch_id(batch), safe='')}", _skipping(skip_columns))


def batch_id(batch: Any) -> str:
    """Give a batch's id. Raises PayloadError."""
    found = batch if isinstance(batch, str) else getattr(batch, "id", None)
    if not isinstance(found, str) or not found:
        raise PayloadError(f"batch={batch!r:.60} is no batch: use its id, or what batch_trigger gave.")
    return found


def _skipping(columns: Sequence[str]) -> dict[str, str]:
    if isinstance(columns, str):
        raise PayloadError(f"skip_columns={columns!r:.60}: use a list, such as ['payload', 'output'].")
    return {"skipColumns": ",".join(columns)} if columns else {}


def fields(row: Row) -> dict[str, Any]:
    """Read a row as the fields of a `Run`."""
    status = _STATUS.get(row["status"], row["status"])
    is_over = status in ENDED
    read: dict[str, Any] = {
        "id": row["friendlyId"],
        "status": status,
        "task_identifier": row["taskIdentifier"],
        "is_queued": status in ("QUEUED", "DELAYED"),
        "is_executing": status == "EXECUTING",
        "is_waiting": status == "WAITING",
        "is_completed": is_over,
        "is_success": status == "COMPLETED",
        "is_failed": is_over and status != "COMPLETED",
        "is_cancelled": status == "CANCELED",
        "is_test": row.get("isTest") == "t",
        "payload": _data(row.get("payload"), row.get("payloadType")),
        "output": _data(row.get("output"), row.get("outputType")) if status == "COMPLETED" else None,
        "tags": _texts(row.get("runTags")),
        "metadata": _data(row.get("metadata"), row.get("metadataType")) or {},
        "cost_in_cents": float(row.get("costInCents") or 0),
        "base_cost_in_cents": float(row.get("baseCostInCents") or 0),
        "duration_ms": int(row.get("usageDurationMs") or 0),
        "ttl": row.get("ttl"),
    }
    return read | {name: times.parse_moment(row.get(column)) for name, column in _MOMENTS.items()}


_MOMENTS = {
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "started_at": "startedAt",
    "finished_at": "completedAt",
    "delayed_until": "delayUntil",
    "expired_at": "expiredAt",
}


def error_of(row: Row) -> dict[str, Any] | None:
    """Read a row's error."""
    found = _json.loads(row["error"]) if row.get("error") else None
    return found if isinstance(found, dict) else None


def _data(text: str | None, kind: str | None) -> Any:
    return None if text is None else serialise.load(text, kind or serialise.JSON)


def _texts(array: str | None) -> list[str]:
    """Read PostgreSQL's text of an array: {"a","say \\"hi\\"",plain}."""
    return [
        re.sub(r"\\(.)", r"\1", quoted) if quoted or not plain else plain
        for quoted, plain in _ELEMENT.findall(array or "")
    ]
