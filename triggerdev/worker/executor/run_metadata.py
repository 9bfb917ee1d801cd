"""Metadata of a run as its code uses them: changes at once here, sent together a little later."""

from typing import TYPE_CHECKING, Any

from triggerdev import protocol
from triggerdev.protocol import Message
from triggerdev.sdk.session import MetadataScope
from triggerdev.worker.executor import metadata
from triggerdev.worker.executor.record import MAIN

if TYPE_CHECKING:
    from triggerdev.worker.executor.session import AttemptSession


class RunMetadata:
    """What metadata calls do in one attempt."""

    def __init__(self, session: "AttemptSession") -> None:
        self._session = session
        self._changes = metadata.Changes()

    def current(self) -> dict[str, Any]:
        """Give the run's own copy."""
        return self._session.own.current(self._session.start.get("metadata"))

    def change(self, scope: MetadataScope, change: dict[str, Any]) -> None:
        """Apply a change to the own copy if it is one of this run, and buffer it if it is not recorded."""
        session = self._session
        with session.sending:
            node = session.node()
            session.refuse_if_over()
            node.changes += 1
            place = session.record.place_of_change(node)
            is_root = not session.start.get("parent_id")  # then parent and root are the run itself
            if scope == "run" or is_root:
                self.current()
                session.own.apply(change, session.own.moment(place))
            if place is None:
                self._changes.add(node.path, node.changes, scope, change)
                session.changes_waiting()

    async def flush(self) -> None:
        """Send what has gathered and wait until it is stored."""
        session = self._session
        session.operating_node()
        session.refuse_if_over()
        node = session.node()
        flushed = session.record.take(f"{node.path}:m{node.changes}")
        if flushed is not None:
            await session.operations.again(flushed)
        for op_id, args in self._take():
            await session.perform(op_id, protocol.METADATA, None, args)

    async def refresh(self) -> None:
        """Show what the engine has, with what children have written."""
        session = self._session
        await session.flush_metadata()
        node = session.node()
        now = session.own.ask()
        try:
            result = await session.operate(protocol.METADATA, None, {})
        finally:
            session.own.forgo()
        self._show(result, node.last_op(), now)

    async def refresh_after(self, wait: str) -> None:
        """Show what children have written during a wait, which is named by its id."""
        session = self._session
        op_id = f"{wait}:r"
        recorded = session.record.take(op_id)
        if recorded is None:
            self.send()
        now = session.own.ask()
        try:
            if recorded is None:
                result = await session.perform(op_id, protocol.METADATA, None, {})
            else:
                result = await session.operations.again(recorded)
        finally:
            session.own.forgo()
        self._show(result, op_id, now)

    def _show(self, result: dict[str, Any], op_id: str, now: int) -> None:
        """Take the engine's state, which it gave where the operation was recorded, or else now."""
        place = self._session.record.place(op_id)
        self._session.own.show(result["metadata"], now if place is None else place)

    def take_latest(self, message: Message) -> None:
        """Take the metadata that comes with a result; a copy that is in use is refreshed by an operation."""
        session = self._session
        if not session.own.is_used and "metadata" in message:
            session.start["metadata"] = message["metadata"]

    def send(self) -> None:
        """Send what has gathered; later messages of the run are handled after it."""
        session = self._session
        with session.sending:
            if not self._changes and session.own.unrecorded is None:
                return
            for op_id, args in self._take():
                session.post(op_id, protocol.METADATA, args)

    def send_last(self) -> None:
        """Send the changes that have gathered before the end."""
        if self._changes:
            self.send()

    def _take(self) -> list[tuple[str, dict[str, Any]]]:
        """Give the operations that send what has gathered, the first with the metadata seen first."""
        own = self._session.own
        with self._session.sending:  # not before a timer's thread has sent what it has taken
            taken = self._changes.take()
            first, own.unrecorded = own.unrecorded, None
            if first is not None:
                taken = taken or [(f"{MAIN}:m0", {})]
                taken[0][1]["base"] = first
            return taken
