"""Sending a blob: mounted from elsewhere, in one request, or in chunks that go on where they broke off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build.oci.blobs import Blobs, needed
from triggerdev.build.oci.model import Descriptor
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.transport import TRIES, Call

if TYPE_CHECKING:
    pass

CHUNKED_FROM = 32 << 20
"""Bytes from which a blob is sent in chunks, since proxies limit requests and connections break."""
CHUNK = 16 << 20
"""Bytes of a chunk; one is in memory at a time for each blob."""
_OCTETS = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-(\d+)")


def mount(repository: Repository, blob: Descriptor, source: str) -> bool:
    """Take a blob over from another repository of the registry; tells whether it did.

    An upload that the registry starts instead is left alone; it forgets it by itself.
    """
    query = f"?mount={blob.digest}&from={source}"
    scope = f"{repository.push} repository:{source}:pull"
    return repository.call("POST", f"blobs/uploads/{query}", scope=scope).status_code == 201


def upload(repository: Repository, blob: Descriptor, blobs: Blobs) -> None:
    """Send a blob. Raises RegistryError if the registry does not take it."""
    session = repository.call("POST", "blobs/uploads/", scope=repository.push)
    if session.status_code == 201:
        return
    location = session.headers.get("location")
    if session.status_code != 202 or not location:
        raise repository.refused(session, f"take a blob for {repository.name}")
    if blob.size >= CHUNKED_FROM:
        smallest = session.headers.get("oci-chunk-min-length", "")
        size = max(CHUNK, int(smallest) if smallest.isdigit() else 0)
        location = _Chunks(repository, location).send(_cut(needed(blobs, blob), size))
        _finish(repository, blob, location, None)
    else:
        _finish(repository, blob, location, blobs)


def _finish(repository: Repository, blob: Descriptor, location: str, blobs: Blobs | None) -> None:
    """End an upload, with the whole blob as body or with none; a session that is gone is begun anew."""
    url = f"{location}{'&' if '?' in location else '?'}digest={blob.digest}"
    length = blob.size if blobs else 0
    headers = {**_OCTETS, "Content-Length": str(length)}
    body = (lambda: needed(blobs, blob)) if blobs else None
    call = Call("PUT", url, repository.push, headers, body)
    response = repository.transport.send(call)
    if response.status_code == 404 and repository.has_blob(blob):
        return  # an earlier try had arrived, and its session ended with it
    if response.status_code not in (201, 204):
        raise repository.refused(response, f"take the blob {blob.digest} ({blob.size} bytes)")


class _Chunks:
    """An upload in chunks; after a broken connection the registry says how far it came."""

    def __init__(self, repository: Repository, location: str) -> None:
        self._repository = repository
        self._location = location
        self._start = 0

    def send(self, chunks: Iterator[bytes]) -> str:
        """Send all chunks and give the address that ends the upload."""
        for chunk in chunks:
            self._one(chunk)
        return self._location

    def _one(self, chunk: bytes) -> None:
        end = self._start + len(chunk)
        for number in range(1, TRIES + 1):
            try:
                self._patch(chunk[len(chunk) - (end - self._start) :])
            except errors.RegistryError as error:
                if number == TRIES or error.status not in (None, 416, 500, 502, 503, 504):
                    raise
                self._ask()
            if self._start == end:
                return
        raise errors.RegistryError(f"{self._repository.transport.registry} takes no more of a blob")

    def _patch(self, data: bytes) -> None:
        headers = {
            **_OCTETS,
            "Content-Length": str(len(data)),
            "Content-Range": f"{self._start}-{self._start + len(data) - 1}",
        }
        call = Call("PATCH", self._location, self._repository.push, headers, data, again=False)
        response = self._repository.transport.send(call)
        if response.status_code != 202:
            raise self._repository.refused(response, "take a part of a blob")
        self._start += len(data)
        self._location = response.headers.get("location", self._location)

    def _ask(self) -> None:
        """Ask how far the upload came."""
        response = self._repository.transport.send(Call("GET", self._location, self._repository.push))
        if response.status_code != 204:
            raise self._repository.refused(response, "go on with a blob")
        found = _RANGE.fullmatch(response.headers.get("range", "0-0"))
        self._start = int(found[1]) + 1 if found and found[1] != "0" else 0
        self._location = response.headers.get("location", self._location)


def _cut(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Cut chunks anew, into such of this size and a rest."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)
