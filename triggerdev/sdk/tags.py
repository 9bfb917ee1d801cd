"""`tags`: labels of the current run, to find it by."""

from collections.abc import Sequence

from triggerdev import protocol
from triggerdev.sdk import options, session
from triggerdev.sdk.calls import operation

__all__ = ["add", "sync"]


@operation("tags.add")
async def add(tags: str | Sequence[str]) -> None:
    """Add tags to the run: at most 10 in all, 128 characters each. Raises PayloadError, EngineError."""
    running = session.require("tags.add", "Elsewhere give `tags=` when you trigger.")
    wanted = options.check_tags(tags)
    if wanted:
        result = await running.operate(protocol.TAGS, None, {"tags": wanted})
        running.context.run.tags[:] = result["tags"]


class _Sync:
    """The same calls for code without an event loop."""

    add = staticmethod(add.blocking)


sync = _Sync()
