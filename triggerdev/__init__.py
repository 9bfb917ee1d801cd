"""Durable background tasks for Python.

Define tasks with `task`, run them with `trigger dev`, start runs with `tasks.trigger` or `my_task.trigger`.
Importing this package loads nothing heavy, and nothing of the SDK until a name of it is used: the command and
the server have no use for it.
"""

from typing import TYPE_CHECKING

from triggerdev._version import __version__ as __version__

if TYPE_CHECKING:
    from triggerdev._api import *  # noqa: F403 - its __all__ says what these are
    from triggerdev._api import __all__ as __all__
else:

    def __getattr__(name: str) -> object:
        from importlib.util import find_spec

        if (name.startswith("_") and name != "__all__") or find_spec(f"{__name__}.{name}"):
            raise AttributeError(name)  # a module of this package; the import system goes on to load it
        from triggerdev import _api

        if name == "__all__":
            return _api.__all__
        if name not in _api.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals().update({each: getattr(_api, each) for each in _api.__all__})
        return globals()[name]

    def __dir__() -> list[str]:
        from triggerdev import _api

        return sorted({*globals(), *_api.__all__})
