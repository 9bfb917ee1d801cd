"""Runs one scenario, prints what it counted, and keeps the result for the report."""

import json
import shutil
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path

from tests.reliability import machine
from tests.reliability.scenario import Plan, Report, Scenario, Tier

REPOSITORY = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results"  # of long runs, kept with the code: the page is made of them


def run(scenario: Scenario, store: str, tier: Tier, seed: int) -> bool:
    """Run a scenario; true if every promise was kept. The result of a long one is kept for the report."""
    print(f"== {scenario.name} on {store} ({tier}, seed {seed}): {scenario.title}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="triggerdev-reliability-"))
    began = time.monotonic()
    try:
        report = scenario.run(Plan(store, tier, seed, folder))
    except Exception:
        report = Report(failures=[traceback.format_exc()])
    report.figures["seconds"] = round(time.monotonic() - began, 1)
    for name, value in report.figures.items():
        print(f"   {name}: {value}")
    if report.failures:
        for failure in report.failures:
            print(f"   FAILED: {failure}")
        print(f"   to repeat: {command(scenario.name, store, tier, seed)}; what is left: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    if tier == "long":
        _keep(scenario, store, tier, seed, report)
    return not report.failures


def command(name: str, store: str, tier: str, seed: int) -> str:
    """Give the command that repeats a run."""
    return f"scripts/reliability {name} --store {store} --tier {tier} --seed {seed}"


def _keep(scenario: Scenario, store: str, tier: Tier, seed: int, report: Report) -> None:
    RESULTS.mkdir(exist_ok=True)
    kept = {
        "scenario": scenario.name,
        "store": store,
        "tier": tier,
        "seed": seed,
        "commit": machine.commit(REPOSITORY),
        "machine": machine.describe(store),
        "date": datetime.now(UTC).date().isoformat(),
        "figures": report.figures,
        "failures": report.failures,
    }
    path = RESULTS / f"{scenario.name}-{store}-{tier}.json"
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
