"""A project folder for each test, and how it is loaded."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from triggerdev.config import LoadedConfig, load_config
from triggerdev.errors import ConfigError

Load = Callable[..., LoadedConfig]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Write a configuration, with its project key unless it has one, and load it."""
    monkeypatch.chdir(tmp_path)

    def write_and_load(text: str, env_name: str = "dev", **environ: str) -> LoadedConfig:
        if "project" not in text:
            text = 'project = "p"\n' + text
        (tmp_path / "trigger.config.toml").write_text(text, encoding="utf-8")
        variables: Mapping[str, str] = environ
        return load_config(tmp_path, env_name=env_name, environ=variables)

    return write_and_load


@pytest.fixture
def mistakes(load: Load) -> Mistakes:
    """Load a configuration that is wrong, and list "line:column message" of each mistake."""

    def gather(text: str, env_name: str = "dev", **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, env_name, **environ)
        return [f"{one.line}:{one.column} {one.message}" for one in caught.value.diagnostics]

    return gather
