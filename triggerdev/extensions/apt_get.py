"""`apt-get`: system packages of the image."""

import pydantic

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer, Image, Package
from triggerdev.build.options import Options


class AptGetOptions(Options):
    """`packages`: each "name" or "name=version"."""

    packages: list[Package] = pydantic.Field(min_length=1)


class AptGet(BuildExtension):
    """Install Debian packages."""

    name = "apt-get"
    Options = AptGetOptions
    options: AptGetOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the packages; all extensions' packages become one layer."""
        packages = self.options.packages
        context.logger.debug(f"packages: {', '.join(sorted(packages))}")
        context.add_layer(BuildLayer(id=self.name, image=Image(pkgs=packages)))
