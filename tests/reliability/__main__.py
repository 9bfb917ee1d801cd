"""Run scenarios by name: `python -m tests.reliability worker-kills --store postgres --tier long --seed 7`.

Without names, all of them. Results of the long tier are kept in `results/`; `report` makes RELIABILITY.md
of them.
"""

import argparse
import random
import sys

from tests.reliability import report, running
from tests.reliability.scenarios import load_all


def main() -> int:
    scenarios = load_all()
    options = _options([*scenarios, "report"])
    if options.names == ["report"]:
        report.write(scenarios)
        return 0
    chosen = [scenarios[name] for name in options.names or scenarios]
    seed = options.seed or random.SystemRandom().randrange(1, 2**32)
    outcomes = [
        running.run(scenario, store, options.tier, seed)
        for scenario in chosen
        for store in scenario.stores
        if options.store in (None, store)
    ]
    return 0 if all(outcomes) else 1


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/reliability", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME", help=", ".join(names))
    parser.add_argument("--store", choices=("memory", "sqlite", "postgres"), help="only on this store")
    parser.add_argument("--tier", choices=("short", "long"), default="short")
    parser.add_argument("--seed", type=int, help="repeat a run; without it, a new one")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
