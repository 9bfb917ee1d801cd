"""`.env` files: order, quotes, and lines that cannot be read."""

from pathlib import Path

import pytest

from triggerdev.config import load_env_files
from triggerdev.errors import ConfigError


def test_later_files_win_and_the_real_environment_wins_over_all(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nB=1\nC=1\n")
    (tmp_path / ".env.local").write_text("B=2\nC=2\n")
    assert load_env_files(tmp_path, None, {"C": "3"}) == {"A": "1", "B": "2", "C": "3"}


def test_files_that_are_named_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=default\n")
    for name in ("x", "y"):
        (tmp_path / name).write_text(f"A={name}\n")
    assert load_env_files(tmp_path, [Path("y"), tmp_path / "x"], {}) == {"A": "x"}
    with pytest.raises(ConfigError, match=r"env file .*/z does not exist"):
        load_env_files(tmp_path, [Path("z")], {})


def test_the_forms_of_a_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        """# comment
export A=plain # comment
B="quoted # no comment\\tand\\nescapes"
C='literal ${A}\\n'
D="first
second"
E=${A}-${NOT_SET:-default}-${NOT_SET}
F=
G=a#b=c
  H = spaced
"""
    )
    assert load_env_files(tmp_path, None, {}) == {
        "A": "plain",
        "B": "quoted # no comment\tand\nescapes",
        "C": "literal ${A}\\n",
        "D": "first\nsecond",
        "E": "plain-default-",
        "F": "",
        "G": "a#b=c",
        "H": "spaced",
    }


def test_lines_that_cannot_be_read_are_told_without_their_values(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('A=1\n\nB="s3cret\nC D=s3cret\n')
    with pytest.raises(ConfigError) as caught:
        load_env_files(tmp_path, None, {})
    assert [one.line for one in caught.value.diagnostics] == [3, 4]
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"A=\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_env_files(tmp_path, None, {})
