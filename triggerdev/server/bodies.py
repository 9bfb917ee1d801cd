"""Reading request bodies: with a limit, as JSON, as a checked model. And writing answers."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from triggerdev import _json
from triggerdev.protocol import MAX_PAYLOAD_BYTES
from triggerdev.server import problems

M = TypeVar("M", bound=BaseModel)

SMALL_BODY_BYTES = 131_072
METADATA_BYTES = 262_144
# A payload is text within JSON, so escaping makes it longer; and options come on top.
TRIGGER_BODY_BYTES = 4 * MAX_PAYLOAD_BYTES
_DRAINED_BYTES = 64 * 1024 * 1024


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Make a JSON response."""
    return Response(_json.dump_bytes(content), status, headers, "application/json")


async def read(request: Request, limit: int, what: str = "body") -> bytes:
    """Read the whole body, at most `limit` bytes; refuse a longer one with 413.

    The rest of a longer body is read and dropped, up to 64 MB: many clients see no answer while they send.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() else None
    if size is not None and size > _DRAINED_BYTES:
        raise problems.too_large(what, size, limit)
    chunks: list[bytes] = []
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count <= limit:
            chunks.append(chunk)
        elif count > _DRAINED_BYTES:
            break
    if count > limit:
        raise problems.too_large(what, size, limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def parse_json(raw: bytes) -> Any:
    """Parse JSON of a stranger: ValueError for what is not JSON or cannot be written as UTF-8 again."""
    try:
        value = _json.loads(raw)
        if b"\\u" in raw:
            _json.dump_bytes(value)  # lone surrogates pass some parsers and fail when they are stored
    except (RecursionError, TypeError) as error:
        raise ValueError(str(error) or "nested too deep") from None
    return value


async def read_json(request: Request, limit: int, *, optional: bool = False) -> Any:
    """Read a JSON body; refuse with 400 what is none. An empty body is `{}` when `optional`."""
    raw = await read(request, limit)
    if not raw.strip():
        if optional:
            return {}
        raise problems.bad_request("Request body is empty")
    try:
        return parse_json(raw)
    except ValueError as error:
        raise problems.bad_request("Invalid JSON", [str(error)]) from None


async def read_object(request: Request, limit: int, *, optional: bool = False) -> dict[str, Any]:
    """Read a JSON body that must be an object."""
    value = await read_json(request, limit, optional=optional)
    if not isinstance(value, dict):
        raise problems.bad_request("Request body must be a JSON object")
    return value


async def read_model(
    request: Request, model: type[M], limit: int = SMALL_BODY_BYTES, *, optional: bool = False
) -> M:
    """Read a JSON body and validate it; refuse with 400 that names the field."""
    value = await read_object(request, limit, optional=optional)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise problems.bad_request(summary(error.errors()), []) from None


def summary(mistakes: Any) -> str:
    """Write validation mistakes as one line: field and reason of each, at most five."""
    parts = []
    for mistake in mistakes[:5]:
        place = ".".join(str(part) for part in mistake["loc"])
        parts.append(f"{place}: {mistake['msg']}" if place else mistake["msg"])
    return "; ".join(parts)
