"""Environment variables of tasks, as callers see them: plain here, sealed in the store."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from triggerdev import errors
from triggerdev.engine.commands import variables as commands
from triggerdev.engine.model import Variable
from triggerdev.engine.shell import Shell
from triggerdev.engine.vault import Vault


class Variables:
    """The variables of one environment."""

    def __init__(self, shell: Shell, vault: Vault | None) -> None:
        self._shell = shell
        self._vault = vault
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function after each change that is made here."""
        self._listeners.append(listener)

    async def all(self) -> list[Variable]:
        """List all, by name. Raises EnvironmentProblemError if they were sealed with another key."""
        found: list[Variable] = await self._shell.read(lambda ctx: ctx.tx.variables())
        return [self._opened(variable) for variable in found]

    async def get(self, name: str) -> Variable:
        """Look at one. Raises NoSuchVariableError, EnvironmentProblemError."""
        return self._opened(await self._shell.read(lambda ctx: commands.find(ctx, name)))

    async def put(self, values: Mapping[str, str], *, is_secret: bool = False, override: bool = True) -> int:
        """Store variables, those that exist only with `override`; returns how many.

        Raises InvalidOptionError; then none is stored.
        """
        sealed = [self._sealed(name, value, is_secret) for name, value in values.items()]
        count: int = await self._shell.do(lambda ctx: commands.put(ctx, sealed, override=override))
        self._changed()
        return count

    async def update(self, name: str, value: str) -> None:
        """Replace a value; whether it is secret stays. Raises NoSuchVariableError, InvalidOptionError."""
        sealed = self._sealed(name, value, False)
        await self._shell.do(lambda ctx: commands.update(ctx, sealed))
        self._changed()

    async def delete(self, name: str) -> None:
        """Delete one. Raises NoSuchVariableError."""
        await self._shell.do(lambda ctx: commands.delete(ctx, name))
        self._changed()

    def _sealed(self, name: str, value: str, is_secret: bool) -> Variable:
        commands.check(name, value)
        return Variable(name, self._key().seal(name, value), is_secret)

    def _opened(self, variable: Variable) -> Variable:
        return replace(variable, value=self._key().open(variable.name, variable.value))

    def _key(self) -> Vault:
        if self._vault is None:
            raise errors.EnvironmentProblemError("This server has no key to keep environment variables with.")
        return self._vault

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()
