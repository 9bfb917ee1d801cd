"""Which files are watched, also while folders come and go."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from triggerdev.dev.watching import Watcher


async def test_a_folder_that_vanishes_while_it_is_listed_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, vanishing = tmp_path / "trigger", tmp_path / "trigger" / "old"
    vanishing.mkdir(parents=True)
    (tasks / "a.py").touch()
    listed = Path.iterdir

    def iterdir(folder: Path) -> Iterator[Path]:
        if folder == vanishing and folder.exists():
            folder.rmdir()  # by another program, after it was found
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    watcher = Watcher(tmp_path, debounce_ms=10)
    watcher.snapshot()
    watcher.watch([], [tasks])
    changes = watcher.changes()
    (tasks / "a.py").write_text("x = 1\n")
    assert await anext(changes) == [tasks / "a.py"]
    await changes.aclose()  # type: ignore[attr-defined]  # it is an async generator
