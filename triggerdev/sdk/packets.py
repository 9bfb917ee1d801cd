"""Large payloads and outputs over HTTP: they travel by signed URLs, as those of official clients do."""

import uuid
from typing import Any
from urllib.parse import quote

from triggerdev import protocol
from triggerdev.sdk import http, serialise

_PARTS = ("payload", "output")


def is_large(text: str) -> bool:
    """Tell whether a text travels by itself instead of in the request that names it."""
    size = len(text)
    return size > protocol.INLINE_BYTES or (
        4 * size > protocol.INLINE_BYTES and len(text.encode()) > protocol.INLINE_BYTES
    )


async def packed(text: str) -> tuple[str, str]:
    """Give a JSON text and its type as a request carries them; a large one is uploaded, and named."""
    if not is_large(text):
        return text, serialise.JSON
    name = f"trigger/packet_{uuid.uuid4().hex}/payload.json"
    asked = (await http.request("PUT", f"/api/v2/packets/{quote(name, safe='')}")).body
    await http.transfer("PUT", asked["presignedUrl"], text.encode(), serialise.JSON)
    return str(asked["storagePath"]), protocol.STORED


async def filled(answer: dict[str, Any], known: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give a run of the HTTP API with its large payload and output in it.

    `known` keeps what has been downloaded, for the next answer on the same run.
    """
    known = {} if known is None else known
    shown = dict(answer)
    for part in _PARTS:
        url = shown.pop(f"{part}PresignedUrl", None)
        if url is None:
            continue
        if part not in known:
            known[part] = _plain(*await http.transfer("GET", url))
        shown[part] = known[part]
    return shown


async def fetch(key: str) -> tuple[str, str]:
    """Download what is stored under a key: text and type. Raises NotFoundError."""
    asked = (await http.request("GET", f"/api/v1/packets/{quote(key, safe='')}")).body
    data, kind = await http.transfer("GET", asked["presignedUrl"])
    return data.decode(), kind


async def fetch_of_run(run: str, part: str) -> tuple[str, str]:
    """Download a run's large payload or output: text and type. Raises NotFoundError."""
    asked = (await http.request("GET", f"/api/v1/runs/{quote(run, safe='')}/packets/{part}")).body
    data, kind = await http.transfer("GET", asked["presignedUrl"])
    return data.decode(), kind


def _plain(data: bytes, kind: str) -> Any:
    """Read what was downloaded as runs show it: of superjson the JSON part."""
    if kind != serialise.SUPERJSON:
        return serialise.load(data.decode(), kind)
    value = serialise.load(data.decode(), serialise.JSON)
    return value.get("json") if isinstance(value, dict) else value
