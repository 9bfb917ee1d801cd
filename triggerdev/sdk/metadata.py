"""`metadata`: a small JSON object on the run that others can watch; changes are buffered, then sent."""

from collections.abc import Mapping
from typing import Any

from triggerdev import _json
from triggerdev.errors import PayloadError
from triggerdev.sdk import serialise, session
from triggerdev.sdk.calls import operation
from triggerdev.sdk.session import MetadataScope

__all__ = ["Metadata", "MetadataWriter", "metadata"]


class MetadataWriter:
    """Changes to the metadata of the run, its parent or its root; each returns the object, to chain.

    Keys may be paths such as "$.items[0].done". Outside of runs a change does nothing.
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
        return self._change({"type": "increment", "key": key, "value": value})

    def decrement(self, key: str, value: float = 1) -> "MetadataWriter":
        """Subtract from the number at a key."""
        return self.increment(key, -value)

    def replace(self, value: Mapping[str, Any]) -> "MetadataWriter":
        """Replace the whole object."""
        return self._change({"type": "update", "value": _plain("metadata", dict(value))})

    update = replace

    def _change(self, change: dict[str, Any]) -> "MetadataWriter":
        key = change.get("key", "x")
        if not isinstance(key, str) or not key or key == "$.":
            raise PayloadError(f"metadata key {key!r} is not usable: use text such as 'progress'.")
        running = session.current()
        if running is not None:
            running.change_metadata(self._scope, change)
        return self


def _plain(key: str, value: Any) -> Any:
    """Give what the value is after a round trip through JSON: the local copy shows what is stored."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    try:
        return _json.loads(_json.dumps(value, serialise.to_jsonable))
    except (TypeError, ValueError, RecursionError) as error:
        raise PayloadError(serialise.explain(value, error, f"metadata {key!r}")) from None


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
        """Give the whole object as this run sees it; empty outside of runs."""
        running = session.current()
        return running.metadata() if running is not None else {}

    def get(self, key: str, default: Any = None) -> Any:
        """Give the value at a key."""
        return self.current().get(key, default)


metadata = Metadata()
