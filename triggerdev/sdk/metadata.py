"""`metadata`: a small JSON object on the run that others can watch; changes are buffered, then sent."""

from collections.abc import Mapping
from typing import Any

from triggerdev import _json, _metadata
from triggerdev.errors import PayloadError
from triggerdev.sdk import serialise, session
from triggerdev.sdk.calls import operation
from triggerdev.sdk.session import MetadataScope

__all__ = ["Metadata", "MetadataWriter", "metadata"]


class MetadataWriter:
    """Changes to the metadata of the run, its parent or its root; each returns the object, to chain.

    Keys may be paths such as "$.items[0].done". Outside of runs a change does nothing. All raise PayloadError
    for a key or a value that cannot be stored, and if the run's metadata would be over 256 KB as JSON.
    """

    def __init__(self, scope: MetadataScope) -> None:
        self._scope: MetadataScope = scope

    def set(self, key: str, value: Any) -> "MetadataWriter":
        """Set a value."""
        return self._change({"type": "set", "key": key, "value": _plain(key, value)})

    def delete(self, key: str) -> "MetadataWriter":
        """Delete a key."""
        return self._change({"type": "delete", "key": key})

    def append(self, key: str, value: Any) -> "MetadataWriter":
        """Append to the list at a key; a missing one is made."""
        return self._change({"type": "append", "key": key, "value": _plain(key, value)})

    def remove(self, key: str, value: Any) -> "MetadataWriter":
        """Remove a value from the list at a key."""
        return self._change({"type": "remove", "key": key, "value": _plain(key, value)})

    def increment(self, key: str, value: float = 1) -> "MetadataWriter":
        """Add to the number at a key; a missing one counts as 0."""
        if not _metadata.is_number(value):
            raise PayloadError(f"metadata {key!r:.100}: {value!r:.60} is no number to add.")
        return self._change({"type": "increment", "key": key, "value": value})

    def decrement(self, key: str, value: float = 1) -> "MetadataWriter":
        """Subtract from the number at a key."""
        if not _metadata.is_number(value):
            raise PayloadError(f"metadata {key!r:.100}: {value!r:.60} is no number to subtract.")
        return self.increment(key, -value)

    def replace(self, value: Mapping[str, Any]) -> "MetadataWriter":
        """Replace the whole object."""
        if not isinstance(value, Mapping):
            raise PayloadError(f"metadata.replace({value!r:.60}): give a mapping, such as a dict.")
        return self._change({"type": "update", "value": _plain("replace", dict(value))})

    update = replace

    def _change(self, change: dict[str, Any]) -> "MetadataWriter":
        _path(change.get("key", "x"))
        running = session.current()
        if running is not None:
            running.change_metadata(self._scope, change)
        return self


def _path(key: Any) -> _metadata.Path:
    try:
        return _metadata.read_path(key)
    except ValueError as error:
        raise PayloadError(f"metadata key: {error}") from None


def _plain(key: str, value: Any) -> Any:
    """Give what the value is after a round trip through JSON: the local copy shows what is stored."""
    if value is None or isinstance(value, (bool, int)):
        return value
    try:
        text = _json.dump_bytes(value, serialise.to_jsonable)
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(serialise.explain(value, error, f"metadata {key!r:.100}")) from None
    if len(text) > _metadata.MAX_BYTES:
        raise PayloadError(
            f"metadata {key!r:.100}: the value is {len(text):,} bytes as JSON; {_metadata.MAX_BYTES:,}"
            " (256 KB) are allowed for all that a run has. Store it elsewhere and keep a reference here."
        )
    return _json.loads(text)


@operation("metadata.flush")
async def _flush() -> None:
    """Send buffered changes now and wait until they are stored."""
    running = session.current()
    if running is not None:
        await running.flush_metadata()


@operation("metadata.refresh")
async def _refresh() -> None:
    """Fetch the run's metadata anew, with what children have written to it."""
    running = session.current()
    if running is not None:
        await running.refresh_metadata()


class _Sync:
    """The calls that wait, for code without an event loop."""

    flush = staticmethod(_flush.blocking)
    refresh = staticmethod(_refresh.blocking)


class Metadata(MetadataWriter):
    """The metadata of the current run; `parent` and `root` write to those runs."""

    def __init__(self) -> None:
        super().__init__("run")
        self.parent = MetadataWriter("parent")
        self.root = MetadataWriter("root")
        self.sync = _Sync()
        self.flush = _flush
        self.refresh = _refresh

    def current(self) -> dict[str, Any]:
        """Give a copy of the whole object as this run sees it; empty outside of runs."""
        running = session.current()
        shown: dict[str, Any] = _metadata.copy(running.metadata()) if running is not None else {}
        return shown

    def get(self, key: str, default: Any = None) -> Any:
        """Give a copy of the value at a key, which may be a path, or the default if there is none."""
        path = _path(key)
        running = session.current()
        owner = _metadata.find(running.metadata(), path[:-1]) if running is not None else None
        last: Any = path[-1]
        is_there = last in owner if isinstance(owner, dict) else isinstance(owner, list) and last < len(owner)
        return _metadata.copy(owner[last]) if is_there and owner is not None else default


metadata = Metadata()
