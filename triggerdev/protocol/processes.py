"""What a supervisor and a version process say to each other: loading code, starting workers."""

from typing import Literal, NotRequired, TypedDict

from triggerdev.protocol.manifest import Manifest, SourceProblem
from triggerdev.protocol.settings import WorkerSettings


class Load(TypedDict):
    t: Literal["load"]
    version: str
    settings: WorkerSettings


class Loaded(TypedDict):
    t: Literal["loaded"]
    version: str
    manifest: Manifest
    took_ms: float


class LoadFailed(TypedDict):
    """The code cannot be imported. `files` were read all the same; a change of one may mend it."""

    t: Literal["load_failed"]
    version: str
    problems: list[SourceProblem]
    files: list[str]


class Fork(TypedDict):
    """Start a worker process; `group` is the folder of the control group that it moves into."""

    t: Literal["fork"]
    worker: int
    kind: Literal["async", "sync"]
    group: NotRequired[str]


class Forked(TypedDict):
    t: Literal["forked"]
    worker: int
    pid: int


class Exited(TypedDict):
    """A worker process is gone. `status` is its exit code, or minus the signal that ended it.

    `peak`: the bytes that it had in memory at most since its last run began.
    """

    t: Literal["exited"]
    worker: int
    pid: int
    status: int
    peak: int
