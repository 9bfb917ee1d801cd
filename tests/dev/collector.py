"""A collector of OpenTelemetry for tests: OTLP over HTTP in protobuf, and a page that can be fetched."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE = 30.0


@dataclass
class Span:
    """A span as the collector got it."""

    name: str
    id: str
    trace: str
    parent: str
    attributes: dict[str, Any]
    error: str | None
    resource: dict[str, Any]


@dataclass
class Collector:
    """What has come so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    lines: list[tuple[str, str, str]] = field(default_factory=list)  # text, severity, span
    headers: list[dict[str, str]] = field(default_factory=list)  # of exports
    fetched: list[dict[str, str]] = field(default_factory=list)  # headers of other requests
    news: threading.Condition = field(default_factory=threading.Condition)

    def until(self, check: Callable[["Collector"], bool]) -> None:
        """Wait until everything that is wanted has come; for another thread than an event loop's."""
        end = time.monotonic() + PATIENCE
        with self.news:
            while not check(self):
                left = end - time.monotonic()
                assert left > 0, f"waited in vain: {[span.name for span in self.spans]}, {self.lines}"
                self.news.wait(left)

    def find(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def names(self) -> set[str]:
        return {span.name for span in self.spans}

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        with self.news:
            if path == "/v1/traces":
                self.headers.append(headers)
                self.spans += _spans(ExportTraceServiceRequest.FromString(body))
            elif path == "/v1/logs":
                self.headers.append(headers)
                self.lines += _lines(ExportLogsServiceRequest.FromString(body))
            else:
                self.fetched.append(headers)
            self.news.notify_all()


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        about = _values(resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.span_id.hex(),
                    span.trace_id.hex(),
                    span.parent_span_id.hex(),
                    _values(span.attributes),
                    span.status.message if span.status.code == 2 else None,
                    about,
                )


def _lines(request: ExportLogsServiceRequest) -> Iterator[tuple[str, str, str]]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for line in scope.log_records:
                yield line.body.string_value, line.severity_text, line.span_id.hex()


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector for the length of a block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length") or 0))
            is_packed = headers.get("content-encoding") == "gzip"
            collector.take(self.path, headers, gzip.decompress(body) if is_packed else body)
            self._answer()

        def do_GET(self) -> None:
            collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, b"")
            self._answer()

        def _answer(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
