"""Writes RELIABILITY.md from the results of the last runs."""

import json
from collections.abc import Mapping
from typing import Any

from tests.reliability.running import REPOSITORY, RESULTS, command
from tests.reliability.scenario import Scenario

_HEAD = """# Reliability

What is promised, what was broken on purpose to see whether it holds, and what was counted. This page is
generated from the results of the last long runs by `scripts/reliability report`; failures are shown as they
are.
"""


def write(scenarios: Mapping[str, Scenario]) -> None:
    """Write the page; a scenario that was never run is named as such."""
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*-long.json"))]
    parts = [_HEAD]
    for name, scenario in scenarios.items():
        parts += [f"## {scenario.title}\n", f"{scenario.promise}\n"]
        results = [each for each in kept if each["scenario"] == name]
        parts += [_section(each) for each in results] or ["Not run.\n"]
    (REPOSITORY / "RELIABILITY.md").write_text("\n".join(parts), encoding="utf-8")


def _section(result: Mapping[str, Any]) -> str:
    again = command(result["scenario"], result["store"], result["tier"], result["seed"])
    lines = [f"{result['store']}, {result['date']}, commit {result['commit']}: `{again}`", ""]
    lines += ["| counted | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in result["figures"].items()]
    lines += ["", *(f"**Failed:** {failure.strip().splitlines()[-1]}" for failure in result["failures"])]
    return "\n".join(lines).rstrip() + "\n"
