"""Measure `trigger deploy` to a local registry, with BuildKit beside it: `python -m benchmarks.deploy`.

Needs root and scripts/docker-engine (BuildKit, a registry and a base image). Each round edits one task file
and lets both deploy it, one after the other, so that both meet the same machine; in a small project, and in
one with 25 MB of Python code beside its tasks. What is compared:

* ours: the whole command, interpreter start, plan and index of the tasks included; and the part of it that
  does what BuildKit does (layers and push);
* BuildKit: `docker build` of the same layers from a folder that is ready, then `docker push`; and both with
  the tasks indexed in the new image in between (`docker run`), which is what a deploy with it must do.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

REPOSITORY = Path(__file__).parents[1]
TRIGGER = str(Path(sys.executable).with_name("trigger"))
REQUIREMENTS = ("httpx==0.28.1", "pydantic==2.12.0", "rich==14.2.0", "sqlalchemy==2.0.44")
BUMPED = ("rich==14.2.0", "rich==14.1.0")
CONFIG = """project = "bench"
runtime = "python-3.11"

[build]
base_image = "{base}"
network = "host"
external = ["java", "org", "pgen2", "test"]

[build.extensions.additional-files]
files = ["assets"]

[deploy]
registry = "{registry}/bench"
"""
TASK = """from triggerdev import task

EDITION = {edition}


@task
def task_{number}(payload: dict[str, int]) -> int:
    \"\"\"One of many, with a body of a usual length.\"\"\"
    total = EDITION
{lines}
    return total
"""
GOALS = {
    "code": (1.0, "s, one task file edited: the whole command"),
    "nothing": (0.5, "s, nothing changed: the whole command"),
}
RATIO = 3.0


@dataclass
class Bench:
    """A project of forty task files, some assets and dependencies, and an engine to deploy it with.

    `library` is how often it holds the standard library's code, which stands for a large project's own.
    """

    folder: Path
    environ: dict[str, str]
    library: int = 0
    edition: int = field(default_factory=time.time_ns)
    registry: str = field(init=False)

    def __post_init__(self) -> None:
        self.registry = self.environ["TRIGGER_TEST_REGISTRY"]
        self.project = self.folder / "project"
        (self.project / "trigger").mkdir(parents=True)
        (self.project / "assets").mkdir()
        for number in range(40):
            self.edit(number)
        for number in range(20):
            (self.project / "assets" / f"{number}.bin").write_bytes(os.urandom(50_000))
        for number in range(self.library):
            _copy_library(self.project / f"library_{number}")
        self.require(REQUIREMENTS)
        config = CONFIG.format(base=self.environ["TRIGGER_TEST_BASE"], registry=self.registry)
        (self.project / "trigger.config.toml").write_text(config)

    def edit(self, number: int = 0) -> None:
        """Change one task file, to what it never was before, since engine and registry remember for long."""
        self.edition += 1
        lines = "".join(f"    total += payload.get('key_{line}', {line})\n" for line in range(60))
        text = TASK.format(edition=self.edition, number=number, lines=lines.rstrip())
        (self.project / "trigger" / f"task_{number}.py").write_text(text)

    def require(self, requirements: tuple[str, ...]) -> None:
        """Write the dependencies."""
        (self.project / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements))

    def deploy(self) -> tuple[float, dict[str, Any]]:
        """Run the command; gives the seconds of the whole process and what it says."""
        command = [TRIGGER, "deploy", "--builder", "oci", "--push", "--json"]
        started = time.perf_counter()
        ran = subprocess.run(command, cwd=self.project, env=self.environ, capture_output=True, check=False)
        seconds = time.perf_counter() - started
        if ran.returncode:
            raise SystemExit(ran.stderr.decode())
        said: dict[str, Any] = json.loads(ran.stdout)
        return seconds, said

    def prepare(self) -> Path:
        """Give a folder that BuildKit can build: the Containerfile of the whole plan, and its files."""
        command = [TRIGGER, "deploy", "--dry-run"]
        subprocess.run(command, cwd=self.project, env=self.environ, capture_output=True, check=True)
        target = self.folder / "context"
        shutil.copytree(self.project / ".trigger" / "build" / "prod", target)
        return target

    def buildkit(self, context: Path) -> tuple[float, float]:
        """Let BuildKit build and push the last edit; gives these seconds, and those of indexing its tasks."""
        source = self.project / "trigger" / "task_0.py"
        shutil.copyfile(source, context / "layers" / "source" / "app" / "trigger" / "task_0.py")
        name = f"{self.registry}/bench/buildkit:{self.edition}"
        build = ["build", "--network=host", "-q", "-t", name, "-f", "Containerfile", "."]
        took = self._docker(context, build) + self._docker(context, ["push", "-q", name])
        return took, self._docker(context, ["run", "--rm", "--network=none", name, "index"])

    def _docker(self, folder: Path, words: list[str]) -> float:
        environ = {**self.environ, "DOCKER_BUILDKIT": "1"}
        started = time.perf_counter()
        ran = subprocess.run(
            ["/usr/bin/docker", *words], cwd=folder, env=environ, capture_output=True, check=False
        )
        if ran.returncode:
            raise SystemExit(ran.stderr.decode())
        return time.perf_counter() - started


def _copy_library(target: Path) -> None:
    """Copy the standard library's modules, without its tests and what is installed below it."""
    source = Path(sysconfig.get_path("stdlib"))
    for path in source.rglob("*.py"):
        name = path.relative_to(source)
        if not {"test", "tests", "site-packages", "dist-packages"} & set(name.parts):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def engine() -> dict[str, str]:
    """Start the engine of the tests; gives the variables that lead to it."""
    script = REPOSITORY / "scripts" / "docker-engine"
    subprocess.run([script, "start"], check=True)
    settings = subprocess.run([script, "settings"], check=True, capture_output=True, text=True).stdout
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return environ | dict(line.split("=", 1) for line in settings.split())


