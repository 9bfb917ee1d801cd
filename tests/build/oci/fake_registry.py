"""A small registry for tests: it keeps what it is sent, asks who is there, and breaks where it is told to."""

import base64
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from triggerdev.build.oci.registry.reference import Reference

USER, PASSWORD = "ann", "open sesame"


@dataclass
class FakeRegistry:
    """What a registry holds and how it behaves; `requests` are (method, path without query)."""

    auth: str = ""
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    uploads: dict[str, bytearray] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str, Any]] = field(default_factory=list)
    """(method, part of a path, status with headers, or "drop"): each acts once."""
    lenient: bool = False
    can_mount: bool = True
    can_range: bool = True
    min_chunk: int | None = None
    relative: bool = True
    elsewhere: str = ""
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reference(self, name: str = "team/app", tag: str = "latest") -> Reference:
        return Reference.parse(f"localhost:{self.port}/{name}:{tag}")

    def fault(self, method: str, path: str) -> Any:
        with self.lock:
            for fault in self.faults:
                if fault[0] == method and fault[1] in path:
                    self.faults.remove(fault)
                    return fault[2]
        return None

    def count(self, method: str, part: str = "") -> int:
        return sum(each[0] == method and part in each[1] for each in self.requests)


@contextmanager
def running(registry: FakeRegistry, certificate: tuple[Path, Path] | None = None) -> Iterator[FakeRegistry]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(registry))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def handler_for(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"registry": registry})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: FakeRegistry

    def log_message(self, *_args: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def serve(self) -> None:
        split = urlsplit(self.path)
        path, self.query = split.path, parse_qs(split.query)
        self.registry.requests.append((self.command, path))
        self.registry.headers.append(dict(self.headers.items()))
        fault = self.registry.fault(self.command, path)
        if fault == "drop":
            self.drop()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault:
            self.answer(fault[0], b"", fault[1] if len(fault) > 1 else {})
        elif path == "/token":
            self.token()
        elif self.allowed(path):
            self.route(path, body)

    def drop(self) -> None:
        """Take half of the request, and end the connection without an answer."""
        half = self.rfile.read(int(self.headers.get("Content-Length") or 0) // 2)
        if self.command == "PATCH":
            self.registry.uploads[urlsplit(self.path).path.rsplit("/", 1)[1]] += half
        self.close_connection = True
        self.connection.close()

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, detail: str = "") -> None:
        error = {"code": code, "message": f"said {code}", "detail": detail}
        self.answer(status, json.dumps({"errors": [error]}).encode())

    def allowed(self, path: str) -> bool:
        sent, here = self.headers.get("Authorization"), f"localhost:{self.registry.port}"
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        action = "pull,push" if self.command in ("POST", "PUT", "PATCH") else "pull"
        wanted = {"basic": basic, "bearer": f"Bearer token-for-{action}"}.get(self.registry.auth)
        if wanted is None or sent == wanted or (action == "pull" and sent == "Bearer token-for-pull,push"):
            return True
        challenge = 'Basic realm="test"'
        if self.registry.auth == "bearer":
            challenge = f'Bearer realm="http://{here}/token",service="test",scope="repository:x:{action}"'
        self.answer(401, b"", {"WWW-Authenticate": challenge})
        return False

    def token(self) -> None:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != basic and self.command == "GET":
            self.answer(401)
            return
        scope = self.query.get("scope", ["repository:x:pull,push"])[0]
        self.answer(200, json.dumps({"token": f"token-for-{scope.split(':')[2]}"}).encode())

    def route(self, path: str, body: bytes) -> None:
        for pattern, method in (
            (r"/v2/(.+)/blobs/uploads/([0-9a-f]*)", self.upload),
            (r"/v2/(.+)/blobs/(sha256:[0-9a-f]{64})", self.blob),
            (r"/v2/(.+)/manifests/(.+)", self.manifest),
        ):
            found = re.fullmatch(pattern, path)
            if found:
                method(found[1], found[2], body)
                return
        self.refuse(404, "NAME_UNKNOWN")

    def blob(self, name: str, digest: str, _body: bytes) -> None:
        data = self.registry.blobs.get((name, digest))
        if data is None:
            self.refuse(404, "BLOB_UNKNOWN")
            return
        if self.registry.elsewhere and self.command == "GET":
            self.answer(307, b"", {"Location": f"{self.registry.elsewhere}/v2/{name}/blobs/{digest}"})
            return
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start and self.registry.can_range:
            self.answer(206, data[int(start[1]) :])
        elif self.command == "GET" and self.registry.fault("BREAK", digest):
            self.break_off(data)
        else:
            self.answer(200, data)

    def break_off(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def upload(self, name: str, session: str, body: bytes) -> None:
        if self.command == "POST":
            self.begin(name)
        elif session not in self.registry.uploads:
            self.refuse(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "GET":
            self.proceed(204, name, session)
        elif self.command == "PATCH":
            self.patch(name, session, body)
        else:
            self.end(name, session, body)

    def begin(self, name: str) -> None:
        source, digest = self.query.get("from", [""])[0], self.query.get("mount", [""])[0]
        if self.registry.can_mount and (source, digest) in self.registry.blobs:
            self.registry.blobs[name, digest] = self.registry.blobs[source, digest]
            self.answer(201)
            return
        session = hashlib.sha256(str(len(self.registry.requests)).encode()).hexdigest()
        self.registry.uploads[session] = bytearray()
        self.proceed(202, name, session)

    def proceed(self, status: int, name: str, session: str) -> None:
        size = len(self.registry.uploads[session])
        base = "" if self.registry.relative else f"http://localhost:{self.registry.port}"
        location = f"{base}/v2/{name}/blobs/uploads/{session}?state=1"
        headers = {"Location": location, "Range": f"0-{max(0, size - 1)}"}
        if self.registry.min_chunk:
            headers["OCI-Chunk-Min-Length"] = str(self.registry.min_chunk)
        self.answer(status, b"", headers)

    def patch(self, name: str, session: str, body: bytes) -> None:
        kept = self.registry.uploads[session]
        if int(self.headers["Content-Range"].split("-")[0]) != len(kept):
            self.answer(416)
            return
        kept += body
        self.proceed(202, name, session)

    def end(self, name: str, session: str, body: bytes) -> None:
        data = bytes(self.registry.uploads[session]) + body
        digest = self.query["digest"][0]
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            self.refuse(400, "DIGEST_INVALID")
            return
        del self.registry.uploads[session]
        self.registry.blobs[name, digest] = data
        self.answer(201)

    def manifest(self, name: str, wanted: str, body: bytes) -> None:
        if self.command == "PUT":
            self.put(name, wanted, body)
            return
        kind, data = self.registry.manifests.get((name, wanted), ("", b""))
        if not data:
            self.refuse(404, "MANIFEST_UNKNOWN")
            return
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.answer(200, data, {"Content-Type": kind, "Docker-Content-Digest": digest})

    def put(self, name: str, wanted: str, body: bytes) -> None:
        value = json.loads(body)
        blobs = [value["config"], *value["layers"]] if "config" in value else []
        missing = [each["digest"] for each in blobs if (name, each["digest"]) not in self.registry.blobs]
        if missing and not self.registry.lenient:
            found = [{"code": "MANIFEST_BLOB_UNKNOWN", "detail": digest} for digest in missing]
            self.answer(400, json.dumps({"errors": found}).encode())
            return
        kept = (self.headers["Content-Type"], body)
        self.registry.manifests[name, wanted] = kept
        self.registry.manifests[name, f"sha256:{hashlib.sha256(body).hexdigest()}"] = kept
        self.answer(201)
