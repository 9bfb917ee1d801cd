"""A run's own copy of its metadata: what the engine showed last, and the run's changes since then.

What comes later has a greater moment: places in the record first, then what is not recorded. So a state that
the engine gave has exactly the changes that were sent before it was asked for, in a replay as well, where
branches may come to their changes in another order than before.
"""

from typing import Any

from triggerdev import _json
from triggerdev._metadata import MAX_BYTES
from triggerdev.errors import PayloadError
from triggerdev.worker.executor import metadata
from triggerdev.worker.executor.record import Record


class OwnMetadata:
    """The copy. `touches` grows when it may have changed; `unrecorded`: what was seen first, until sent."""

    __slots__ = (
        "_asking",
        "_data",
        "_moment",
        "_record",
        "_shown",
        "_since",
        "_size",
        "touches",
        "unrecorded",
    )

    def __init__(self, record: Record) -> None:
        self.touches = 0
        self.unrecorded: dict[str, Any] | None = None
        self._record = record
        self._data: dict[str, Any] | None = None
        self._moment = len(record)
        self._shown = -1
        self._asking = 0
        self._since: list[tuple[int, dict[str, Any]]] = []
        self._size: int | None = None  # as JSON, at most; None: not known

    @property
    def is_used(self) -> bool:
        """Say whether the run has looked at its metadata or changed them."""
        return self._data is not None

    def current(self, stored: dict[str, Any] | None) -> dict[str, Any]:
        """Give the copy; it begins with what the record says was seen first, else with what is `stored`."""
        if self._data is None:
            first = self._record.metadata
            if first is None:
                first = self.unrecorded = stored or {}
            self._data = metadata.copy(first)
            self.touches += 1
        return self._data

    def moment(self, place: int | None = None) -> int:
        """Give the moment of something recorded at a place, or of something that happens now."""
        if place is not None:
            return place
        self._moment += 1
        return self._moment

    def ask(self) -> int:
        """Note that the engine is asked for its state; gives the moment. `show` or `forgo` must follow."""
        self._asking += 1
        return self.moment()

    def forgo(self) -> None:
        """Note that what was asked for is not awaited any more."""
        self._asking -= 1

    def apply(self, change: dict[str, Any], moment: int) -> None:
        """Apply a change, unless what is shown has it already. Raises PayloadError if that is too large."""
        if moment <= self._shown or self._data is None:
            return
        self._data = self._changed(self._data, change)
        self.touches += 1
        if self._asking or self._record.is_ahead:  # a state may still come that does not have it
            self._since.append((moment, change))
        elif self._since:
            self._since = []

    def show(self, data: dict[str, Any], moment: int) -> None:
        """Take a state of the engine, with the changes that came after its moment."""
        if moment <= self._shown:
            return
        self._shown = moment
        self._size = None
        self._data = metadata.copy(data)
        self._since = [(at, change) for at, change in self._since if at > moment]
        for _, change in self._since:
            metadata.apply(self._data, change)
        self.touches += 1

    def _changed(self, data: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
        """Apply a change, in place where it surely fits: measuring each time would cost too much."""
        growth = metadata.growth(change)
        if not growth or (self._size is not None and self._size + growth <= MAX_BYTES):
            metadata.apply(data, change)
            self._size = None if self._size is None else self._size + growth
            return data
        after = metadata.copy(data)
        metadata.apply(after, change)
        size = len(_json.dump_bytes(after))
        if size > MAX_BYTES:
            raise PayloadError(
                f"metadata {change.get('key', 'replace')!r:.100}: with this change all metadata of the run"
                f" would be {size:,} bytes as JSON; {MAX_BYTES:,} (256 KB) are allowed. Store the data"
                " elsewhere, such as in the task's output, and keep a reference here."
            )
        self._size = size
        return after

    def snapshot(self) -> dict[str, Any]:
        """Copy the state as the run sees it."""
        return metadata.copy(self._data or {})
