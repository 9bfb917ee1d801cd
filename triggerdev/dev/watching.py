"""Watching a project's files: what was imported, task folders, config, env files, additional files."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

_SKIPPED = frozenset({"__pycache__", "node_modules", ".git", ".venv", "venv", ".trigger", ".mypy_cache"})
_STEP_MS = 5
# Looked at without a notification, too: before the first one can come, and on file systems that send none.
_LOOK_ANYWAY_MS = 500


class Watcher:
    """Tells which watched files have changed since the last snapshot; no change is missed."""

    def __init__(self, root: Path, debounce_ms: int) -> None:
        self._root = root
        self._debounce_ms = max(debounce_ms, _STEP_MS)
        self._files: set[Path] = set()
        self._folders: set[Path] = set()
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._snapshot_at = 0
        self._watching: set[Path] = set()
        self._restart = asyncio.Event()
        self._is_asked = False

    def ask(self) -> None:
        """Have `changes` yield soon, also if no file has changed."""
        self._is_asked = True

    def snapshot(self) -> None:
        """Remember the files as they are now; to be called before they are read."""
        self._snapshot_at = time.time_ns()
        self._seen = _states(self._candidates())

    def watch(self, files: Iterable[Path], folders: Iterable[Path]) -> None:
        """Set what is watched: single files, and every `.py` file below folders."""
        self._files = set(files)
        self._folders = set(folders)
        for path, state in _states(self._candidates()).items():
            if path not in self._seen and state[0] < self._snapshot_at:
                self._seen[path] = (
                    state  # a newly found file; one written since the snapshot counts as changed
                )
        if self._watched_folders() != self._watching:
            self._restart.set()

    async def changes(self) -> AsyncIterator[list[Path]]:
        """Yield lists of changed files, sorted, each list after a short quiet time."""
        while True:
            self._restart.clear()
            async for _ in self._notifications():
                changed, asked = self._changed(), self._is_asked
                self._is_asked = False
                if changed or asked:
                    yield changed
                if self._watched_folders() != self._watching:
                    self._restart.set()

    def _notifications(self) -> AsyncIterator[object]:
        import watchfiles

        self._watching = self._watched_folders()
        return watchfiles.awatch(
            *sorted(self._watching),
            recursive=False,
            debounce=self._debounce_ms,
            step=_STEP_MS,
            stop_event=self._restart,
            rust_timeout=_LOOK_ANYWAY_MS,
            yield_on_timeout=True,
            watch_filter=None,
        )

    def _changed(self) -> list[Path]:
        now = _states(self._candidates())
        changed = self._seen.keys() ^ now.keys()
        changed |= {path for path, state in now.items() if self._seen.get(path, state) != state}
        self._seen = now
        return sorted(changed)

    def _candidates(self) -> set[Path]:
        return self._files | {
            path for folder in self._subfolders() for path in folder.glob("*.py") if path.is_file()
        }

    def _watched_folders(self) -> set[Path]:
        folders = self._subfolders() | {path.parent for path in self._files} | {self._root}
        return {folder for folder in folders if folder.is_dir()}

    def _subfolders(self) -> set[Path]:
        found: set[Path] = set()
        todo = [folder for folder in self._folders if folder.is_dir()]
        while todo:
            folder = todo.pop()
            if folder not in found:
                found.add(folder)
                todo.extend(_folders_in(folder))
        return found


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if _is_watched_folder(each)]
    except OSError:  # deleted meanwhile, or not ours to read: then it has no task files either
        return []


def _is_watched_folder(path: Path) -> bool:
    return path.name not in _SKIPPED and not path.name.startswith(".") and path.is_dir()


def _states(paths: Iterable[Path]) -> dict[Path, tuple[int, int, int]]:
    states = {}
    for path in paths:
        try:
            stat = path.stat()
        except OSError:
            continue
        states[path] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return states
