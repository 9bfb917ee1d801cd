"""Several `trigger dev` on one PostgreSQL, each with a copy of a project, one key and one ledger for all."""

import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from tests.dev.kit import Dev, start
from tests.reliability import ledger
from tests.reliability.database import Database

KEY = "tr_dev_" + "s" * 32


class Servers:
    """Their folders, and how to start them. `lease` and `heartbeat` are in seconds."""

    def __init__(
        self, folder: Path, project: Path, count: int, database: Database, *, lease: float, heartbeat: float
    ) -> None:
        self.ledger = folder / "ledger.txt"
        self.projects = [folder / f"server-{number}" for number in range(count)]
        self._ports = [0] * count
        self._environment = {
            ledger.VARIABLE: str(self.ledger),
            "TRIGGER_SECRET_KEY": KEY,
            **database.environment,
        }
        for target in self.projects:
            shutil.copytree(project, target, ignore=shutil.ignore_patterns("__pycache__", ".trigger"))
            config = target / "trigger.config.toml"
            leases = f'\n[leases]\nlength = "{lease * 1000:g}ms"\nheartbeat = "{heartbeat * 1000:g}ms"\n'
            config.write_text(config.read_text(encoding="utf-8") + leases, encoding="utf-8")

    @asynccontextmanager
    async def serving(self, number: int) -> AsyncIterator[Dev]:
        """Run one of them, at the same address each time."""
        port = str(self._ports[number])
        async with start(self.projects[number], "--port", port, env=self._environment) as dev:
            self._ports[number] = int(dev.url.rsplit(":", 1)[1])
            yield dev


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to processes, some of which may have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
