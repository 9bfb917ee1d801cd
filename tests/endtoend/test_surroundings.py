"""Secrets in the environment, odd time zones, hundreds of schedules, thousands of parked runs."""

import asyncio
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dev.kit import start
from tests.endtoend.conftest import Project, happened

CANARIES = ["canary1dotenv", "canary2environment", "tr_dev_canary3key"]
SECRETS = """
from triggerdev import runs

@task(id="seeing")
async def seeing():
    return [os.environ["FROM_FILE"][-6:], os.environ["FROM_SHELL"][-6:]]

@task(id="seeing-sync", retry=Retry(max_attempts=1))
def seeing_sync():
    program = subprocess.run(["sh", "-c", "sleep 0.2; exit 3"])
    raise ValueError(f"program ended with {program.returncode}")

@task(id="calling", retry=Retry(max_attempts=1))
async def calling():
    try:
        await runs.retrieve("run_that_is_not_there")
    except Exception as error:
        print("refused:", error)
        raise
"""


async def test_no_secret_is_shown_stored_or_in_an_argument(project: Callable[..., Project]) -> None:
    made = project(SECRETS, {".env": f"FROM_FILE={CANARIES[0]}\n"})
    env = {**made.env, "FROM_SHELL": CANARIES[1], "TRIGGER_SECRET_KEY": CANARIES[2]}
    async with start(made.root, env=env) as dev:
        api = dev.api()
        assert dev.env_file()["TRIGGER_SECRET_KEY"] == CANARIES[2]
        assert await api.output("seeing") == ["dotenv", "onment"]
        runs = [await api.trigger(name) for name in ("seeing-sync", "calling")]
        arguments = {(Path("/proc") / str(pid) / "cmdline").read_bytes() for pid in dev.pids()}
        assert {(await api.result(run))["status"] for run in runs} == {"FAILED"}
        made.write("trigger/tasks.py", "import os\nraise ValueError(len(os.environ['FROM_FILE']))")
        await dev.line("load_failed")

    shown = repr(dev.lines) + dev.errors
    state = [path for path in (made.root / ".trigger").rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in state if path.name not in ("dev.env", "dev.key"))
    assert b"run_that_is_not_there" in stored  # it is the right file that was read
    for canary in CANARIES:
        assert canary not in shown
        assert canary.encode() not in stored
        assert not any(canary.encode() in each for each in arguments)
    for name in ("dev.env", "dev.key"):
        path = made.root / ".trigger" / name
        assert not path.exists() or path.stat().st_mode & 0o077 == 0, name


CLOCK = """
from datetime import UTC, datetime, timedelta

@task(id="clock")
async def clock(ctx: Context):
    started = time.time()
    await wait.until(datetime.now(UTC) + timedelta(seconds=0.5))
    await wait.for_(seconds=0.3)
    return [time.time() - started, ctx.run.started_at.tzinfo is not None]
"""


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "QQQ-25:99"])
async def test_the_clock_does_not_depend_on_the_time_zone(project: Callable[..., Project], zone: str) -> None:
    made = project(CLOCK)
    async with start(made.root, env={**made.env, "TZ": zone}) as dev:
        took, has_zone = await dev.api().output("clock")
        assert 0.8 <= took < 5
        assert has_zone
        assert all(line["at"].endswith("Z") for line in dev.lines)


SCHEDULES = """
from triggerdev import schedules

def make(n):
    @schedules.task(id=f"minutely-{n}", cron="* * * * *")
    async def minutely(payload: schedules.Payload):
        return payload.timestamp.isoformat()

for n in range(200):
    make(n)

@task(id="plain")
async def plain():
    return "ok"
"""


async def test_two_hundred_schedules(project: Callable[..., Project]) -> None:
    made = project(SCHEDULES)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        assert await api.output("plain") == "ok"
        page = await api.call("GET", "/api/v1/schedules?perPage=100&page=2")
        assert (page["pagination"]["count"], len(page["data"])) == (200, 100)


CROWD = """
@task(id="napping")
def napping(payload: int):
    time.sleep(0.1)
    return payload

@task(id="waiting")
def waiting(payload: int):
    wait.sync.for_(seconds=0.1)
    return payload
"""


async def test_too_few_files_delay_runs_and_lose_none(project: Callable[..., Project]) -> None:
    made = project(CROWD)
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        used = len(list((Path("/proc") / str(dev.process.pid) / "fd").iterdir()))
        resource.prlimit(dev.process.pid, resource.RLIMIT_NOFILE, (used + 8, used + 8))
        runs = [await api.trigger(name, n + 1) for n in range(10) for name in ("napping", "waiting")]
        warning = await dev.line("warning")
        assert "Too many open files" in warning["text"]
        assert [(await api.result(run))["output"] for run in runs] == [
            n + 1 for n in range(10) for _ in range(2)
        ]


MANY = 5000
SLEEPING = """
@task(id="sleeping")
async def sleeping(payload: int):
    await wait.for_(hours=1)

@task(id="fan-out")
async def fan_out(payload: int):
    for _ in range(payload // 500):
        await sleeping.batch_trigger([{"payload": n} for n in range(500)])

@task(id="plain")
async def plain():
    return os.getpid()
"""


def memory(pid: int) -> int:
    """Read the private memory of a process, in KB."""
    text = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
    return sum(int(size) for size in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE))


async def test_five_thousand_parked_runs(project: Callable[..., Project]) -> None:
    made = project(SLEEPING, config="[dev]\nevict_after = 0\n")
    async with start(made.root, env=made.env) as dev:
        api = dev.api()
        worker = await api.output("plain")
        before = {pid: memory(pid) for pid in (worker, dev.process.pid)}
        await api.output("fan-out", MANY)
        await happened(dev, "waiting", MANY)
        in_worker, in_engine = [(memory(pid) - size) / MANY for pid, size in before.items()]
        assert in_worker < 25, "KB for each parked run"
        assert in_engine < 8, "KB for each parked run"
        async with asyncio.timeout(2):  # it is not slowed down
            assert await api.output("plain") == worker
