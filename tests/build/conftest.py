from pathlib import Path

import pytest

from tests.build.support import TASK, Project
from triggerdev.build import source, tasks
from triggerdev.protocol import Manifest

MANIFEST: Manifest = {
    "tasks": [
        {"id": "hello", "file": "trigger/hello.py", "line": 4, "kind": "sync", "queue": {"name": "post"}}
    ],
    "queues": [],
    "files": ["trigger/hello.py"],
    "packages": [],
    "threads": [],
    "hash": "0",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with one task, whose index is known, so that no process needs to be started.

    Of the runtime's files only two are copied; tests of the command have them all.
    """
    few = source.runtime_files()[:2]
    monkeypatch.setattr(source, "runtime_files", lambda: few)
    monkeypatch.setattr(tasks, "index", lambda _: MANIFEST)
    made = Project(tmp_path / "project")
    made.write("trigger/hello.py", TASK)
    made.config()
    return made
