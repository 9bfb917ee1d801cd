"""From the inputs of the plan's dependencies to an installed tree.

Only wheels are installed, so no package runs code on this machine.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from triggerdev import errors
from triggerdev.build.dependencies import FOLDER, OURS
from triggerdev.build.files import FileEntry
from triggerdev.build.wheels.uv import Uv

_PLATFORMS = {
    ("linux/amd64", False): "x86_64-manylinux_2_28",
    ("linux/arm64", False): "aarch64-manylinux_2_28",
    ("linux/amd64", True): "x86_64-unknown-linux-musl",
    ("linux/arm64", True): "aarch64-unknown-linux-musl",
}
"""uv's names; the C library is that of Debian 10 and later, so wheels run on every base of today."""
_WANTS_BUILDING = re.compile(r"Wheels are required for `([A-Za-z0-9._-]+)`")
_NO_WHEEL = re.compile(r"Package `([A-Za-z0-9._-]+)` can't be installed because .* no binary distribution")
_NO_FITTING = re.compile(r"([A-Za-z0-9._-]+?)[<>=]=\S+ has no wheels with a matching")
_LAST_LINES = 15


class NeedsBuildingError(errors.BuildError):
    """Packages have no wheel that fits the image, so that the image itself has to build them: `packages`."""

    def __init__(self, packages: tuple[str, ...], said: str) -> None:
        names = ", ".join(packages)
        super().__init__(f"{names}: no wheel fits the image, so they must be built inside it:\n{said}")
        self.packages = packages


def install(inputs: Iterable[FileEntry], uv: Uv, python: str, platform: str, musl: bool = False) -> Path:
    """Install what `inputs` describe into a folder below uv's, and give it.

    Raises NeedsBuildingError for packages without a wheel, BuildError for what uv refuses otherwise.
    """
    work = uv.folder
    for entry in inputs:
        _write(work / entry.destination.removeprefix(f"{FOLDER}/"), entry)
    tree = work / "tree"
    common = ["pip", "install", "--prefix", str(tree), "--python", str(Path(sys.executable).resolve())]
    common += ["--python-version", python, "--python-platform", _PLATFORMS[platform, musl]]
    common += ["--only-binary", ":all:", "--no-python-downloads"]
    if (work / "uv.lock").is_file():
        _export(uv)
        _checked(uv.run(*common, "--preview-features", "pylock", "-r", "pylock.toml"))
        _checked(uv.run(*common, "-r", "runtime.txt"))
    else:
        listed = ["-r", "requirements.txt"] if (work / "requirements.txt").is_file() else []
        _checked(uv.run(*common, *listed, "-r", "runtime.txt"))
    return tree


def _write(path: Path, entry: FileEntry) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(entry.content if entry.content is not None else _source(entry).read_bytes())


def _source(entry: FileEntry) -> Path:
    assert entry.path is not None  # an entry has a content or a path
    return entry.path


def _export(uv: Uv) -> None:
    """Write uv.lock as the file that installs exactly what it says, from the addresses that it holds."""
    without = ["--no-dev", "--no-emit-project", "--no-emit-package", OURS]
    done, said = uv.run("export", "--frozen", *without, "--format", "pylock.toml", "-o", "pylock.toml", "-q")
    if not done:
        raise errors.BuildError(f"uv cannot read uv.lock; write it anew with `uv lock`:\n{_end(said)}")


def _checked(outcome: tuple[bool, str]) -> None:
    done, said = outcome
    if done:
        return
    patterns = (_WANTS_BUILDING, _NO_WHEEL, _NO_FITTING)
    packages = tuple(dict.fromkeys(name for pattern in patterns for name in pattern.findall(said)))
    if packages:
        raise NeedsBuildingError(packages, _end(said))
    raise errors.BuildError(f"uv cannot install the Python dependencies:\n{_end(said)}")


def _end(said: str) -> str:
    return "\n".join(said.splitlines()[-_LAST_LINES:])
