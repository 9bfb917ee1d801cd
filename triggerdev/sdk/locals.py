"""`locals`: values that the code of one attempt shares, such as a connection that a middleware has opened."""

from typing import Any, Generic, TypeVar, overload

from triggerdev.errors import ContextError, PayloadError
from triggerdev.sdk import session

__all__ = ["LocalKey", "create", "get", "get_or_raise", "get_or_throw", "set"]

T = TypeVar("T")
D = TypeVar("D")
_MISSING: Any = object()


class LocalKey(Generic[T]):
    """The name of a value; keys of one name are the same key."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<LocalKey {self.name!r}>"


def create(name: str) -> LocalKey[Any]:
    """Make a key, usually at the top of a module: `DB: LocalKey[Database] = locals.create("db")`."""
    if not isinstance(name, str) or not name:
        raise PayloadError(f"locals.create(name={name!r:.60}): give a text, such as 'db'.")
    return LocalKey(name)


@overload
def get(key: LocalKey[T]) -> T | None: ...
@overload
def get(key: LocalKey[T], default: D) -> T | D: ...
def get(key: LocalKey[Any], default: Any = None) -> Any:
    """Give what this attempt has set, the default if nothing, or outside of runs."""
    name, running = _name(key), session.current()
    return default if running is None else running.locals.get(name, default)


def get_or_raise(key: LocalKey[T]) -> T:
    """Give what this attempt has set. Raises ContextError if nothing."""
    value: T = get(key, _MISSING)
    if value is _MISSING:
        raise ContextError(
            f"locals: nothing is set for {_name(key)!r} in this attempt. Set it before, in a middleware or in"
            " the task; what another run has set is not seen here."
        )
    return value


get_or_throw = get_or_raise


def set(key: LocalKey[T], value: T) -> T:
    """Keep a value for this attempt and give it back. Raises ContextError outside of runs."""
    name = _name(key)
    session.require("locals.set", "Outside keep it in a variable of your own.").locals[name] = value
    return value


def _name(key: LocalKey[Any]) -> str:
    if not isinstance(key, LocalKey):
        raise PayloadError(f"key={key!r:.60} is no key of locals: use what locals.create(name) gives.")
    return key.name
