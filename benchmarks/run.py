"""Measure triggerdev, and Celery with Redis beside it in the same run: `python -m benchmarks.run`."""

import argparse

from benchmarks import measure, peers

GOALS = {
    "runs_per_second": (3000.0, "runs/s, 5,000 no-op runs triggered in batches over HTTP until complete"),
    "triggers_per_second": (1000.0, "triggers/s, asyncio.gather of 1,000 `tasks.trigger` in one process"),
    "latency_ms": (5.0, "ms from one trigger to its result, idle system, median of 300"),
    "reload_ms": (300.0, "ms from saving a file to a completed run of the new code, median of 15"),
    "help_ms": (200.0, "ms for `trigger --help`, whole process, median of 9"),
    "import_ms": (100.0, "ms for `import triggerdev` beyond a bare interpreter, median of 9"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="measure triggerdev alone")
    arguments = parser.parse_args()
    ours = measure.all_figures(arguments.repetitions)
    theirs = {} if arguments.no_peers else measure_peers(arguments.repetitions)
    for name, (goal, text) in GOALS.items():
        better = ours[name] >= goal if name.endswith("_per_second") else ours[name] <= goal
        verdict = "met" if better else "MISSED"
        print(f"{ours[name]:10,.1f}  goal {goal:>7,.0f} {verdict:6}  {text}")
        for peer, figures in theirs.items():
            if name in figures:
                ratio = ours[name] / figures[name]
                print(f"{figures[name]:10,.1f}  ratio {ratio:.2f}  {peer}")


def measure_peers(repetitions: int) -> dict[str, dict[str, float]]:
    """Measure Celery with both kinds of durability."""
    figures = {
        "Celery 5.7, Redis with fsync of each write": peers.celery("aof", repetitions),
        "Celery 5.7, Redis with Debian's defaults (not crash durable)": peers.celery("rdb", repetitions),
    }
    figures["Celery 5.7, Redis with fsync of each write"]["help_ms"] = peers.celery_help()
    return figures


if __name__ == "__main__":
    main()
