"""`audio-waveform`: the program audiowaveform, from its makers' package for Debian 12."""

from typing import Annotated

from pydantic import AfterValidator

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer
from triggerdev.build.options import Options
from triggerdev.extensions import downloads, support


class AudioWaveformOptions(Options):
    """`version`: one of the pinned ones."""

    version: Annotated[str, AfterValidator(downloads.version_of("audiowaveform"))] = "1.10.1"


class AudioWaveform(BuildExtension):
    """Install audiowaveform and, as it is used with it, sox."""

    name = "audio-waveform"
    Options = AudioWaveformOptions
    options: AudioWaveformOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the package, checked, and what it depends on."""
        if context.target != "deploy":
            return
        found = downloads.find("audiowaveform", self.options.version, context)
        command, place = downloads.fetch(found)
        install = (
            f"mv {place} {place}.deb\nexport DEBIAN_FRONTEND=noninteractive\napt-get update\n"
            f"apt-get install -y --no-install-recommends {place}.deb\n"
            f"rm -rf {place}.deb /var/lib/apt/lists/*"
        )
        context.add_layer(
            BuildLayer(
                id=self.name,
                placement="base",
                commands=[command, install, "audiowaveform --version"],
                image=support.image([*downloads.packages(found), "sox"]),
            )
        )
