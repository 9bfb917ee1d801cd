"""Crash points: named moments at which something is half done, where a test can kill the process.

Armed by environment variables only, which child processes inherit:

    TRIGGER_CRASH=name:nth[,name:nth...]   what is to be hit, and how often it must have been reached
    TRIGGER_CRASH_FOLDER=folder            one file for each name: whenever it is reached, a line with pid and
                                           monotonic time in ns

The lines are counted over all processes, so that each name kills exactly one of them, the one that writes the
nth line, and only that one: with SIGKILL, as the machine's owner or its memory killer would.
"""

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

# A transaction of the engine that does this; everything of it is written but not committed at
# `<name>.before_commit`, and committed but neither answered nor acted upon at `<name>.after_commit`.
COMMITS = {
    "activate": "queues and schedules of a new version",
    "trigger": "a new run",
    "claim": "a run is given to a worker",
    "resume": "a run goes on in the process where it is parked",
    "operation": "a durable operation with its record",
    "park": "a run that waits gives its slot back",
    "evict": "a run has left its process",
    "wake": "a wait is over",
    "finish": "a run's end, with what it means for its parent and its batch",
    "retry": "a failed attempt, with the time of the next",
    "delay": "a delayed run comes into its queue",
    "expire": "a run's TTL is over",
    "batch": "a new batch, still empty",
    "items": "items of a batch",
    "seal": "a batch that has all its items",
    "token": "a waitpoint token is completed",
    "schedule": "a slot of a schedule: its run, and the next slot",
    "cancel": "a run and its descendants are cancelled",
    "recover": "runs of a process that is gone are taken over, with more to come",
    "sweep": "leases are renewed",
    "logs": "log lines",
    "retention": "some of what is old is deleted, with more to come",
    "mail": "a message for a worker of another server",
    "collect": "a message from another server is taken",
    "connect": "a worker's session begins: what its last one left is taken over",
}

POINTS = {
    **{f"{name}.before_commit": f"not committed: {what}" for name, what in COMMITS.items()},
    **{f"{name}.after_commit": f"committed, nobody knows: {what}" for name, what in COMMITS.items()},
    "group.half_written": "some commands of a group are written, others are not",
    "object.half_written": "some bytes of a large body are written",
    "object.stored": "a large body is stored, no row names it",
    "migration.half_done": "the tables are made, the schema has no number yet",
    "server.trigger_stored": "a run is stored, the caller has no answer",
    "server.batch_stored": "a batch is stored, the caller has no answer",
    "server.item_read": "one item of a batch's stream has been read, more are to come",
    "server.items_stored": "streamed items of a batch are stored, the caller has no answer",
    "server.token_stored": "a token is completed, the caller has no answer",
    "server.cancel_stored": "a run is cancelled, the caller has no answer",
    "reload.loaded": "new code is loaded, and not yet what new runs execute",
    "supervisor.activating": "new runs go to the new version, the old one has not heard of it",
    "supervisor.start_taken": "a run is given out, no process is chosen for it",
    "supervisor.start_placed": "a process is chosen for a run, and not told of it",
    "supervisor.resume_placed": "a parked run is to go on, its process is not told of it",
    "supervisor.message_read": "messages of a worker are read, and not handed to the engine",
    "supervisor.evicting": "a run is to leave its process, which is not told of it",
    "supervisor.worker_gone": "a process has ended, what that means for its runs is not said",
    "template.version_forked": "the process of a version is forked, and has not imported anything",
    "version.imported": "user code is imported, its tasks are not reported",
    "version.worker_forked": "a worker is forked, its pid is not reported",
    "worker.taken": "runs are taken, no code of theirs has run",
    "worker.before_code": "user code is about to run",
    "worker.after_code": "user code has run, its output is not sent",
    "worker.done_sent": "the end of a run is sent",
    "worker.operation_unsent": "a durable operation is to be done, nothing is sent",
    "worker.operation_sent": "a durable operation is sent, its reply is not here",
    "worker.operation_answered": "the reply of a durable operation is here, user code has not seen it",
    "worker.replaying": "an operation is answered from the record, others are to come",
    "worker.step_done": "the function of a step has run, its result is not recorded",
    "worker.parking": "a run waits, the engine is not told",
    "worker.parked": "a run waits, the engine is told",
    "worker.resumed": "a parked run is to go on and has not yet",
    "worker.evicting": "a run is unwound, and the engine not told",
    "postgres.commit_unnoted": "everything is written, but not the number of the commit",
    "postgres.commit_unsent": "the number of the commit is written, COMMIT has not been sent",
    "postgres.commit_sent": "COMMIT has been sent, its answer is not here",
}

armed: dict[str, int] | None = None  # by name: the nth time; only `arm` sets it
_folder = Path()


def arm() -> None:
    """Read the environment; done on import. Raises ValueError for what is no crash point."""
    global armed, _folder
    wanted = os.environ.get("TRIGGER_CRASH")
    armed = None
    if wanted:
        pairs = [entry.rpartition(":") for entry in wanted.split(",")]
        unknown = [name for name, _, nth in pairs if name not in POINTS or not nth.isdigit()]
        if unknown:
            raise ValueError(f"TRIGGER_CRASH={wanted!r}: {unknown[0]!r} is no crash point, see {__file__}.")
        _folder = Path(os.environ["TRIGGER_CRASH_FOLDER"])
        armed = {name: int(nth) for name, _, nth in pairs}


def crash_point(name: str) -> None:
    """Die here if this point is armed and its time has come."""
    if armed is None:
        return
    nth = armed.get(name)
    if nth is not None and _reached(name) == nth:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # the signal may take another thread first


def crash_point_after_turn(loop: "asyncio.AbstractEventLoop", name: str) -> None:
    """Die after this turn of the loop, when what it has sent is on its way."""
    if armed is not None:
        loop.call_soon(crash_point, name)


def _reached(name: str) -> int:
    """Write down that a point was reached; gives how often, over all processes."""
    line = f"{os.getpid():>10} {time.monotonic_ns():>20}\n".encode()
    descriptor = os.open(_folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line)
        return os.lseek(descriptor, 0, os.SEEK_CUR) // len(line)
    finally:
        os.close(descriptor)


arm()
