"""`apt-get`: system packages of the image."""

import pydantic

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer, Image, Package


class _Options(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    packages: list[Package] = pydantic.Field(min_length=1)


class AptGet(BuildExtension):
    """Install Debian packages: "name" or "name=version"."""

    name = "apt-get"

    def __init__(self, packages: list[str]) -> None:
        self._packages = _Options(packages=packages).packages

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the packages; all extensions' packages become one layer."""
        context.logger.debug(f"packages: {', '.join(sorted(self._packages))}")
        context.add_layer(BuildLayer(id=self.name, image=Image(pkgs=self._packages)))
