"""RELIABILITY.md is made from results and says what they say, failures too."""

import json
from pathlib import Path
from typing import Any

from tests.reliability import report, running
from tests.reliability.scenario import Plan, Report, Scenario
from tests.reliability.scenarios import load_all


def _run(plan: Plan) -> Report:
    raise AssertionError(f"a report runs nothing: {plan}")


KILLS = Scenario(
    "kills", "kill -9 of all", "Nothing is lost.", ("sqlite", "postgres"), _run, "All is killed."
)
CLOCKS = Scenario("clocks", "Clocks that jump", "No wait ends early.", ("sqlite",), _run)
SCENARIOS = {"clocks": CLOCKS, "kills": KILLS}


def keep(folder: Path, store: str, tier: str, figures: dict[str, Any], *failures: str) -> None:
    kept = {
        "scenario": "kills",
        "store": store,
        "tier": tier,
        "seed": 7,
        "commit": "abc1234",
        "date": "2026-01-02",
        "machine": "2 cores",
        "figures": figures,
        "failures": list(failures),
    }
    (folder / f"kills-{store}-{tier}.json").write_text(json.dumps(kept), encoding="utf-8")


def test_the_page_has_what_was_counted(tmp_path: Path) -> None:
    keep(tmp_path, "sqlite", "long", {"runs": 20_000, "lost": 0})
    keep(tmp_path, "postgres", "long", {"runs": 10_000, "lost": 1, "late": 0.5}, "lost: 1, not 0\nits story")
    keep(tmp_path, "sqlite", "short", {"runs": 5})
    page = tmp_path / "RELIABILITY.md"
    report.write(SCENARIOS, tmp_path, page)
    text = page.read_text(encoding="utf-8")
    assert text == report.render(SCENARIOS, tmp_path)
    for line in (
        "| [kill -9 of all](#kill--9-of-all) | sqlite | held |",
        "| [kill -9 of all](#kill--9-of-all) | postgres | **failed** (1) |",
        "| [Clocks that jump](#clocks-that-jump) | sqlite | not run |",
        "Promised: Nothing is lost.",
        "Done: All is killed.",
        "| counted | sqlite | postgres |",
        "| runs | 20,000 | 10,000 |",
        "| late |  | 0.5 |",
        "**Failed on postgres:** lost: 1, not 0",
        "* sqlite: 2026-01-02, commit abc1234, 2 cores",
        "  `scripts/reliability kills --store sqlite --tier long --seed 7`",
    ):
        assert line in text.splitlines(), line
    assert "its story" not in text


def test_the_end_of_a_traceback_says_what_it_is(tmp_path: Path) -> None:
    keep(tmp_path, "sqlite", "long", {}, "Traceback (most recent call last):\n  File ...\nValueError: no\n")
    assert "**Failed on sqlite:** ValueError: no" in report.render(SCENARIOS, tmp_path)
    group = (
        "  + Exception Group Traceback (most recent call last):\n  |  ...\n    | KeyError: 1\n    +-----\n"
    )
    keep(tmp_path, "sqlite", "long", {}, group)
    assert "**Failed on sqlite:** KeyError: 1" in report.render(SCENARIOS, tmp_path)


def test_the_page_of_this_repository_was_generated() -> None:
    page = report.PAGE.read_text(encoding="utf-8")
    assert page == report.render(load_all(), running.RESULTS)
