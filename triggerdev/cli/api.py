"""The HTTP client of the commands: synchronous, small, and with errors that name the way out."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from triggerdev import _json, errors, protocol
from triggerdev._version import __version__
from triggerdev.cli.project import Server, is_loopback

if TYPE_CHECKING:
    import httpx

LONG_POLL_S = 20
_TIMEOUT_S = 30.0
_TRANSFER_S = 120.0
_PAGE_SIZE = 100


class Api:
    """One server's HTTP API; raises ApiError for a refusal, ConnectionFailedError for no answer."""

    def __init__(self, server: Server) -> None:
        import httpx

        self._server = server
        headers = {"user-agent": f"triggerdev-cli/{__version__}", "x-trigger-source": "cli"}
        if server.key:
            headers["authorization"] = f"Bearer {server.key}"
        self._http = httpx.Client(
            base_url=server.url,
            headers=headers,
            timeout=httpx.Timeout(_TIMEOUT_S, connect=5.0),
            trust_env=not server.is_loopback,  # a proxy cannot reach this machine's own ports
        )

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def trigger(self, task: str, body: dict[str, Any]) -> dict[str, Any]:
        """Trigger a task; a payload that is too large for the request is uploaded first."""
        text = body.get("payload")
        if isinstance(text, str) and len(text) > protocol.INLINE_BYTES:
            options = {**body["options"], "payloadType": protocol.STORED}
            body = {**body, "payload": self._upload(text), "options": options}
        return self._object("POST", f"/api/v1/tasks/{_part(task)}/trigger", body)

    def _upload(self, text: str) -> str:
        name = f"trigger/packet_{uuid.uuid4().hex}/payload.json"
        asked = self._object("PUT", f"/api/v2/packets/{_part(name)}")
        self._transfer("PUT", str(asked.get("presignedUrl")), text.encode())
        return str(asked.get("storagePath"))

    def filled(self, run: dict[str, Any]) -> dict[str, Any]:
        """Download a run's large payload and output into it."""
        for part in ("payload", "output"):
            url = run.get(f"{part}PresignedUrl")
            if url is not None:
                run = {**run, part: _plain(self._transfer("GET", str(url)))}
        return run

    def _transfer(self, method: str, url: str, content: bytes | None = None) -> "httpx.Response":
        """Use a signed URL, which may lead elsewhere: without the key."""
        import httpx

        headers = {"content-type": "application/json"} if content is not None else {}
        try:
            response = httpx.request(
                method,
                url,
                content=content,
                headers=headers,
                timeout=_TRANSFER_S,
                trust_env=not is_loopback(url),
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            host = url.partition("?")[0]
            raise errors.ConnectionFailedError(f"{host}: {str(error) or type(error).__name__}") from error
        if response.status_code >= 300:
            raise self._refusal(response)
        return response

    def tasks(self) -> list[dict[str, Any]]:
        return _rows(self._object("GET", "/api/v1/tasks"), "tasks")

    def run(self, run: str) -> dict[str, Any]:
        return self._object("GET", f"/api/v3/runs/{_part(run)}")

    def run_after(self, run: str, rev: Any, wait_s: float) -> dict[str, Any]:
        """Get the run as soon as its `rev` is another one, or as it is after `wait_s` seconds."""
        query = {"wait": f"{wait_s:g}", "since": str(rev)}
        return self._object("GET", f"/api/v3/runs/{_part(run)}", query=query, timeout_s=wait_s + 10)

    def runs(self, filters: dict[str, str], limit: int) -> Iterator[dict[str, Any]]:
        """Iterate over runs, newest first, page by page, at most `limit`."""
        query = dict(filters)
        while limit > 0:
            query["page[size]"] = str(min(limit, _PAGE_SIZE))
            page = self._object("GET", "/api/v1/runs", query=query)
            rows = _rows(page, "data")[:limit]
            yield from rows
            limit -= len(rows)
            following = (page.get("pagination") or {}).get("next")
            if not following or not rows:
                return
            query["page[after]"] = following

    def events(self, run: str, after: int, wait_s: float = 0) -> tuple[list[dict[str, Any]], bool]:
        """Get what the run wrote after the event `after` (a `seq`), and whether the run has ended.

        Waits up to `wait_s` seconds for an event or the end. Of a server that does not tell, nothing more is
        expected.
        """
        query = {"after": str(after)} | ({"wait": f"{wait_s:g}"} if wait_s else {})
        path = f"/api/v1/runs/{_part(run)}/events"
        answer = self._object("GET", path, query=query, timeout_s=wait_s + _TIMEOUT_S)
        return _rows(answer, "events"), bool(answer.get("isCompleted", True))

    def trace(self, run: str) -> dict[str, Any]:
        """Get the spans of a run and its descendants as a tree: `traceId`, `rootSpan`, `isTruncated`."""
        found = self._object("GET", f"/api/v1/runs/{_part(run)}/trace").get("trace")
        return found if isinstance(found, dict) else {}

    def cancel(self, run: str) -> dict[str, Any]:
        return self._object("POST", f"/api/v2/runs/{_part(run)}/cancel")

    def replay(self, run: str) -> dict[str, Any]:
        return self._object("POST", f"/api/v1/runs/{_part(run)}/replay")

    def schedules(self) -> Iterator[dict[str, Any]]:
        """Iterate over all schedules, page by page."""
        page, last = 1, 1
        while page <= last:
            query = {"page": str(page), "perPage": str(_PAGE_SIZE)}
            answer = self._object("GET", "/api/v1/schedules", query=query)
            yield from _rows(answer, "data")
            last = int((answer.get("pagination") or {}).get("totalPages", 1))
            page += 1

    def create_schedule(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._object("POST", "/api/v1/schedules", body)

    def change_schedule(self, schedule: str, action: str) -> dict[str, Any]:
        """Activate, deactivate or delete a schedule."""
        path = f"/api/v1/schedules/{_part(schedule)}"
        if action == "delete":
            return self._object("DELETE", path)
        return self._object("POST", f"{path}/{action}")

    def queues(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """List all queues, and what they have together (running, queued, concurrencyLimit)."""
        queues: list[dict[str, Any]] = []
        page, last = 1, 1
        answer: dict[str, Any] = {}
        while page <= last:
            query = {"page": str(page), "perPage": str(_PAGE_SIZE)}
            answer = self._object("GET", "/api/v1/queues", query=query)
            queues += _rows(answer, "data")
            last = int((answer.get("pagination") or {}).get("totalPages", 1))
            page += 1
        return queues, answer.get("environment") or {}

    def change_queue(self, queue: str, route: str, **body: Any) -> dict[str, Any]:
        """Pause or resume a queue, override or reset its limit; `queue` is a name or an id."""
        return self._object("POST", f"/api/v1/queues/{_part(queue)}/{route}", {"type": "custom", **body})

    def variables(self, ref: str) -> list[dict[str, Any]]:
        answer = self._value("GET", _variables(ref))
        return [row for row in answer if isinstance(row, dict)] if isinstance(answer, list) else []

    def variable(self, ref: str, name: str) -> dict[str, Any]:
        return self._object("GET", f"{_variables(ref)}/{_part(name)}")

    def set_variable(self, ref: str, name: str, value: str, secret: bool) -> None:
        self._object("POST", _variables(ref), {"name": name, "value": value, "isSecret": secret})

    def import_variables(self, ref: str, values: dict[str, str], *, secret: bool, override: bool) -> None:
        body = {"variables": values, "isSecret": secret, "override": override}
        self._object("POST", f"{_variables(ref)}/import", body)

    def delete_variable(self, ref: str, name: str) -> None:
        self._object("DELETE", f"{_variables(ref)}/{_part(name)}")

    def _object(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> dict[str, Any]:
        value = self._value(method, path, body, query, timeout_s)
        if isinstance(value, dict):
            return value
        raise self._no_server()

    def _value(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
        timeout_s: float = _TIMEOUT_S,
    ) -> Any:
        response = self._send(method, path, body, query, timeout_s)
        if response.status_code >= 300:
            raise self._refusal(response)
        try:
            return _json.loads(response.content)
        except ValueError:
            raise self._no_server() from None

    def _no_server(self) -> errors.ConnectionFailedError:
        return errors.ConnectionFailedError(
            f"{self._server.url} answered, but not as a Trigger server does. Is the URL right?"
        )

    def _send(
        self, method: str, path: str, body: Any, query: dict[str, str] | None, timeout_s: float
    ) -> "httpx.Response":
        import httpx

        try:
            content = None if body is None else _json.dump_bytes(body)
        except TypeError as error:
            raise errors.UsageError(f"a value cannot be sent: {error}") from error
        headers = {"content-type": "application/json"}
        try:
            return self._http.request(
                method, path, content=content, params=query, headers=headers, timeout=timeout_s
            )
        except httpx.ConnectError as error:
            raise errors.ConnectionFailedError(self._nobody_there()) from error
        except httpx.TimeoutException as error:
            raise errors.ConnectionFailedError(
                f"{self._server.url} did not answer within {timeout_s:g} s."
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise errors.ConnectionFailedError(f"{self._server.url}: {error}") from error

    def _nobody_there(self) -> str:
        if self._server.is_loopback:
            return f"nothing answers at {self._server.url} ({self._server.origin}): start `trigger dev`."
        return f"cannot connect to {self._server.url} ({self._server.origin})."

    def _refusal(self, response: "httpx.Response") -> errors.ApiError:
        status, message, body = response.status_code, response.reason_phrase, None
        with contextlib.suppress(ValueError):
            body = _json.loads(response.content)
        said = body.get("error") if isinstance(body, dict) else None
        if isinstance(said, dict):
            said = said.get("message")
        kind = errors.api_error_kind(status)
        error = kind(status, str(said or message), body)
        if status == 401:
            error.add_note(self._key_help())
        return error

    def _key_help(self) -> str:
        if not self._server.key:
            return "No key was sent: set TRIGGER_SECRET_KEY."
        return "Check TRIGGER_SECRET_KEY: `trigger dev` writes the key of its server to .trigger/dev.env."


def _variables(ref: str) -> str:
    return f"/api/v1/projects/{_part(ref)}/envvars/dev"


def _part(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _rows(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = answer.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _plain(answer: "httpx.Response") -> Any:
    """Read a downloaded body as runs show it: of superjson the JSON part."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if kind == "text/plain":
        return answer.text
    value: Any = _json.loads(answer.content)
    return value.get("json") if kind == "application/super+json" and isinstance(value, dict) else value
