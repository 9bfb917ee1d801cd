"""Commands that are imported when they are invoked, so that `trigger --help` stays fast.

A table holds each command's place and its one line of help; the help page is written from the table alone.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup


@dataclass(frozen=True)
class Command:
    """A command: `target` is "module:attribute", a function or a `typer.Typer` with commands of its own."""

    target: str
    help: str
    hidden: bool = False


@dataclass(frozen=True)
class Group:
    """Commands under a common word, such as `trigger runs ...`; `default` is what the word alone does."""

    help: str
    commands: "Mapping[str, Command]"
    hidden: bool = False
    default: str | None = None


Table = Mapping[str, Command | Group]


class LazyGroup(TyperGroup):
    """A group whose commands come from `table`."""

    table: Table = {}
    default: str | None = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asks_help = bool(args) and args[0] in ("--help", "-h")
        if self.default is not None and not asks_help and (not args or args[0].startswith("-")):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name, entry in self.table.items() if not entry.hidden]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = self.table.get(cmd_name)
        return None if entry is None else _load(cmd_name, entry)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.table[name].help) for name in self.list_commands(ctx)])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.table and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, self.list_commands(ctx), 2)
            hint = f" Did you mean {' or '.join(repr(each) for each in near)}?" if near else ""
            ctx.fail(f"There is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def lazy_app(table: Table, *, default: str | None = None, **options: Any) -> typer.Typer:
    """Make a typer application whose commands are those of the table; without one, it is `default`."""
    group = type("TableGroup", (LazyGroup,), {"table": table, "default": default})
    # rich would cost more than everything else that `--help` does, and would read markup in texts.
    return typer.Typer(cls=group, rich_markup_mode=None, no_args_is_help=True, **options)


def _load(name: str, entry: Command | Group) -> Any:
    """Make the click command of an entry; it has the table's help where it brings none."""
    holder = typer.Typer(add_completion=False, rich_markup_mode=None, callback=_nothing)
    if isinstance(entry, Group):
        inner = lazy_app(entry.commands, default=entry.default, add_completion=False, callback=_nothing)
        holder.add_typer(inner, name=name, help=entry.help)
    else:
        module, _, attribute = entry.target.partition(":")
        target = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            holder.add_typer(target, name=name, help=entry.help)
        else:
            holder.command(name)(target)
    group: Any = typer.main.get_command(holder)
    command = group.commands[name]
    command.short_help = entry.help
    return command


def _nothing() -> None:
    return None
