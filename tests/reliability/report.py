"""Writes RELIABILITY.md from the results of the last long runs."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.reliability.running import REPOSITORY, RESULTS, command
from tests.reliability.scenario import Scenario

PAGE = REPOSITORY / "RELIABILITY.md"
_TEXTS = Path(__file__).parent

_EXCEPTION = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)(: |$)")

Result = Mapping[str, Any]


def write(scenarios: Mapping[str, Scenario], results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the page; what was never run is named as such."""
    page.write_text(render(scenarios, results), encoding="utf-8")


def render(scenarios: Mapping[str, Scenario], results: Path) -> str:
    """Make the page from the results in a folder."""
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*-long.json"))]
    by_name = {name: _of(kept, scenario) for name, scenario in scenarios.items()}
    parts = [_text("head"), "## Summary\n", *_summary(scenarios, by_name)]
    for name, scenario in scenarios.items():
        parts += _section(scenario, by_name[name])
    return "\n".join([*parts, _text("tail")])


def _text(name: str) -> str:
    return (_TEXTS / f"report_{name}.md").read_text(encoding="utf-8")


def _of(kept: list[Result], scenario: Scenario) -> dict[str, Result]:
    """Give a scenario's results by store, in the order of its stores."""
    found = {each["store"]: each for each in kept if each["scenario"] == scenario.name}
    return {store: found[store] for store in scenario.stores if store in found}


def _summary(scenarios: Mapping[str, Scenario], by_name: Mapping[str, dict[str, Result]]) -> Iterator[str]:
    yield "| scenario | store | outcome |"
    yield "|---|---|---|"
    for name, scenario in scenarios.items():
        for store in scenario.stores:
            link = f"[{scenario.title}](#{_anchor(scenario.title)})"
            yield f"| {link} | {store} | {_outcome(by_name[name].get(store))} |"
    yield ""


def _anchor(title: str) -> str:
    """Give the name under which a heading can be linked to."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _outcome(result: Result | None) -> str:
    if result is None:
        return "not run"
    return f"**failed** ({len(result['failures'])})" if result["failures"] else "held"


def _section(scenario: Scenario, results: Mapping[str, Result]) -> Iterator[str]:
    yield f"## {scenario.title}\n"
    yield f"Promised: {scenario.promise}\n"
    if scenario.done:
        yield f"Done: {scenario.done}\n"
    if not results:
        yield "Not run.\n"
        return
    yield from _table(results)
    for store, result in results.items():
        yield from (f"**Failed on {store}:** {_headline(failure)}\n" for failure in result["failures"])
    for store, result in results.items():
        again = command(scenario.name, store, result["tier"], result["seed"])
        where = result.get("machine", "an unknown machine")
        yield f"* {store}: {result['date']}, commit {result['commit']}, {where}\n  `{again}`"
    yield ""


def _table(results: Mapping[str, Result]) -> Iterator[str]:
    yield f"| counted | {' | '.join(results)} |"
    yield f"|---|{'---:|' * len(results)}"
    names = dict.fromkeys(name for result in results.values() for name in result["figures"])
    for name in names:
        cells = [_figure(result["figures"].get(name)) for result in results.values()]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _figure(value: float | str | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:,}"


def _headline(failure: str) -> str:
    """Give the line of a failure that says what it is."""
    lines = [line.strip(" |+-") for line in failure.splitlines()]
    told = [line for line in lines if line]
    if "Traceback" not in told[0]:
        return told[0]
    return next((line for line in reversed(told) if _EXCEPTION.match(line)), told[-1])
