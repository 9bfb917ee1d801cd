"""From request bodies to the engine's items: a payload, its type, options."""

from typing import Any

from triggerdev import _durations, _json
from triggerdev.engine.model import TriggerItem
from triggerdev.protocol import MAX_PAYLOAD_BYTES, MAX_STORED_BYTES, STORED
from triggerdev.server import problems
from triggerdev.server.bodies import parse_json
from triggerdev.server.packets import PacketStore

JSON = "application/json"
SUPERJSON = "application/super+json"
TEXT = "text/plain"
_TYPES = frozenset({JSON, SUPERJSON, TEXT})
_MAX_TASK_ID = 512
_MAX_NUMBER = 2**53
_CENTURY_MS = 100 * 365 * 86_400_000


def check_options(options: Any) -> dict[str, Any]:
    """Return the options without nulls; their values are the engine's to check.

    Refuses with 400 what is no object and numbers beyond 2**53, which no store keeps exactly.
    """
    if not options:
        return {}
    if not isinstance(options, dict):
        raise problems.bad_request("options: must be an object")
    checked = {}
    for name, value in options.items():
        if value is None:
            continue
        if isinstance(value, int | float) and not -_MAX_NUMBER <= value <= _MAX_NUMBER:
            raise problems.bad_request(f"options.{name}: is out of range")
        checked[name] = value
    if "idempotencyKeyOptions" in checked:
        _check_key_options(checked["idempotencyKeyOptions"])
    return checked


def _check_key_options(value: Any) -> None:
    key = value.get("key") if isinstance(value, dict) else None
    if not (isinstance(key, str) or (isinstance(key, list) and all(isinstance(part, str) for part in key))):
        raise problems.bad_request("options.idempotencyKeyOptions.key: must be a string or a list of strings")


def key_ttl_ms(text: str | None) -> int | None:
    """Read how long an idempotency key holds; refuse with 422 what is no duration or over 100 years."""
    if text is None:
        return None
    ttl_ms = _durations.parse_duration_ms(text)
    if ttl_ms is None or ttl_ms > _CENTURY_MS:
        raise problems.unprocessable(f'idempotencyKeyTTL: {text!r} is no duration like "24h"')
    return ttl_ms


async def trigger_item(
    body: dict[str, Any],
    task: str,
    index: int | None = None,
    *,
    packets: PacketStore | None,
    where: int | None = None,
) -> TriggerItem:
    """Make the engine's item of one trigger body.

    A payload of type application/store is read back from `packets`, and refused with 403 when that is None.
    Refuses with 400 what is malformed and with 413 a payload over 3 MB (a stored one: 10 MB); `where` is the
    item's number, for the message.
    """
    payload: str | None
    try:
        if not task or len(task) > _MAX_TASK_ID:
            raise problems.bad_request(f"task: must have 1 to {_MAX_TASK_ID} characters")
        options = check_options(body.get("options"))
        declared = options.pop("payloadType", None)
        options.pop("payloadSize", None)
        if declared == STORED:
            payload, payload_type = await _stored(body.get("payload"), packets)
        else:
            payload, payload_type = inline_payload(body, declared)
    except problems.Problem as problem:
        if where is not None:
            problem.detail = f"item {where}: {problem.detail}"
        raise
    return TriggerItem(task, payload, payload_type, options, index)


def inline_payload(body: dict[str, Any], declared: Any) -> tuple[str | None, str]:
    """Give the payload of a body as text and type.

    Clients send it serialised, with its type. Without a type, a string that is JSON counts as serialised, any
    other as plain text; another value is taken as it is. An absent payload is None, an explicit null "null".
    """
    if declared is not None and not (isinstance(declared, str) and declared in _TYPES):
        raise problems.bad_request(
            f"options.payloadType: must be one of {', '.join(sorted([*_TYPES, STORED]))}"
        )
    if "payload" not in body:
        return None, declared or JSON
    value = body["payload"]
    if isinstance(value, str):
        return _text_payload(value, declared)
    text = _json.dumps(value)
    _check_size(text)
    is_superjson = declared == SUPERJSON and isinstance(value, dict) and "json" in value
    return text, SUPERJSON if is_superjson else JSON


def _text_payload(text: str, declared: str | None, most: int = MAX_PAYLOAD_BYTES) -> tuple[str, str]:
    _check_size(text, most)
    if declared == TEXT:
        return text, TEXT
    try:
        parse_json(text.encode())
    except ValueError as error:
        if declared is None:
            return text, TEXT
        raise problems.bad_request(f"payload: is not valid JSON: {error}") from None
    return text, declared or JSON


def _check_size(text: str, most: int = MAX_PAYLOAD_BYTES) -> None:
    size = len(text) if text.isascii() else len(text.encode())
    if size > most:
        raise problems.too_large("payload", size, most)


async def _stored(name: Any, packets: PacketStore | None) -> tuple[str, str]:
    if not isinstance(name, str) or not name:
        raise problems.bad_request(
            "payload: must be a non-empty string when options.payloadType is application/store"
        )
    if packets is None:
        raise problems.forbidden("a stored payload needs the secret key")
    packet = await packets.get(name)
    if packet is None:
        raise problems.bad_request("payload: no stored payload has this name; upload it first")
    try:
        text = packet.data.decode()
    except UnicodeDecodeError:
        raise problems.bad_request("payload: the stored payload is not UTF-8 text") from None
    kind = packet.content_type.partition(";")[0].strip().lower()
    return _text_payload(text, kind if kind in _TYPES else None, MAX_STORED_BYTES)


def plain_json(text: str | None, kind: str) -> Any:
    """Give payload or output text as plain JSON: of superjson its `json` part, of plain text the string."""
    if text is None or kind == TEXT:
        return text
    try:
        value = _json.loads(text)
    except ValueError:
        return text
    if kind == SUPERJSON and isinstance(value, dict):
        return value.get("json")
    return value
