"""The base class of build extensions; any object with some of these attributes will do as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from triggerdev.build.context import BuildContext, BuildManifest

Target = Literal["dev", "deploy"]
HOOKS = ("externals_for_target", "on_build_start", "on_build_complete")


class BuildExtension:
    """Hooks that do nothing; override those that are needed, as plain or as async methods.

    With a pydantic model as `Options`, the options of the config are read by it, into `options`, and what it
    refuses is shown at its place. Without one, options are the keyword arguments of an `__init__`.
    """

    name: str = ""
    Options: ClassVar[type[Any] | None] = None
    options: Any = None

    def __init__(self, **options: Any) -> None:
        if self.Options is not None:
            self.options = self.Options(**options)
        elif options:
            raise TypeError(f"{type(self).__name__} takes no options")

    def externals_for_target(self, target: Target) -> list[str]:
        """Name imports that the image provides and that no lock file needs to contain."""
        return []

    async def on_build_start(self, context: BuildContext) -> None:
        """Validate options, add layers that need nothing of the project."""

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add layers; `manifest` describes the project and the layers so far."""
