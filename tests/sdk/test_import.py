"""`import triggerdev` is quick and loads nothing heavy."""

import subprocess
import sys

import triggerdev

_HEAVY = (
    "asyncio",
    "pydantic",
    "httpx",
    "fastapi",
    "rich",
    "docker",
    "jinja2",
    "uvicorn",
    "typer",
    "cronsim",
)


def test_importing_loads_nothing_heavy() -> None:
    code = f"import sys, triggerdev; print([name for name in {_HEAVY!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_public_name_exists() -> None:
    assert len(set(triggerdev.__all__)) == len(triggerdev.__all__)
    assert [name for name in triggerdev.__all__ if not hasattr(triggerdev, name)] == []


def test_everything_public_is_documented() -> None:
    from triggerdev import batch, logger, retry, runs, schedules, tasks, usage, wait

    for module in (batch, logger, retry, runs, schedules, tasks, usage, wait):
        undocumented = [name for name in module.__all__ if not getattr(module, name).__doc__]
        assert undocumented == []
