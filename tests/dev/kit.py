"""A real `trigger dev` in a process of its own: watched by its JSON lines, called over HTTP, killed."""

import asyncio
import json
import os
import select
import shutil
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

REPOSITORY = Path(__file__).parents[2]
PROJECTS = REPOSITORY / "tests" / "projects"
PATIENCE = 60.0

Line = dict[str, Any]


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a user's shell has, and nothing of the one that runs the tests."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPOSITORY), **(extra or {})}


class Dev:
    """One `trigger dev --json`."""

    def __init__(self, project: Path, process: asyncio.subprocess.Process, mark: str) -> None:
        self.project = project
        self.process = process
        self.lines: list[Line] = []
        self.errors = ""
        self.url = ""
        self._mark = mark
        self._apis: list[Api] = []
        self._arrived = asyncio.Condition()
        self._readers = [asyncio.create_task(self._read()), asyncio.create_task(self._read_errors())]

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            async with self._arrived:
                self.lines.append(json.loads(raw))
                self._arrived.notify_all()
        async with self._arrived:
            self._arrived.notify_all()

    async def _read_errors(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            self.errors += raw.decode()

    async def line(self, kind: str, check: Callable[[Line], bool] = lambda _: True, after: int = 0) -> Line:
        """Wait for a line of a type, counted from the line `after`."""

        def found() -> Line | None:
            return next((x for x in self.lines[after:] if x["type"] == kind and check(x)), None)

        async def wait() -> Line:
            async with self._arrived:
                while (line := found()) is None:
                    if self._readers[0].done():
                        raise AssertionError(f"ended without {kind}: {self.errors}\n{self.lines[-20:]}")
                    await self._arrived.wait()
            return line

        try:
            return await asyncio.wait_for(wait(), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"no line {kind}; {self.errors}\n{self.lines[-20:]}") from None

    async def ready(self) -> None:
        self.url = (await self.line("ready"))["url"]

    def env_file(self) -> dict[str, str]:
        text = (self.project / ".trigger" / "dev.env").read_text(encoding="utf-8")
        return dict(line.split("=", 1) for line in text.split())

    def api(self) -> "Api":
        values = self.env_file()
        api = Api(values["TRIGGER_API_URL"], values["TRIGGER_SECRET_KEY"])
        self._apis.append(api)
        return api

    def pids(self) -> set[int]:
        """Every process that was started from here: they all have our mark in their environment."""
        found = set()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                environ = (folder / "environ").read_bytes()
            except OSError:
                continue
            if self._mark.encode() in environ:
                found.add(int(folder.name))
        return found

    async def kill(self) -> set[int]:
        """End the main process as a crash would; returns the processes that there were."""
        pids = self.pids()
        self.process.kill()
        await self.process.wait()
        return pids

    async def stop(self) -> int:
        """Press Ctrl-C once."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await asyncio.gather(*self._readers, *(api.http.aclose() for api in self._apis))
        return code


class Api:
    """The HTTP API with the dev key."""

    def __init__(self, url: str, key: str) -> None:
        self.http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE, trust_env=False
        )

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def trigger(self, task: str, payload: Any = None, **options: Any) -> str:
        answer = await self.call(
            "POST", f"/api/v1/tasks/{task}/trigger", {"payload": payload or {}, "options": options}
        )
        return str(answer["id"])

    async def run(self, run_id: str, wait: int = 0, since: int = 0) -> Any:
        return await self.call("GET", f"/api/v3/runs/{run_id}?wait={wait}&since={since}")

    async def until(self, run_id: str, check: Callable[[Any], bool]) -> Any:
        """Follow a run by long polls until it is as wanted."""

        run = await self.run(run_id)
        try:
            async with asyncio.timeout(PATIENCE * 2):
                while not check(run):
                    assert not run["isCompleted"], run
                    run = await self.run(run_id, 20, run["rev"])
        except TimeoutError:
            raise AssertionError(f"not as wanted: {run}, now {await self.run(run_id)}") from None
        return run

    async def result(self, run_id: str) -> Any:
        """Wait for the end of a run; a large output is fetched."""
        run = await self.until(run_id, lambda run: bool(run["isCompleted"]))
        if "outputPresignedUrl" in run:
            answer = await self.http.get(run["outputPresignedUrl"])
            run["output"] = answer.raise_for_status().json()
        return run

    async def output(self, task: str, payload: Any = None, **options: Any) -> Any:
        run = await self.result(await self.trigger(task, payload, **options))
        assert run["status"] == "COMPLETED", run
        return run.get("output")


def copied(name: str, folder: Path) -> Path:
    """Copy one of the projects for tests, without what a run of it has left there."""
    shutil.copytree(PROJECTS / name, folder, ignore=shutil.ignore_patterns("__pycache__", ".trigger"))
    return folder


@asynccontextmanager
async def start(
    project: Path, *arguments: str, env: Mapping[str, str] | None = None, ready: bool = True
) -> AsyncIterator[Dev]:
    """Run `trigger dev` on a project; at the end it is stopped, and none of its processes may be left."""
    mark = f"TRIGGER_TEST_MARK={uuid.uuid4().hex}"
    name, value = mark.split("=")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "triggerdev", "dev", str(project), "--json"),
        *(arguments or ("--port", "0")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment({**(env or {}), name: value}),
        limit=16 * 1024 * 1024,
    )
    dev = Dev(project, process, mark)
    try:
        if ready:
            await dev.ready()
        yield dev
    finally:
        pids = dev.pids()
        await dev.stop()
        gone(pids)


def gone(pids: set[int], seconds: float = 5) -> None:
    """Wait until every process has ended; fails, and kills them, if one has not."""
    left = {pid for pid in pids if not _ended(pid, seconds)}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"processes left behind: {left}"


def _ended(pid: int, seconds: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)
