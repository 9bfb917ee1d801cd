"""Tokens that runs wait for, as callers see them."""

from triggerdev.engine import answers
from triggerdev.engine.bodies import Bodies
from triggerdev.engine.commands import requests
from triggerdev.engine.commands import tokens as commands
from triggerdev.engine.context import Context
from triggerdev.engine.model import Page, Token, TokenCreated, TokenFilter
from triggerdev.engine.shell import Shell

TokenTags = list[str] | None


class Tokens:
    """The tokens of one environment. `bodies` keeps large outputs beside the database."""

    def __init__(self, shell: Shell, bodies: Bodies | None) -> None:
        self._shell = shell
        self._bodies = bodies

    async def create(
        self,
        *,
        timeout: str | int | None = None,
        idempotency_key: str | None = None,
        idempotency_ttl_ms: int | None = None,
        tags: TokenTags = None,
        request: str | None = None,
    ) -> TokenCreated:
        """Make a token. A repeated `request`, within an hour, answers with the token of the first."""

        def create(ctx: Context) -> TokenCreated:
            return requests.once(
                ctx,
                request,
                lambda: commands.create(ctx, timeout, idempotency_key, idempotency_ttl_ms, tags),
                lambda token_id: TokenCreated(token_id, is_cached=False),
            )

        return await self._shell.do(create)

    async def retrieve(self, token_id: str) -> Token:
        """Look at one, given by id or by the name that a run waits for."""
        return await self._shell.read(lambda ctx: commands.find(ctx, token_id))

    async def list(
        self, where: TokenFilter, *, size: int = 25, after: str | None = None, before: str | None = None
    ) -> Page[Token]:
        """List those that a filter lets through, newest first."""
        found = await self._shell.read(lambda ctx: ctx.tx.list_tokens(where, size + 1, after, before))
        return answers.page(found, size, lambda token: token.id, after, before)

    async def complete(self, id_or_name: str, output: str | None, output_type: str) -> None:
        """Complete one; the runs that wait for it go on."""
        if self._bodies is not None:
            output, output_type = await self._bodies.put_away(output, output_type)
        await self._shell.do_and_pump(lambda ctx: commands.complete(ctx, id_or_name, output, output_type))
