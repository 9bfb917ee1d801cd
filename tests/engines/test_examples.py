"""The examples and the specification's project: built, indexed, pushed, pulled and started."""

import base64
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.engines import in_image
from tests.engines.machine import DOCKER, Machine
from tests.engines.projects import Project
from tests.store import postgres_server

REPOSITORY = Path(__file__).parents[2]
PROJECTS = {
    "seed": REPOSITORY / "tests" / "projects" / "seed",
    "shop": REPOSITORY / "examples" / "shop",
    "media": REPOSITORY / "examples" / "media",
    "prices": REPOSITORY / "examples" / "prices",
}
SERVER = {"TRIGGER_API_URL": "http://localhost:1", "TRIGGER_SECRET_KEY": "tr_prod_0123456789"}
# What differs on a machine that reaches neither Docker Hub nor a registry of the project's own.
HERE = """
[env.test]
runtime = "python-3.11"

[env.test.build]
base_image = "{base}"
network = "host"

[env.test.deploy]
registry = "{registry}/{name}"
"""


@dataclass
class Deployed:
    """An example that was deployed, pushed, removed from the engine and pulled again."""

    project: Project
    said: dict[str, Any]

    @property
    def image(self) -> str:
        return str(self.said["image"]["reference"])

    @property
    def tasks(self) -> list[str]:
        return sorted(task["id"] for task in self.said["tasks"])

    def starts(self) -> None:
        """Let the worker start, and stop it when it is healthy."""
        engine = self.project.engine
        variables = [word for name, value in SERVER.items() for word in ("-e", f"{name}={value}")]
        container = engine.docker("run", "--detach", "--network=none", *variables, self.image)
        try:
            with subprocess.Popen(
                [DOCKER, "logs", "--follow", container],
                env=engine.environ,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            ) as logs:
                assert logs.stderr is not None
                said = []
                for line in logs.stderr:
                    said.append(line)
                    if f"ready with {len(self.tasks)} tasks" in line:
                        break
                else:
                    pytest.fail("".join(said))
                logs.kill()
            engine.docker("exec", container, "python", "-m", "triggerdev.worker", "health")
            engine.docker("stop", "--time=60", container)
            assert engine.docker("inspect", "--format={{.State.ExitCode}}", container) == "0"
        finally:
            engine.docker("rm", "--force", container)

    def execute(
        self, task: str, payload: Any, network: str = "none", options: Sequence[str] = (), **environ: str
    ) -> Any:
        """Execute a task in a container of the image; gives its output."""
        own = f"in-image-{uuid.uuid4().hex[:12]}"
        program = f"--volume={Path(in_image.__file__).resolve()}:/tmp/in_image.py:ro"
        variables = [word for name, value in (SERVER | environ).items() for word in ("-e", f"{name}={value}")]
        words = ["run", "--rm", f"--name={own}", f"--network={network}", *variables, *options, program]
        command = ["--entrypoint=dumb-init", self.image, "--", "python", "/tmp/in_image.py"]
        try:
            said = self.project.engine.docker(*words, *command, task, json.dumps(payload), timeout=180)
        except subprocess.TimeoutExpired:
            self.project.engine.docker("rm", "--force", own)
            raise
        done = json.loads(next(line for line in said.splitlines() if line.startswith('{"t": "done"')))
        assert done["outcome"] == "ok", done
        return json.loads(done["output"])


def deployed(name: str, engine: Machine, place: Path) -> Iterator[Deployed]:
    own = f"test-{uuid.uuid4().hex[:12]}"
    project = Project(place / name, engine, own)
    shutil.copytree(PROJECTS[name], project.root, ignore=shutil.ignore_patterns(".trigger", "__pycache__"))
    config = project.root / "trigger.config.toml"
    config.write_text(config.read_text() + HERE.format(base=engine.base, registry=engine.registry, name=own))
    said = project.deploy("--env", "test", "--push")
    made = Deployed(project, said)
    engine.docker("rmi", "--force", made.image)
    engine.docker("pull", "--quiet", made.image)
    yield made
    engine.docker("rmi", "--force", made.image)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def shop(engine: Machine, place: Path) -> Iterator[Deployed]:
    yield from deployed("shop", engine, place)


