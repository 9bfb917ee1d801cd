"""Editing task files while `trigger dev` runs."""

from pathlib import Path

from tests.dev.kit import Dev, start

CONFIG = 'project = "edits"\n'
TASK = """from triggerdev import task, wait


@task(id="edition")
async def edition(payload: dict) -> int:
    return {edition}
"""


def _project(folder: Path) -> Path:
    (folder / "trigger").mkdir(parents=True)
    (folder / "trigger.config.toml").write_text(CONFIG)
    (folder / "trigger" / "tasks.py").write_text(TASK.format(edition=0))
    return folder


async def _saved(dev: Dev, file: Path, text: str) -> None:
    """Save a file as editors do, in one step, and wait until the version with it is active."""
    seen = len(dev.lines)
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(text)
    draft.replace(file)
    await dev.line("reloaded", after=seen)


async def test_the_next_run_has_the_new_code(tmp_path: Path) -> None:
    file = _project(tmp_path / "p") / "trigger" / "tasks.py"
    async with start(tmp_path / "p") as dev:
        api = dev.api()
        assert await api.output("edition") == 0
        # Edits of the same size within a second are each served, never a stale one
        for edition in range(1, 8):
            await _saved(dev, file, TASK.format(edition=edition))
            assert await api.output("edition") == edition
        reloaded = await dev.line("reloaded")
        assert reloaded["changed"] == ["trigger/tasks.py"]
        assert reloaded["took_ms"] > 0


async def test_mistakes_are_reported_and_the_old_version_goes_on(tmp_path: Path) -> None:
    file = _project(tmp_path / "p") / "trigger" / "tasks.py"
    good = TASK.format(edition=0)
    wrong = {
        "syntax": (good + "\n\ndef broken(:\n", 9),
        "import": ("import no_such_module_here\n" + good, 1),
        "duplicate": (good + good[good.index("\n\n@task") :], 9),
    }
    async with start(tmp_path / "p") as dev:
        api = dev.api()
        for kind, (text, line) in wrong.items():
            seen = len(dev.lines)
            file.write_text(text)
            failed = await dev.line("load_failed", after=seen)
            (problem,) = failed["problems"]
            assert (problem["kind"], problem["line"]) == (kind, line), problem
            assert problem["file"].endswith("trigger/tasks.py")
            assert await api.output("edition") == 0
            await _saved(dev, file, TASK.format(edition=5))
            assert await api.output("edition") == 5
            await _saved(dev, file, good)


async def test_a_module_outside_the_task_folder_is_watched(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    (project / "shop").mkdir()
    prices = project / "shop" / "prices.py"
    prices.write_text("PRICE = 1\n")
    task = "from shop.prices import PRICE\n" + TASK.format(edition="PRICE")
    (project / "trigger" / "tasks.py").write_text(task)
    async with start(project) as dev:
        assert await dev.api().output("edition") == 1
        await _saved(dev, prices, "PRICE = 2\n")
        assert await dev.api().output("edition") == 2


async def test_new_and_deleted_files_are_noticed(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    async with start(project) as dev:
        (project / "trigger" / "more").mkdir()
        await _saved(
            dev,
            project / "trigger" / "more" / "other.py",
            TASK.replace("edition", "other", 1).format(edition=9),
        )
        assert await dev.api().output("other") == 9
        seen = len(dev.lines)
        (project / "trigger" / "more" / "other.py").unlink()
        reloaded = await dev.line("reloaded", after=seen)
        assert reloaded["tasks_changed"] == ["-other"]


RUNNING = """import asyncio
from pathlib import Path

from triggerdev import task, wait


@task(id="long")
async def long(payload: dict) -> str:
    while not Path(payload["release"]).exists():
        await asyncio.sleep(0.01)
    return "{edition}"


@task(id="approval")
async def approval(payload: dict) -> str:
    answer = await wait.for_token("approve")
    return "{edition}:" + answer.output
"""


async def test_running_code_finishes_on_its_version_and_waiting_code_moves(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    file, release = project / "trigger" / "tasks.py", tmp_path / "release"
    file.write_text(RUNNING.format(edition="old"))
    async with start(project) as dev:
        api = dev.api()
        long = await api.trigger("long", {"release": str(release)})
        approval = await api.trigger("approval")
        await dev.line("run", lambda line: line["run"] == long and line["event"] == "started")
        await api.until(approval, lambda run: run["status"] == "WAITING")
        await _saved(dev, file, RUNNING.format(edition="new"))
        release.touch()
        assert (await api.result(long))["output"] == "old"
        tokens = await api.call("GET", "/api/v1/waitpoints/tokens?filter[idempotencyKey]=approve")
        token = tokens["data"][0]["id"]
        await api.call("POST", f"/api/v1/waitpoints/tokens/{token}/complete", {"data": "yes"})
        assert (await api.result(approval))["output"] == "new:yes"


async def test_fifty_edits_leave_nothing_behind(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    file = project / "trigger" / "tasks.py"
    async with start(project) as dev:
        api = dev.api()
        await _saved(dev, file, TASK.format(edition=0) + "# settled\n")
        assert await api.output("edition") == 0
        processes, folders = len(dev.pids()), _tree(project)
        for edition in range(1, 51):
            await _saved(dev, file, TASK.format(edition=edition))
        assert await api.output("edition") == 50
        await _saved(dev, file, TASK.format(edition=51))
        assert await api.output("edition") == 51
        assert len(dev.pids()) <= processes + 3  # the version before may still be going
        assert _tree(project) == folders


def _tree(project: Path) -> list[str]:
    names = (str(path.relative_to(project)) for path in project.rglob("*"))
    return sorted(name for name in names if not name.startswith(".trigger/engine.db"))


async def test_config_and_env_files_are_watched(tmp_path: Path) -> None:
    project = _project(tmp_path / "p")
    source = "import os\n" + TASK.format(edition='os.environ.get("FLAVOUR", "none")')
    (project / "trigger" / "tasks.py").write_text(source)
    async with start(project) as dev:
        api = dev.api()
        assert await api.output("edition") == "none"
        await _saved(dev, project / ".env", "FLAVOUR=vanilla\n")
        assert await api.output("edition") == "vanilla"
        seen = len(dev.lines)
        (project / "trigger.config.toml").write_text(CONFIG + "unknown_key = 1\n")
        error = await dev.line("error", after=seen)
        assert "trigger.config.toml:2:1" in error["text"]
        assert await api.output("edition") == "vanilla"
