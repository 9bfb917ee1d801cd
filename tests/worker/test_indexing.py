"""What importing a project finds: names, tasks, and every mistake with its place."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.worker.conftest import Project
from triggerdev import errors
from triggerdev.protocol import Manifest, SourceProblem, WorkerSettings
from triggerdev.worker import discovery
from triggerdev.worker.indexing import Indexer, index_project

TASK = "from triggerdev import task\n\n@task\nasync def {name}(payload):\n    return __name__\n"


def index(root: Path, **settings: Any) -> Manifest:
    given = WorkerSettings(root=str(root), dirs=["./trigger"], ignore=[], hooks={}, log_level="info")
    given.update(settings)  # type: ignore[typeddict-item]  # the tests name settings that exist
    return index_project(Path(sys.executable), given)


def problems(root: Path, **settings: Any) -> list[SourceProblem]:
    with pytest.raises(errors.BuildError) as caught:
        index(root, **settings)
    found: list[SourceProblem] = getattr(caught.value, "problems", [])
    for problem in found:
        assert f"{problem['file']}:{problem['line']}: " in str(caught.value)
    return found


def test_tasks_are_described_with_their_place(project: Project) -> None:
    root = project(
        {"trigger/a.py": TASK.format(name="first"), "trigger/deep/b.py": TASK.format(name="second")}
    )
    manifest = index(root)
    assert [(task["id"], task["file"], task["kind"]) for task in manifest["tasks"]] == [
        ("first", "trigger/a.py", "async"),
        ("second", "trigger/deep/b.py", "async"),
    ]
    assert manifest["files"] == ["trigger/a.py", "trigger/deep/b.py"]
    assert manifest["threads"] == []


def test_a_file_without_a_readable_name_is_reported(project: Project) -> None:
    root = project({"trigger/a.py": TASK.format(name="first")})
    (root / "trigger" / "b\udcff.py").touch()
    (problem,) = problems(root)
    assert problem["file"] == "trigger/b\\udcff.py"
    assert "not valid UTF-8" in problem["message"]


def test_the_hash_changes_with_the_code_only(project: Project) -> None:
    root = project({"trigger/a.py": TASK.format(name="first")})
    before = index(root)["hash"]
    assert index(root)["hash"] == before
    project({"trigger/a.py": TASK.format(name="other")})
    assert index(root)["hash"] != before


def test_tests_hidden_folders_and_ignored_files_are_no_task_files(project: Project) -> None:
    broken = "raise SystemExit('must not be imported')\n"
    names = ["test_a.py", "a_test.py", "conftest.py", ".hidden/a.py", "drafts/deep/a.py", "b.draft.py"]
    files = {f"trigger/{name}": broken for name in names}
    root = project({**files, "trigger/a.py": TASK.format(name="kept")})
    manifest = index(root, ignore=["trigger/drafts/**", "*.draft.py"])
    assert [task["id"] for task in manifest["tasks"]] == ["kept"]


def test_modules_are_named_from_the_project_root(project: Project) -> None:
    root = project(
        {
            "trigger/a.py": "import trigger.b\nfrom helpers import more\nassert __name__ == 'trigger.a'\n",
            "trigger/b.py": "value = 1\n",
            "helpers.py": "more = 2\n",
        }
    )
    assert index(root)["files"] == ["helpers.py", "trigger/a.py", "trigger/b.py"]


def test_a_src_folder_is_an_import_root(project: Project) -> None:
    root = project(
        {
            "src/jobs/a.py": "from shop import price\nassert __name__ == 'jobs.a'\n",
            "src/shop.py": "price = 1\n",
        }
    )
    assert index(root, dirs=["src/jobs"])["files"] == ["src/jobs/a.py", "src/shop.py"]


def test_a_file_that_no_import_could_name_is_loaded_by_path(project: Project) -> None:
    root = project(
        {"trigger/my-task.py": TASK.format(name="dashed"), "trigger/2nd.py": TASK.format(name="digit")}
    )
    assert [task["id"] for task in index(root)["tasks"]] == ["dashed", "digit"]


def test_all_mistakes_are_reported_at_once(project: Project) -> None:
    root = project(
        {
            "trigger/a.py": "def broken(:\n",
            "trigger/b.py": "import nothing_of_this_name\n",
            "trigger/c.py": "import broken_helper\n",
            "trigger/d.py": "from triggerdev import task\n\n@task(ttl='soon')\ndef wrong(payload): ...\n",
            "broken_helper.py": "x = 1\ny = 1 / 0\n",
        }
    )
    found = problems(root)
    places = [(problem["kind"], problem["file"], problem["line"]) for problem in found]
    assert places == [
        ("syntax", "trigger/a.py", 1),
        ("import", "trigger/b.py", 1),
        ("import", "broken_helper.py", 2),
        ("definition", "trigger/d.py", 3),
    ]
    assert found[2]["source_line"] == "y = 1 / 0"
    assert "ZeroDivisionError: division by zero" in found[2]["message"]
    assert "importlib" not in found[2]["traceback"]
    assert 'trigger/c.py", line 1' in found[2]["traceback"]


def test_a_duplicate_id_names_both_places(project: Project) -> None:
    root = project(
        {"trigger/a.py": TASK.format(name="same"), "trigger/b.py": "\n" + TASK.format(name="same")}
    )
    (problem,) = problems(root)
    assert problem["kind"] == "duplicate"
    assert "trigger/a.py:3" in problem["message"]
    assert "trigger/b.py:4" in problem["message"]
    assert str(root) not in problem["message"]


def test_an_installed_package_that_hides_the_task_folder_is_named(project: Project) -> None:
    root = project({"json/a.py": TASK.format(name="hidden")})
    (problem,) = problems(root, dirs=["./json"])
    assert problem["kind"] == "shadowed"
    assert "'json'" in problem["message"]


def test_a_missing_task_folder_is_named(project: Project) -> None:
    (problem,) = problems(project({"other.py": ""}), dirs=["./tasks"])
    assert "'./tasks'" in problem["message"]


def test_hooks_are_resolved_from_modules_and_files(project: Project) -> None:
    root = project(
        {
            "trigger/a.py": TASK.format(name="a"),
            "trigger/hooks.py": "def on_start(payload): ...\n",
            "support/more.py": "class Hooks:\n    @staticmethod\n    def done(output): ...\n",
        }
    )
    hooks = {"on_start": ["trigger.hooks:on_start"], "on_success": ["./support/more.py:Hooks.done"]}
    assert "support/more.py" in index(root, hooks=hooks)["files"]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("trigger.hooks:on_strat", "has no attribute 'on_strat'"),
        ("nowhere:hook", "No module named 'nowhere'"),
        ("trigger.hooks:NUMBER", "is a int, not a function"),
        ("./missing.py:hook", "missing.py"),
    ],
)
def test_a_hook_that_cannot_be_resolved_is_named(project: Project, reference: str, said: str) -> None:
    root = project({"trigger/hooks.py": "NUMBER = 1\ndef on_start(payload): ...\n"})
    (problem,) = problems(root, hooks={"on_start": [reference]})
    assert problem["kind"] == "hook"
    assert f"hooks.on_start = {reference!r}" in problem["message"]
    assert said in problem["message"]


def test_nothing_that_user_code_prints_breaks_the_result(project: Project) -> None:
    noise = "import os, sys\nprint('{' * 100_000)\nos.write(1, b'[' * 100)\nprint('x', file=sys.stderr)\n"
    root = project({"trigger/a.py": noise + TASK.format(name="loud")})
    assert [task["id"] for task in index(root)["tasks"]] == ["loud"]


def test_a_process_that_ends_by_itself_is_reported_with_its_output(project: Project) -> None:
    root = project({"trigger/a.py": "import os\nprint('last words', flush=True)\nos._exit(7)\n"})
    with pytest.raises(errors.BuildError, match=r"status 7(.|\n)*last words"):
        index(root)


def test_code_that_hangs_is_ended(project: Project) -> None:
    root = project({"trigger/a.py": "while True: pass\n"})
    settings = WorkerSettings(root=str(root), dirs=["./trigger"])
    with pytest.raises(errors.BuildError, match=r"did not finish within 0\.5 s"):
        index_project(Path(sys.executable), settings, timeout=0.5)


def test_no_code_is_executed_before_it_is_asked_for(project: Project, tmp_path: Path) -> None:
    text = f"import pathlib\npathlib.Path({str(tmp_path / 'was-here')!r}).touch()\n"
    root = project({"trigger/a.py": text + TASK.format(name="a")})
    with Indexer(Path(sys.executable), root) as unused:
        with Indexer(Path(sys.executable), root) as used:
            assert not (tmp_path / "was-here").exists()
            project({"trigger/b.py": TASK.format(name="b")})
            manifest = used.index(WorkerSettings(root=str(root), dirs=["./trigger"]))
        assert [task["id"] for task in manifest["tasks"]] == ["a", "b"]
        (tmp_path / "was-here").unlink()
    assert not (tmp_path / "was-here").exists()
    unused.end()  # twice does no harm


def test_an_import_can_be_given_up(project: Project, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    root = project({"trigger/a.py": f"open({str(pipe)!r}, 'w').close()\nwhile True: pass\n"})
    with Indexer(Path(sys.executable), root) as indexer, ThreadPoolExecutor(1) as beside:
        index = beside.submit(indexer.index, WorkerSettings(root=str(root), dirs=["./trigger"]))
        pipe.open().close()  # the import has begun
        indexer.end()
        with pytest.raises(errors.BuildError, match="ended its process"):
            index.result()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_an_import_ends_with_the_command_that_wanted_it(project: Project, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    root = project({"trigger/a.py": f"held = open({str(pipe)!r}, 'w')\nwhile True: pass\n"})
    code = (
        "import sys, pathlib; from triggerdev.worker.indexing import index_project; "
        f"index_project(pathlib.Path(sys.executable), {{'root': {str(root)!r}, 'dirs': ['./trigger']}})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as command, pipe.open("rb") as held:
        command.kill()  # the import has begun, since somebody has opened the pipe to write
        assert held.read() == b"", "it has ended, since nobody holds the pipe any more"


def test_a_thread_started_at_import_is_named(project: Project) -> None:
    text = "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n"
    root = project({"trigger/a.py": "import watcher\n" + TASK.format(name="a"), "watcher.py": text})
    assert index(root)["threads"] == ["watcher"]
    assert threading.active_count() >= 1


def test_globs_cross_folders_only_with_two_stars() -> None:
    glob = discovery._glob
    assert glob("trigger/*.py").fullmatch("trigger/a.py")
    assert not glob("trigger/*.py").fullmatch("trigger/deep/a.py")
    assert glob("trigger/**/a.py").fullmatch("trigger/a.py")
    assert glob("./trigger/**").fullmatch("trigger/deep/er/a.py")
    assert glob("a?.py").fullmatch("anywhere/ab.py")


def test_an_init_file_is_imported_first(project: Project) -> None:
    tell = "import sys\nfrom triggerdev import task\nsys.order = [*getattr(sys, 'order', []), __name__]\n"
    last = tell + "\n@task(id=','.join(sys.order))\nasync def told(): ...\n"
    root = project(
        {
            "trigger/a.py": tell,
            "trigger/init.py": tell,
            "trigger/deep/init.py": tell,
            "other/b.py": last,
            "other/init.py": tell,
        }
    )
    manifest = index(root, dirs=["./trigger", "./other"])
    (task,) = manifest["tasks"]
    assert task["id"] == "other.init,trigger.init,other.b"
    assert "trigger/init.py" in manifest["files"]


def test_hidden_tasks_are_found_wherever_they_are_made(project: Project) -> None:
    code = """
