"""What the engine asks of the place where large bodies lie."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Body:
    """A payload or an output: its type, and its bytes."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of a listing; `modified_ms` is the time of its last writing, by the store's own clock."""

    key: str
    modified_ms: int


class ObjectStore(Protocol):
    """Objects by key, of the form "folder/name". One that was put is there, also after a crash.

    Raises StorageFullError, StorageUnavailableError where trying again can help, else
    EnvironmentProblemError.
    """

    async def put(self, key: str, body: Body) -> None: ...
    async def get(self, key: str) -> Body | None: ...
    async def delete(self, keys: Sequence[str]) -> None: ...
    def listed(self, folder: str) -> AsyncIterator[Listed]: ...
    def presign(self, method: str, key: str, seconds: int) -> str | None:
        """Make a URL that reads (GET) or writes (PUT) an object; None: the server serves it itself."""
