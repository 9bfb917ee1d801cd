"""Schedules, as callers see them: of tasks' code, and those that calls have made."""

from triggerdev.engine import answers
from triggerdev.engine.commands import schedule_calls as commands
from triggerdev.engine.context import Context
from triggerdev.engine.model import Schedule, ScheduleOptions
from triggerdev.engine.shell import Shell

SchedulePage = tuple[list[Schedule], int]  # and how many there are in all


class Schedules:
    """The schedules of one environment."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def list(self, *, page: int, per_page: int) -> SchedulePage:
        """List a page of them and tell how many there are; `page` counts from 1."""
        return await self._shell.read(lambda ctx: answers.schedules(ctx, page, per_page))

    async def retrieve(self, schedule_id: str) -> Schedule:
        """Look at one."""
        return await self._shell.read(lambda ctx: commands.shown(ctx, commands.find(ctx, schedule_id)))

    async def create(self, options: ScheduleOptions) -> Schedule:
        """Make one, or change the one that has the deduplication key. Raises InvalidOptionError."""
        return await self._shell.do(lambda ctx: commands.create(ctx, options))

    async def update(self, schedule_id: str, options: ScheduleOptions) -> Schedule:
        """Change one that a call has made. Raises InvalidOptionError."""
        return await self._shell.do(lambda ctx: commands.update(ctx, schedule_id, options))

    async def set_active(self, schedule_id: str, active: bool) -> Schedule:
        """Let one rest, or run again."""

        def change(ctx: Context) -> Schedule:
            return commands.shown(ctx, commands.set_active(ctx, schedule_id, active))

        return await self._shell.do(change)

    async def delete(self, schedule_id: str) -> None:
        """Delete one that a call has made."""
        await self._shell.do(lambda ctx: commands.delete(ctx, schedule_id))
