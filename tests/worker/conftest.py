"""Fixtures: projects in temporary folders, supervisors that leave no process."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.worker.bench import Bench, write

Project = Callable[[dict[str, str]], Path]
StartBench = Callable[..., Any]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Write a project's files; returns its root."""

    def make(files: dict[str, str]) -> Path:
        root = tmp_path / "project"
        root.mkdir(exist_ok=True)
        write(root, files)
        return root

    return make


@pytest.fixture
async def start_bench() -> AsyncIterator[StartBench]:
    """Start supervisors; at the end each is stopped, and no process of it may be left."""
    benches: list[Bench] = []

    async def start(root: Path, **options: Any) -> Bench:
        bench = Bench(root, **options)
        benches.append(bench)
        await bench.supervisor.start()
        return bench

    yield start
    for bench in benches:
        await bench.stop()
        assert not list(bench.root.rglob("__pycache__")), "the worker has written .pyc files into the project"
