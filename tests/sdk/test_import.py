"""`import triggerdev` is quick and loads nothing heavy."""

import subprocess
import sys

import pytest

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
    assert loaded("from triggerdev import task", *_HEAVY) == "[]"


def test_the_sdk_is_loaded_when_a_name_of_it_is_used() -> None:
    assert loaded("import triggerdev.errors", "triggerdev.sdk", "typing") == "['typing']"
    assert loaded("import triggerdev; triggerdev.wait", "triggerdev.sdk") == "['triggerdev.sdk']"
    assert loaded("from triggerdev import *", "triggerdev.sdk") == "['triggerdev.sdk']"


def test_a_name_that_there_is_not_is_an_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'triggerdev' has no attribute 'tsak'"):
        triggerdev.tsak  # type: ignore[attr-defined]  # noqa: B018
    assert "task" in dir(triggerdev)


def loaded(code: str, *names: str) -> str:
    """Run code in an interpreter of its own; gives which of some modules it has loaded."""
    code += f"; import sys; print([name for name in {names!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_every_public_name_exists() -> None:
    assert len(set(triggerdev.__all__)) == len(triggerdev.__all__)
    assert [name for name in triggerdev.__all__ if not hasattr(triggerdev, name)] == []


def test_everything_public_is_documented() -> None:
    from triggerdev import batch, logger, retry, runs, schedules, tasks, usage, wait

    for module in (batch, logger, retry, runs, schedules, tasks, usage, wait):
        undocumented = [name for name in module.__all__ if not getattr(module, name).__doc__]
        assert undocumented == []
