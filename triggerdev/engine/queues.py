"""Queues, as callers see them."""

from triggerdev.engine.commands import queues as commands
from triggerdev.engine.model import QueueDetail, QueuePage
from triggerdev.engine.shell import Shell


class Queues:
    """The queues of one environment. `limit`: how many runs may execute at the same time in all of them.

    A queue is given by its name or id; one that there is not is NoSuchRunError.
    """

    def __init__(self, shell: Shell, limit: int | None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"concurrency_limit={limit}: at least one run must be able to execute.")
        self._shell = shell
        self._limit = limit

    async def list(self, *, page: int, per_page: int) -> QueuePage:
        """List queues by name; `page` counts from 1."""
        return await self._shell.read(lambda ctx: commands.page(ctx, page, per_page, self._limit))

    async def retrieve(self, name: str) -> QueueDetail:
        """Look at a queue with its load."""
        return await self._shell.read(lambda ctx: commands.detail(ctx, name))

    async def pause(self, name: str, *, paused: bool = True) -> QueueDetail:
        """Give out no more runs of a queue, or some again; what executes goes on."""
        return await self._shell.do(lambda ctx: commands.pause(ctx, name, paused))

    async def override_limit(self, name: str, limit: int | None) -> QueueDetail:
        """Let another limit count than the declared one, in later versions too; None: the declared one again.

        Raises InvalidOptionError.
        """
        return await self._shell.do(lambda ctx: commands.override(ctx, name, limit))
