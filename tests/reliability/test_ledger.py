"""Reading the ledger: what a kill has cut short is left out, and nothing else."""

from pathlib import Path

import pytest

from tests.reliability import ledger
from tests.reliability.ledger import Entry

WHOLE = Entry(10060581459849, 1795788747532631219, 30444, "run_b", 1, 1, "begin")
KILLED = Entry(10060581459000, 1795788747532630000, 30597, "-", 0, 0, ledger.KILLED)
TORN = [
    "10060543996405 1795788747495167278 30597 run_a12",
    "10060543996405 1795788747495167278 30597 run_a 1 2",
]


@pytest.mark.parametrize("torn", TORN)
def test_the_line_behind_one_that_a_kill_has_cut_short_is_read(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "ledger"
    path.write_text(KILLED.text() + torn + WHOLE.text())
    assert ledger.read(path) == [KILLED, WHOLE]


@pytest.mark.parametrize("torn", TORN)
def test_a_line_that_is_cut_short_without_a_kill_is_an_error(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "ledger"
    path.write_text(torn + WHOLE.text())
    with pytest.raises(ValueError, match=r"30597.*nobody killed"):
        ledger.read(path)


def test_other_lines_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_text("what is this\n")
    with pytest.raises(ValueError, match="not enough values"):
        ledger.read(path)
