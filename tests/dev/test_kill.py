"""kill -9 of `trigger dev` loses nothing, does nothing twice, and leaves no process."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.dev.kit import Api, Dev, gone, start

QUEUED, WAITING, EXECUTING, SECONDS = 200, 20, 10, 6.0


async def test_kill_and_restart(copy_of: Callable[[str], Path]) -> None:
    project = copy_of("ledger")
    ledger, release = project / "ledger.txt", project / "release"
    env = {"LEDGER": str(ledger), "RELEASE": str(release)}

    # Given 200 runs in a queue, 20 that wait (half of them plain functions) and 10 that execute
    async with start(project, env=env) as first:
        api = first.api()
        queued, waiting, executing = await _trigger_all(api)
        await asyncio.gather(*(api.until(each, lambda run: run["status"] == "WAITING") for each in waiting))
        await asyncio.gather(*(_begun(first, each) for each in executing))
        # When the process is killed, nothing of it is left
        gone(await first.kill(), seconds=3)
    release.touch()

    # Then, after a new start, every run reaches its end
    async with start(project, env=env) as second:
        api = second.api()
        runs = await asyncio.gather(*(api.result(each) for each in (*queued, *waiting, *executing)))
        assert Counter(run["status"] for run in runs) == {"COMPLETED": QUEUED + WAITING + EXECUTING}
        assert {run["attemptCount"] for run in runs} == {1}  # the same attempts have gone on
        assert [run["output"] for run in runs] == _expected()
        await _each_child_once(api)
        _each_end_once([*first.lines, *second.lines], [*queued, *waiting, *executing])
    _no_wait_ended_early(ledger, waiting)


async def _trigger_all(api: Api) -> tuple[list[str], list[str], list[str]]:
    executing = [await api.trigger("executing", {"n": n}) for n in range(EXECUTING)]
    names = ("waiting", "waiting-blocking")
    waiting = [await api.trigger(names[n % 2], {"n": n, "seconds": SECONDS}) for n in range(WAITING)]
    queued = [await api.trigger("queued", {"n": n}) for n in range(QUEUED)]
    return queued, waiting, executing


def _expected() -> list[int]:
    return [*range(QUEUED), *(2 * n for n in range(WAITING)), *range(EXECUTING)]


async def _begun(dev: Dev, run: str) -> None:
    await dev.line("run", lambda line: line["run"] == run and line["event"] == "started")


async def _each_child_once(api: Api) -> None:
    children: list[Any] = []
    page = await api.call("GET", "/api/v1/runs?filter[taskIdentifier]=child&page[size]=100")
    children.extend(page["data"])
    assert len(children) == WAITING + EXECUTING
    assert {child["status"] for child in children} == {"COMPLETED"}


def _each_end_once(lines: list[dict[str, Any]], runs: list[str]) -> None:
    ends = Counter(line["run"] for line in lines if line["type"] == "run" and line["event"] == "finished")
    assert all(ends[run] <= 1 for run in runs)


def _no_wait_ended_early(ledger: Path, waiting: list[str]) -> None:
    begun: dict[str, int] = {}
    woken: dict[str, int] = {}
    for line in ledger.read_text(encoding="utf-8").splitlines():
        run, _, what, at = line.split()
        if what == "wait":
            begun.setdefault(run, int(at))
        elif what == "woken":
            woken.setdefault(run, int(at))
    for run in waiting:
        assert woken[run] - begun[run] >= SECONDS * 1e9 * 0.999