@pytest.fixture(scope="module")
def seed(engine: Machine, place: Path) -> Iterator[Deployed]:
    yield from deployed("seed", engine, place)


@pytest.fixture(scope="module")
def media(engine: Machine, place: Path) -> Iterator[Deployed]:
    yield from deployed("media", engine, place)


@pytest.fixture(scope="module")
def prices(engine: Machine, place: Path) -> Iterator[Deployed]:
    yield from deployed("prices", engine, place)


def test_the_seed_project_is_indexed_in_its_image_and_starts(seed: Deployed) -> None:
    assert seed.said["indexed"] == "image"
    assert {"add-numbers", "daily-report"} <= set(seed.tasks)
    seed.starts()


def test_the_shop_is_indexed_in_its_image_and_starts(shop: Deployed) -> None:
    assert shop.said["indexed"] == "image"
    assert shop.tasks == ["daily-report", "place-order", "reserve-stock", "send-confirmation", "settle-order"]
    shop.starts()


def test_the_shop_has_its_templates(shop: Deployed) -> None:
    cart = {"order_id": "a-1", "email": "ada@example.com", "items": {"cup": 2}}
    assert "a-1:\n\n  2 x cup\n" in shop.execute("send-confirmation", cart)


def test_the_shop_speaks_to_postgresql(shop: Deployed) -> None:
    url = postgres_server.shared_url().replace("postgresql://", "postgresql+psycopg://")
    payload = {"timestamp": "2026-11-27T06:00:00Z", "timezone": "UTC", "scheduleId": "s", "upcoming": []}
    report = shop.execute("daily-report", payload, network="host", DATABASE_URL=url)
    assert report == {"orders": 0, "total_cents": 0, "best": "nothing"}


def test_the_measuring_of_videos_is_indexed_in_its_image_and_starts(media: Deployed) -> None:
    assert media.said["indexed"] == "image"
    assert "find-scenes" in media.tasks
    media.starts()


def test_a_video_is_measured_in_the_image(media: Deployed, tmp_path: Path) -> None:
    """Its ffmpeg makes a film: two seconds of black with a tone, one of white without."""
    tmp_path.chmod(0o777)
    volume = f"--volume={tmp_path}:/film"
    pictures = "color=black:s=320x180:r=10:d=2[a];color=white:s=320x180:r=10:d=1[b];[a][b]concat"
    sound = "sine=frequency=440:duration=2,apad=pad_dur=1"
    inputs = ("-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound)
    words = ("run", "--rm", "--network=none", volume, "--entrypoint=ffmpeg", media.image)
    media.project.engine.docker(*words, "-v", "error", *inputs, "/film/film.mkv")
    film = {"path": "/film/film.mkv", "thumbnail_at": 0.5}
    assert media.execute("find-scenes", film, options=(volume,)) == [0.0, 2.0]
    ((quiet_from, quiet_to),) = media.execute("find-silences", film, options=(volume,))
    assert (round(quiet_from), round(quiet_to)) == (2, 3)
    picture = media.execute("make-thumbnail", film, options=(volume,))
    assert base64.b64decode(picture.removeprefix("data:image/jpeg;base64,")).startswith(b"\xff\xd8")


def test_the_watching_of_prices_is_indexed_in_its_image_and_starts(prices: Deployed) -> None:
    assert prices.said["indexed"] == "image"
    assert prices.tasks == ["read-offer", "tell", "watch-all", "watch-product"]
    prices.starts()


def test_a_browser_reads_a_page_in_the_image(prices: Deployed) -> None:
    """A script makes the price, so that nobody but a browser sees it."""
    script = "document.querySelector('p').textContent = (1234 + 5.5).toFixed(2) + ' EUR'"
    page = f"<h1>Grinder</h1><p class='price'></p><script>{script}</script>"
    found = prices.execute("read-offer", {"url": f"data:text/html,{quote(page)}"})
    assert found == {"name": "Grinder", "price": "1239.50", "currency": "EUR"}
