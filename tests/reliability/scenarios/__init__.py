"""The scenarios, one a file."""

import importlib
import pkgutil

from tests.reliability.scenario import Scenario


def load_all() -> dict[str, Scenario]:
    """Import every scenario; by name, in the order of the names."""
    modules = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    found: list[Scenario] = [module.SCENARIO for module in modules]
    return {scenario.name: scenario for scenario in sorted(found, key=lambda each: each.name)}
