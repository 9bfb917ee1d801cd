"""`lightpanda`: the browser Lightpanda."""

from typing import Annotated

from pydantic import AfterValidator

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer
from triggerdev.build.options import Options
from triggerdev.extensions import downloads, support

_PATH = "/usr/local/bin/lightpanda"


class LightpandaOptions(Options):
    """`version`: one of the pinned ones; `disable_telemetry`: the browser tells its makers nothing."""

    version: Annotated[str, AfterValidator(downloads.version_of("lightpanda"))] = "1.0.2"
    disable_telemetry: bool = False


class Lightpanda(BuildExtension):
    """Install the browser into /usr/local/bin."""

    name = "lightpanda"
    Options = LightpandaOptions
    options: LightpandaOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the program, checked."""
        if context.target != "deploy":
            return
        found = downloads.find("lightpanda", self.options.version, context)
        command, place = downloads.fetch(found)
        env = {"LIGHTPANDA_DISABLE_TELEMETRY": "true"} if self.options.disable_telemetry else {}
        install = (
            f"install -m 755 {place}/lightpanda/lightpanda {_PATH}\nrm -rf {place.removesuffix('/files')}"
        )
        context.add_layer(
            BuildLayer(
                id=self.name,
                placement="base",
                commands=[command, install, f"LIGHTPANDA_DISABLE_TELEMETRY=true {_PATH} version"],
                image=support.image(env=env),
                deploy=support.deploy(env),
            )
        )
