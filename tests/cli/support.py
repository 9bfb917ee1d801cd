"""What the command line's tests share: the result of a command, and a server that is told its answers."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "tr_dev_0123456789"


@dataclass
class Result:
    """How one command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        (line,) = self.out.splitlines()
        return json.loads(line)


RunCli = Callable[..., Result]


@dataclass
class Request:
    """A request as the stub server saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


Answer = tuple[int, Any]


@dataclass
class StubServer:
    """An HTTP server whose answers are scripted: each route has a list, and its last answer repeats."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answers: dict[str, list[Answer]] = field(default_factory=dict)

    def answer(self, route: str, *bodies: Any, status: int = 200) -> None:
        """Script a route such as "GET /api/v1/runs"."""
        self.answers.setdefault(route, []).extend((status, body) for body in bodies)

    def respond(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return 401, {"error": "Invalid or Missing API key"}
        scripted = self.answers.get(f"{request.method} {request.path}")
        if not scripted:
            return 404, {"error": "Not found"}
        return scripted.pop(0) if len(scripted) > 1 else scripted[0]


class Serving:
    """Runs a stub server in a thread."""

    def __init__(self) -> None:
        self.stub = stub = StubServer()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def do_PUT(self) -> None:
                self._answer()

            def do_DELETE(self) -> None:
                self._answer()

            def _answer(self) -> None:
                parts = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, parts.path, query, headers, json.loads(raw) if raw else None)
                status, body = stub.respond(request)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        stub.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
