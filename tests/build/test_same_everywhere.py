"""The same tree in two places, by two users, with two umasks, time zones and clocks: the same layers."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.build.support import TASK
from tests.build.wheels.index import Index, serving, wheel
from triggerdev.build.source import INIT_REQUIREMENTS, RUNTIME_REQUIREMENTS
from triggerdev.build.tokens import requirement_name

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65534
DAY = 86_400
CONFIG = """
project = "demo"
runtime = "python-3.11"

[build.extensions.apt-get]
packages = ["git"]

[build.extensions.additional-files]
files = ["data"]

[build.extensions.mine]
use = "./ext.py:Mine"
"""
EXTENSION = """
from triggerdev.build import BuildExtension


class Mine(BuildExtension):
    async def on_build_complete(self, context, manifest):
        context.add_layer({"id": "made", "commands": ["make"], "placement": "base"})
        context.add_layer({"id": "more", "files": {"/srv/more": "more"}, "deploy": {"env": {"A": "1"}}})
"""
FILES = {
    "trigger.config.toml": CONFIG,
    "ext.py": EXTENSION,
    "trigger/hello.py": TASK,
    "data/ä b.txt": "x\n",
    "data/run.sh": "#!/bin/sh\n",
    "more/one": "1",
    "requirements.txt": "alpha==1.0\nbeta\n",
}


@pytest.fixture
def index() -> Iterator[Index]:
    index = Index()
    runtime = [requirement_name(line) for line in (*RUNTIME_REQUIREMENTS, *INIT_REQUIREMENTS)]
    index.add(
        wheel("alpha", "1.0", ("beta",), {"alpha": "alpha:main"}, tag="cp311-cp311-manylinux_2_17_x86_64"),
        wheel("beta", "2.0"),
        *(wheel(name.replace("-", "_"), "9999") for name in runtime),
    )
    with serving(index):
        yield index


@dataclass
class Place:
    """Where a project lies and who looks at it. `clock` words go before the program, such as faketime's."""

    root: Path
    index: Index
    user: int | None = None
    umask: int = 0o022
    zone: str = "UTC"
    clock: Sequence[str] = ()
    ahead: int = 0
    python: str = sys.executable

    def look(self) -> dict[str, Any]:
        project = self.root / "project"
        self._write(project)
        program = [self.python, "-m", "tests.build.elsewhere", str(project), str(self.root / "store")]
        ran = subprocess.run(
            [*self.clock, *program],
            cwd=self.root,
            env=self._environ(),
            umask=self.umask,
            user=self.user,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def _environ(self) -> dict[str, str]:
        packages = [path for path in sys.path if "site-packages" in path]
        return {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(self.root),
            "TZ": self.zone,
            "UV_CACHE_DIR": str(self.root / "uv"),
            "UV_DEFAULT_INDEX": self.index.url,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *packages]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TRIGGER_TEST_CLOCK": str(self.ahead),
        }

    def _write(self, project: Path) -> None:
        """Write the project as this user would have, with the umask, at the time."""
        old = os.umask(self.umask)
        try:
            for name in sorted(FILES, reverse=bool(self.ahead)):
                path = project / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(FILES[name])
                if path.suffix == ".sh":
                    path.chmod(0o777 & ~self.umask)
                then = time.time() - 30 * DAY + self.ahead
                os.utime(path, (then, then))
        finally:
            os.umask(old)
        if self.user is not None:
            for path in (self.root, *self.root.rglob("*")):
                os.chown(path, self.user, self.user)


@pytest.fixture
def folders() -> Iterator[tuple[Path, Path]]:
    """Two folders that every user can reach, which those of pytest are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as one, tempfile.TemporaryDirectory(dir="/var/tmp") as other:
        Path(one).chmod(0o755)
        Path(other).chmod(0o755)
        deep = Path(other) / "some" / "where else"
        deep.mkdir(parents=True)
        yield Path(one), deep


def faketime() -> list[str]:
    """Give the words that let a program believe that it is tomorrow; none where faketime is not installed."""
    found = shutil.which("faketime")
    return [found, "-f", "+1d"] if found else []


def python_of_nobody() -> str:
    """Give a Python of our version that user nobody may execute, "" if there is none; ours may be private."""
    code = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}", "/usr/local/bin/python3"):
        try:
            subprocess.run([python, "-c", code], user=NOBODY, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return ""


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for what in ("keys", "diff_ids", "blobs"):
        assert one[what] == other[what]
    assert set(one["diff_ids"]) == {"dependencies", "runtime", "more", "additional-files", "source"}
    assert set(one["keys"]) - set(one["diff_ids"]) == {"base", "apt-get", "made"}


def tomorrow(place: Place) -> Place:
    """Let it be tomorrow there: for all programs with faketime, else for our own."""
    place.clock, place.ahead = faketime(), 0 if faketime() else DAY
    return place


def test_folder_umask_zone_and_clock_do_not_matter(index: Index, folders: tuple[Path, Path]) -> None:
    one = Place(folders[0], index).look()
    there = tomorrow(Place(folders[1], index, umask=0o077, zone="Pacific/Auckland"))
    other = there.look()
    same(one, other)
    here, elsewhere = one["surroundings"], other["surroundings"]
    for what in ("umask", "zone", "day", "folder"):
        assert here[what] != elsewhere[what], what


def test_users_do_not_matter(index: Index, folders: tuple[Path, Path]) -> None:
    python = python_of_nobody() if os.getuid() == 0 else ""
    if not python:
        reason = "needs root, and a Python of this version that user nobody may execute"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
    one = Place(folders[0], index).look()
    other = tomorrow(
        Place(folders[1], index, user=NOBODY, umask=0o027, zone="America/Lima", python=python)
    ).look()
    same(one, other)
    assert (one["surroundings"]["user"], other["surroundings"]["user"]) == ("root", "nobody")


def test_a_difference_would_be_seen(
    index: Index, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Place(folders[0], index).look()
    monkeypatch.setitem(FILES, "more/one", "2")
    other = Place(folders[1], index).look()
    for what in ("keys", "diff_ids"):
        assert {name for name in one[what] if one[what][name] != other[what][name]} == {"more"}
