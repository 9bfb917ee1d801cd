"""Building images: what a build extension needs, and the plan that comes of it.

The names are loaded on first use, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggerdev.build.context import BuildContext, BuildLogger, BuildManifest, BuildSpinner
    from triggerdev.build.extension import BuildExtension, Target
    from triggerdev.build.hooks import BuildOutcome, EnvVariable, run_extensions
    from triggerdev.build.layers import BuildEnv, BuildLayer, DeployEnv, FileMapping, Image, Placement
    from triggerdev.build.options import Options

__all__ = [
    "BuildContext",
    "BuildEnv",
    "BuildExtension",
    "BuildLayer",
    "BuildLogger",
    "BuildManifest",
    "BuildOutcome",
    "BuildSpinner",
    "DeployEnv",
    "EnvVariable",
    "FileMapping",
    "Image",
    "Options",
    "Placement",
    "Target",
    "run_extensions",
]

_MODULES = {
    "context": ("BuildContext", "BuildLogger", "BuildManifest", "BuildSpinner"),
    "extension": ("BuildExtension", "Target"),
    "hooks": ("BuildOutcome", "EnvVariable", "run_extensions"),
    "options": ("Options",),
    "layers": ("BuildEnv", "BuildLayer", "DeployEnv", "FileMapping", "Image", "Placement"),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = value
    return value
