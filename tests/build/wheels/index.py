"""Packages made for tests, and an index that serves them, to those with a password if it wants one."""

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER = "ci"


def wheel(
    name: str,
    version: str,
    requires: tuple[str, ...] = (),
    scripts: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    files: Mapping[str, str] | None = None,
) -> tuple[str, bytes]:
    """Make a wheel with one module; gives its file name and bytes."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    points = "[console_scripts]\n" + "".join(f"{key} = {value}\n" for key, value in (scripts or {}).items())
    contents = {
        f"{name}.py": f'VERSION = "{version}"\n\n\ndef main() -> None:\n    print(VERSION)\n',
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        **({f"{info}/entry_points.txt": points} if scripts else {}),
        **(files or {}),
    }
    record = "".join(f"{path},{_hashed(text)},{len(text)}\n" for path, text in contents.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in {**contents, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return f"{name}-{version}-{tag}.whl", buffer.getvalue()


def sdist(name: str, version: str) -> tuple[str, bytes]:
    """Make a source distribution that fails loudly if anybody builds it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in {
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            "setup.py": "raise SystemExit('a package ran its code on this machine')\n",
        }.items():
            info = tarfile.TarInfo(f"{name}-{version}/{path}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return f"{name}-{version}.tar.gz", buffer.getvalue()


def _hashed(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass
class Index:
    """A package index; `packages` maps file names to bytes, `asked` holds the paths that were asked for."""

    packages: dict[str, bytes] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    password: str = ""
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def add(self, *files: tuple[str, bytes]) -> None:
        self.packages.update(files)
        self.hashes |= {name: f"sha256={hashlib.sha256(data).hexdigest()}" for name, data in files}

    @property
    def url(self) -> str:
        """The address, with the password in it where one is wanted."""
        login = f"{USER}:{self.password}@" if self.password else ""
        return f"http://{login}localhost:{self.port}/simple"

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        self.asked.append(path)
        login = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        if self.password and authorization != f"Basic {login}":
            return 401, b""
        parts = path.strip("/").split("/")
        if parts[0] == "files" and parts[1] in self.packages:
            return 200, self.packages[parts[1]]
        found = [name for name in self.packages if name.split("-")[0].replace("_", "-") == parts[-1]]
        links = [f'<a href="/files/{name}#{self.hashes[name]}">{name}</a>' for name in found]
        return (200, "\n".join(links).encode()) if links else (404, b"")


@contextmanager
def serving(index: Index) -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.wfile.write(self.head())

        def do_HEAD(self) -> None:
            self.head()

        def head(self) -> bytes:
            status, body = index.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            kind = "text/html" if self.path.startswith("/simple") else "application/zip"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            return body

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    index.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
