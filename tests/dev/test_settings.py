"""What the engine of `trigger dev` is told of the config."""

from pathlib import Path

import pytest

from triggerdev.config import load_config
from triggerdev.dev import settings
from triggerdev.engine.commands.retention import Retention

HOUR, DAY = 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Retention(None, None)),
        ('retention.runs = "30d"\nretention.logs = "90s"', Retention(30 * DAY, 90_000)),
        ('retention.runs = "5m"', Retention(HOUR, None)),
    ],
)
def test_how_long_things_are_kept(tmp_path: Path, text: str, expected: Retention) -> None:
    path = tmp_path / "trigger.config.toml"
    path.write_text(f'project = "p"\n{text}\n', encoding="utf-8")
    assert settings.retention(load_config(path, env_name="dev", environ={})) == expected