def several(times: int, measure: Callable[[], float]) -> float:
    """Give the median of several measurements."""
    return median(measure() for _ in range(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=10)
    arguments = parser.parse_args()
    environ = engine()
    for library in (0, 2):
        with tempfile.TemporaryDirectory() as folder:
            environ["TRIGGER_CACHE_DIR"] = str(Path(folder) / "cache")
            report(Bench(Path(folder), environ, library), arguments.repetitions)


def report(bench: Bench, times: int) -> None:
    """Measure everything, and print it beside the goals."""
    code = [path.stat().st_size for path in bench.project.rglob("*.py")]
    print(f"\n{len(code)} files of code, {sum(code) / 1e6:.1f} MB")
    first, _ = bench.deploy()
    context = bench.prepare()
    theirs_first = sum(bench.buildkit(context))
    print(f"{first:8.2f} s  first deploy   ({theirs_first:.2f} s BuildKit)")
    ours, parts, theirs, indexed = [], [], [], []
    for _ in range(times):
        bench.edit()
        seconds, said = bench.deploy()
        ours.append(seconds)
        parts.append(sum(said["seconds"].get(name, 0.0) for name in ("layers", "push")))
        built, index = bench.buildkit(context)
        theirs.append(built)
        indexed.append(built + index)
    show("code", median(ours))
    print(f"{median(theirs):8.3f} s  BuildKit's build and push of the same change")
    print(f"{median(indexed):8.3f} s  the same with its tasks indexed")
    ratio(median(theirs), median(parts), "layers and push")
    ratio(median(indexed), median(ours), "the whole command, against BuildKit with its tasks indexed")
    ratio(median(theirs), median(ours), "the whole command, against BuildKit alone")
    show("nothing", several(times, lambda: bench.deploy()[0]))
    bumped(bench)


def show(name: str, seconds: float) -> None:
    goal, text = GOALS[name]
    print(f"{seconds:8.3f} s  goal {goal:.1f} {'met' if seconds <= goal else 'MISSED':6}  {text}")


def ratio(theirs: float, ours: float, text: str) -> None:
    """Print how much faster we are."""
    times = theirs / ours
    print(
        f"{times:8.1f} x  goal {RATIO:.0f}x {'met' if times >= RATIO else 'MISSED':6}  {text} ({ours:.3f} s)"
    )


def bumped(bench: Bench) -> None:
    """Change the version of one dependency, and say which layers that made."""
    before = bench.deploy()[1]
    bench.require(tuple(line.replace(*BUMPED) for line in REQUIREMENTS))
    seconds, after = bench.deploy()
    names = [name for name, key in after["keys"].items() if before["keys"].get(name) != key]
    print(f"{seconds:8.2f} s  one dependency bumped; layers made anew: {', '.join(names)}")


if __name__ == "__main__":
    main()
