"""One point, one store: a process dies there, others finish its work, then everything is looked at."""

import multiprocessing
import signal
import threading
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path

from tests.reliability.crashing import client, promises
from tests.reliability.crashing.audit import Database, PostgresDatabase, SqliteDatabase
from tests.reliability.crashing.client import Job

_PATIENCE = 2 * client.SECONDS
_MAX_PROCESSES = 60
_TURN = threading.Lock()  # multiprocessing asks for the ends of all its processes whenever it starts one
_BY_MACHINE = multiprocessing.get_context("forkserver")
_BY_MACHINE.set_forkserver_preload(["tests.reliability.crashing.client"])


@dataclass(frozen=True, slots=True)
class Case:
    """A point to be hit for the nth time."""

    point: str
    nth: int
    seed: int
    folder: Path
    url: str | None = None
    schema: str = ""

    @property
    def database(self) -> Database:
        if self.url is None:
            return SqliteDatabase(self.folder / "engine.db")
        return PostgresDatabase(self.url, self.schema)


@dataclass(slots=True)
class Outcome:
    """What happened: `was_hit`, how many processes it took, and what was found broken."""

    case: Case
    was_hit: bool = False
    processes: int = 0
    problems: list[str] = field(default_factory=list)


def run(case: Case) -> Outcome:
    """Kill a process at the point, let others bring everything to its end, and look at it."""
    outcome = Outcome(case)
    case.folder.mkdir(parents=True)
    if isinstance(case.database, PostgresDatabase):
        case.database.drop()
    is_first_of_all = case.point == "migration.half_done"
    if not is_first_of_all:
        case.database.watch()
    job = Job(
        case.folder, case.url or str(case.folder), case.schema, case.seed, 1, f"{case.point}:{case.nth}"
    )
    rounds = _crash(outcome, job)
    if not outcome.was_hit:
        outcome.problems.append(f"{case.point} was not reached {case.nth} times")
        return outcome
    if is_first_of_all:
        case.database.watch()
    if _finish(outcome, replace(job, rounds=rounds, crash="")):
        outcome.problems += promises.find_broken(case.database, case.folder)
    if not outcome.problems and isinstance(case.database, PostgresDatabase):
        case.database.drop()
    return outcome


def _crash(outcome: Outcome, job: Job) -> int:
    """Start processes until one has died at the point; gives how many rounds were begun."""
    case, hits = outcome.case, job.folder / "points" / outcome.case.point
    rounds = 1
    while outcome.processes < _MAX_PROCESSES and rounds <= case.nth + 1:
        code, pid = _process(outcome, replace(job, rounds=rounds))
        reached = hits.read_text(encoding="utf-8").splitlines() if hits.exists() else []
        if len(reached) >= case.nth:
            outcome.was_hit = code == -signal.SIGKILL and reached[case.nth - 1].split()[0] == str(pid)
            break
        if code == 0:
            rounds += 1
        elif code != -signal.SIGKILL:
            outcome.problems.append(f"a process ended with {code}, see {job.folder / 'output'}")
            break
    return rounds


def _finish(outcome: Outcome, job: Job) -> bool:
    while outcome.processes < _MAX_PROCESSES:
        code, _ = _process(outcome, job)
        if code == 0:
            return True
        if code != -signal.SIGKILL:
            outcome.problems.append(f"a process ended with {code} after the crash")
            break
    return False


def _process(outcome: Outcome, job: Job) -> tuple[int | None, int | None]:
    """Do a job in a process of its own; gives its exit code and pid."""
    outcome.processes += 1
    process = _BY_MACHINE.Process(target=client.run, args=(job,), daemon=True)
    with _TURN:
        process.start()
    connection.wait([process.sentinel], _PATIENCE)
    with _TURN:
        code = process.exitcode
    if code is None:
        process.kill()
    return code, process.pid
