"""`python -m triggerdev.worker start`: a supervisor with the image's code, until it is told to stop."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from triggerdev import errors
from triggerdev._terminal import clean
from triggerdev.protocol import Manifest, WorkerSettings
from triggerdev.worker.deployed import code, health
from triggerdev.worker.deployed.link import Link, NoLink
from triggerdev.worker.events import SupervisorEvent
from triggerdev.worker.indexing import describe_problem
from triggerdev.worker.supervisor import Supervisor

VERSION = "image"
GRACE_VARIABLE = "TRIGGER_STOP_GRACE"
_GRACE = 8.0
"""Seconds that runs have to unwind; engines kill a container 10 s after they asked it to stop."""
_NEEDED = ("TRIGGER_API_URL", "TRIGGER_SECRET_KEY")


def run(settings: WorkerSettings, environ: Mapping[str, str]) -> int:
    """Run the service until SIGTERM or SIGINT; a second signal ends it at once. Returns the exit code."""
    return asyncio.run(Service(settings, environ).run())


def say(text: str) -> None:
    """Write a line for whoever reads the container's log."""
    sys.stderr.write(f"trigger worker: {clean(text)}\n")
    sys.stderr.flush()


class Service:
    """One life of the worker of an image.

    `link` is what brings runs; `told` is called with "ready" and other states as they begin.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        environ: Mapping[str, str],
        link: Link | None = None,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._url, self._key = _server(environ)
        self._grace = _grace(environ)
        self._environ = dict(environ)
        self._settings: WorkerSettings = {**settings, "api_url": self._url, "api_key": self._key}
        self._link: Link = link or NoLink()
        self._told = told
        self._stop = asyncio.Event()
        self._signals = 0
        self._status = "starting"

    async def run(self) -> int:
        """Load the code, check it, and serve until told to stop.

        Raises BuildError if the code cannot be imported or is not what was indexed.
        """
        supervisor = self._make_supervisor()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, supervisor)
        beating = asyncio.create_task(self._beat())
        try:
            await supervisor.start()
            manifest = await self._load(supervisor)
            if manifest is not None:
                await self._serve(supervisor, manifest)
        finally:
            self._say_status("stopping")
            await supervisor.stop(self._grace)
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating
            health.state_file().unlink(missing_ok=True)
        say("stopped")
        return 0

    def _make_supervisor(self) -> Supervisor:
        return Supervisor(
            Path(sys.executable),
            self._settings,
            env=self._environ,
            on_messages=self._link.send,
            on_event=_print_event,
            on_capacity=self._link.pump,
        )

    async def _load(self, supervisor: Supervisor) -> Manifest | None:
        """Load and check the code; None if the service was told to stop meanwhile."""
        loading = asyncio.create_task(supervisor.load(VERSION))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._stop.is_set():
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
            return None
        outcome = await loading
        if outcome.manifest is None:
            raise errors.BuildError("\n".join(describe_problem(problem) for problem in outcome.problems))
        code.check_hash(outcome.manifest, self._environ.get(code.HASH_VARIABLE, ""))
        supervisor.activate(VERSION)
        return outcome.manifest

    async def _serve(self, supervisor: Supervisor, manifest: Manifest) -> None:
        count = len(manifest["tasks"])
        say(f"ready with {count} {'task' if count == 1 else 'tasks'} for {self._url}")
        if isinstance(self._link, NoLink):
            say("this version has no connection to servers yet, so no runs will arrive")
        self._say_status("ready")
        linked = asyncio.create_task(self._link.run(supervisor, manifest))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({linked, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not self._stop.is_set():
            await linked  # it has failed: that is the service's end
            return
        linked.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await linked

    async def _beat(self) -> None:
        """Renew the sign of life; it stops when the loop is kept from running."""
        while True:
            self._write_state()
            await asyncio.sleep(health.EVERY)

    def _say_status(self, status: str) -> None:
        self._status = status
        self._write_state()
        self._told(status)

    def _write_state(self) -> None:
        try:
            health.write_state(self._status)
        except OSError as error:
            say(f"cannot write {health.state_file()}, so health checks will fail: {error.strerror}")

    def _on_signal(self, supervisor: Supervisor) -> None:
        self._signals += 1
        if self._signals == 1:
            say(f"stopping; {supervisor.executing} running, given {self._grace:g} s")
            self._stop.set()
            return
        supervisor.kill()
        os._exit(130)


def _server(environ: Mapping[str, str]) -> tuple[str, str]:
    missing = [name for name in _NEEDED if not environ.get(name, "").strip()]
    if missing:
        raise errors.UsageError(
            f"{' and '.join(missing)} must be set: the URL of the server and the secret key of the "
            "environment that this worker serves (docker run -e TRIGGER_API_URL=...)"
        )
    url = environ["TRIGGER_API_URL"].strip().rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise errors.UsageError(f"TRIGGER_API_URL must begin with http:// or https://, not {url!r}")
    return url, environ["TRIGGER_SECRET_KEY"].strip()


def _grace(environ: Mapping[str, str]) -> float:
    text = environ.get(GRACE_VARIABLE, "").strip()
    try:
        grace = float(text) if text else _GRACE
    except ValueError:
        grace = -1
    if not 0 <= grace < 86_400:
        raise errors.UsageError(f"{GRACE_VARIABLE} must be a number of seconds, not {text!r}")
    return grace


def _print_event(event: SupervisorEvent) -> None:
    if event.kind == "output":
        sys.stdout.write(clean(event.message) + "\n")
        sys.stdout.flush()
    else:
        say(event.message)
