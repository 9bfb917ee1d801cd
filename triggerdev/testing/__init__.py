"""For tests of tasks: an engine in memory, with a clock on which a wait of thirty days takes no time.

Importing this package loads nothing; each name is loaded when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggerdev.testing import sync
    from triggerdev.testing.clock import VirtualClock
    from triggerdev.testing.reports import RunReport
    from triggerdev.testing.single import TaskReport, run_task
    from triggerdev.testing.sync import SyncEngine
    from triggerdev.testing.virtual import VirtualEngine, engine

_HOMES = {
    "RunReport": "reports",
    "SyncEngine": "sync",
    "TaskReport": "single",
    "VirtualClock": "clock",
    "VirtualEngine": "virtual",
    "engine": "virtual",
    "run_task": "single",
}

__all__ = [
    "RunReport",
    "SyncEngine",
    "TaskReport",
    "VirtualClock",
    "VirtualEngine",
    "engine",
    "run_task",
    "sync",
]


def __getattr__(name: str) -> Any:
    if name == "sync":
        return importlib.import_module(f"{__name__}.sync")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value