from triggerdev import task

@task(id="underscore")
async def _hidden(): ...

def make(name):
    @task(id=name)
    async def inner(): ...
    return inner

KEPT = [make("of-a-list"), {"key": make("of-a-dict")}]
make("kept-nowhere")

class Group:
    @task(id="of-a-class")
    async def method(): ...

def never_called():
    make("never-made")
"""
    manifest = index(project({"trigger/a.py": code}))
    names = [task["id"] for task in manifest["tasks"]]
    assert names == ["kept-nowhere", "of-a-class", "of-a-dict", "of-a-list", "underscore"]


def test_a_hook_of_all_tasks_is_reported_once_at_its_place(project: Project) -> None:
    hooks = "from triggerdev import tasks\n\n@tasks.middleware\ndef around(payload): ...\n"
    hooks += "\n@tasks.init\ndef begin(ctx): ...\n\n@tasks.on_wait\ndef odd(foo): ...\n"
    root = project({"trigger/init.py": hooks, "trigger/a.py": TASK.format(name="first")})
    found = {(problem["file"], problem["line"]): problem["message"] for problem in problems(root)}
    assert set(found) == {("trigger/init.py", 3), ("trigger/init.py", 6), ("trigger/init.py", 9)}
    assert found["trigger/init.py", 3].startswith("around() has no parameter 'next'")
    assert "begin() has a parameter 'ctx'" in found["trigger/init.py", 6]
    assert "parameter 'foo'" in found["trigger/init.py", 9]
