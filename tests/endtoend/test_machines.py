"""Runs that take their process with them, beside twenty others that notice nothing, under `trigger dev`."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.dev.kit import PATIENCE, Api, clean_environment, start
from tests.endtoend.conftest import Project
from triggerdev.worker.confining import can_limit_data

BESIDE = """
import asyncio, ctypes, os, socket
from triggerdev import Context, Machine, OutOfMemoryError, Retry, task

GATE = int(os.environ["GATE"])
once = Retry(max_attempts=1)
micro = Machine("micro")


async def pass_gate(ctx):
    reader, writer = await asyncio.open_connection("127.0.0.1", GATE)
    writer.write(f"{ctx.run.id}\\n".encode())
    await reader.readline()
    writer.close()


@task(id="beside", machine=micro)
async def beside(payload: int, ctx: Context):
    await pass_gate(ctx)
    return [payload * 2, ctx.attempt.number]


@task(id="beside-elsewhere")
async def beside_elsewhere(payload: int, ctx: Context):
    await pass_gate(ctx)
    return [payload * 2, ctx.attempt.number]


@task(id="beside-plain", machine=micro)
def beside_plain(payload: int, ctx: Context):
    with socket.create_connection(("127.0.0.1", GATE)) as connection:
        connection.sendall(f"{ctx.run.id}\\n".encode())
        connection.recv(1)
    return [payload * 2, ctx.attempt.number]


@task(id="runaway-too", machine=micro, max_duration=2, retry=once)
async def runaway_too():
    while True:
        pass


@task(id="hog", machine=micro, retry=once)
def hog():
    return len(bytearray(2 << 30))


@task(id="hog-too", machine=micro, retry=once)
async def hog_too():
    return len(bytearray(2 << 30))


@task(id="segfault", machine=micro, retry=once)
def segfault():
    ctypes.string_at(0)


@task(id="segfault-too", machine=micro, retry=once)
async def segfault_too():
    ctypes.string_at(0)


@task(id="grows", machine=micro, retry=Retry(min_timeout_in_ms=1, out_of_memory={"machine": "small-2x"}))
def grows(ctx: Context):
    return [len(bytearray(400 << 20)) >> 20, ctx.machine.preset, ctx.attempt.number]


@task(id="says-so", retry=Retry(min_timeout_in_ms=1, out_of_memory={"machine": "large-1x"}))
async def says_so(ctx: Context):
    if ctx.machine.memory < 8:
        raise OutOfMemoryError("the model does not fit")
    return [ctx.machine.preset, ctx.attempt.number]


@task(id="crashes-once", retry=Retry(max_attempts=2, min_timeout_in_ms=1))
def crashes_once(ctx: Context):
    if ctx.attempt.number == 1:
        os._exit(3)
    return ctx.attempt.number
"""


class Gate:
    """A door at which runs knock and wait until it is opened, for them and for all until it is closed."""

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self._open = asyncio.Event()
        self._knocked = asyncio.Condition()
        self._visits: list[asyncio.Task[None] | None] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._visits.append(asyncio.current_task())
        run = (await reader.readline()).decode().strip()
        async with self._knocked:
            self.runs.add(run)
            self._knocked.notify_all()
        await self._open.wait()
        writer.write(b"\n")
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)  # it may be gone

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                self.open()
                await asyncio.gather(*filter(None, self._visits))

    async def until(self, runs: list[str]) -> None:
        """Wait until all of these runs have knocked: they execute."""
        async with self._knocked, asyncio.timeout(PATIENCE):
            await self._knocked.wait_for(lambda: self.runs >= set(runs))

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.clear()


async def start_others(api: Api) -> list[str]:
    names = ["beside"] * 10 + ["beside-elsewhere"] * 5 + ["beside-plain"] * 5
    return [await api.trigger(name, number) for number, name in enumerate(names, 1)]


async def assert_undisturbed(api: Api, others: list[str]) -> None:
    for number, run in enumerate(others, 1):
        ended = await api.result(run)
        assert (ended["status"], ended["output"], ended["attemptCount"]) == ("COMPLETED", [number * 2, 1], 1)


def seed_with_more(copy_of: Callable[[str], Path]) -> Path:
    root = copy_of("seed")
    (root / "trigger" / "beside.py").write_text(BESIDE)
    return root


Culprit = tuple[str, str, str]
PLAIN = [
    ("runaway", "TIMED_OUT", "max_duration of 5 s"),
    ("hog", "CRASHED", "micro has 256 MB"),
    ("segfault", "CRASHED", "SIGSEGV"),
]
COROUTINES = [
    ("runaway-too", "TIMED_OUT", "max_duration of 2 s"),
    ("hog-too", "CRASHED", "micro has 256 MB"),
    ("segfault-too", "CRASHED", "SIGSEGV"),
]


@pytest.mark.skipif(not can_limit_data(), reason="this system bounds no memory")
@pytest.mark.parametrize("culprits", [PLAIN, COROUTINES], ids=["plain", "coroutines"])
async def test_one_ends_and_twenty_others_do_not_notice(
    copy_of: Callable[[str], Path], culprits: list[Culprit]
) -> None:
    gate = Gate()
    async with gate.listening() as port, start(seed_with_more(copy_of), env={"GATE": str(port)}) as dev:
        api = dev.api()
        for task, status, message in culprits:
            gate.close()
            others = await start_others(api)
            await gate.until(others)
            ended = await api.result(await api.trigger(task))
            assert (ended["status"], ended["attemptCount"]) == (status, 1), ended
            assert message in ended["error"]["message"]
            gate.open()
            await assert_undisturbed(api, others)
        assert await api.output("beside-plain", 21) == [42, 1]
        assert await api.output("beside", 21) == [42, 1]


@pytest.mark.skipif(not can_limit_data(), reason="this system bounds no memory")
async def test_a_run_without_enough_memory_goes_on_once_on_the_larger_machine(
    project: Callable[..., Project],
) -> None:
    async with start(project(BESIDE).root, env={"GATE": "0"}) as dev:
        api = dev.api()
        run = await api.result(await api.trigger("grows"))
        assert (run["status"], run["output"]) == ("COMPLETED", [400, "small-2x", 2])
        assert run["machine"] == "small-2x"
        assert 390 << 20 <= run["peakMemoryBytes"] < 1 << 30
        shown = await trigger_command(dev.project, "runs", "get", run["id"], "--api-url", dev.url)
        assert "machine" in shown
        assert "small-2x" in shown
        assert f"{run['peakMemoryBytes'] / 2**20:,.1f} MB" in shown


async def test_other_ways_to_fail_follow_the_policy_too(project: Callable[..., Project]) -> None:
    async with start(project(BESIDE).root, env={"GATE": "0"}) as dev:
        api = dev.api()
        assert await api.output("says-so") == ["large-1x", 2]
        assert await api.output("crashes-once") == 2
        refused = await api.result(await api.trigger("says-so", maxAttempts=1))
        assert (refused["status"], refused["error"]["name"]) == ("CRASHED", "OutOfMemoryError")
        assert "the model does not fit: small-1x has 512 MB" in refused["error"]["message"]


async def trigger_command(project: Path, *arguments: str) -> str:
    """What the command line prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "triggerdev", *arguments),
        cwd=project,
        env=clean_environment({"COLUMNS": "200"}),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
