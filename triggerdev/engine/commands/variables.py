"""Environment variables of tasks: names are checked here, values are sealed by the caller."""

import re
from collections.abc import Sequence

from triggerdev import errors
from triggerdev.engine.context import Context
from triggerdev.engine.model import Variable

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}")
MAX_CHARACTERS = 65_536
MOST = 1000
# What the server gives to tasks itself, or must not be told by its own database.
RESERVED = frozenset(
    {
        "TRIGGER_API_URL",
        "TRIGGER_SECRET_KEY",
        "TRIGGER_ACCESS_TOKEN",
        "TRIGGER_DATABASE_URL",
        "TRIGGER_OBJECT_STORE_URL",
        "TRIGGER_ENCRYPTION_KEY",
    }
)


def put(ctx: Context, variables: Sequence[Variable], *, override: bool) -> int:
    """Store variables, those that exist only if they are to be overridden; returns how many."""
    known = {variable.name for variable in ctx.tx.variables()}
    wanted = [variable for variable in variables if override or variable.name not in known]
    if len(known | {variable.name for variable in wanted}) > MOST:
        raise errors.InvalidOptionError(f"variables: an environment can have {MOST} at most.")
    for variable in wanted:
        variable.updated_at = ctx.now
        ctx.tx.put_variable(variable)
    return len(wanted)


def update(ctx: Context, variable: Variable) -> None:
    """Replace the value of a variable that exists; whether it is secret stays. Raises NoSuchVariableError."""
    variable.is_secret = find(ctx, variable.name).is_secret
    put(ctx, [variable], override=True)


def delete(ctx: Context, name: str) -> None:
    """Delete a variable. Raises NoSuchVariableError."""
    ctx.tx.delete_variable(find(ctx, name).name)


def find(ctx: Context, name: str) -> Variable:
    """Load a variable. Raises NoSuchVariableError."""
    for variable in ctx.tx.variables():
        if variable.name == name:
            return variable
    raise errors.NoSuchVariableError(f"Environment variable {name!r} not found.")


def check(name: object, value: object) -> None:
    """Refuse what no process can have. Raises InvalidOptionError that names it, never its value."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise errors.InvalidOptionError(
            f"name: {name!r:.80} is no variable's name; use letters, digits and _, and no digit first."
        )
    if name in RESERVED:
        raise errors.InvalidOptionError(f"name: {name} is set by the server itself.")
    if not isinstance(value, str):
        raise errors.InvalidOptionError(f"value: {name} must be text.")
    if len(value) > MAX_CHARACTERS:
        raise errors.InvalidOptionError(
            f"value: {name} has {len(value):,} characters; at most {MAX_CHARACTERS:,} can be stored."
        )
    if "\0" in value or (not value.isascii() and _has_surrogate(value)):
        raise errors.InvalidOptionError(f"value: {name} has characters that no variable can have.")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
