"""What importing the code of a project found: its tasks, or why they cannot be loaded."""

from typing import Any, Literal, NotRequired, TypedDict


class RetryInfo(TypedDict, total=False):
    """A retry policy: the real system's names in snake_case."""

    max_attempts: int
    factor: float
    min_timeout_in_ms: int
    max_timeout_in_ms: int
    randomize: bool
    out_of_memory_machine: str | None


class QueueInfo(TypedDict, total=False):
    name: str
    concurrency_limit: int | None


class ScheduleInfo(TypedDict):
    cron: str
    timezone: str
    environments: NotRequired[list[str]]


class TaskInfo(TypedDict, total=False):
    """One task of a manifest. `kind`: "async" shares an event loop, "sync" has a process to itself.

    `scheduled`: it runs by schedules; `schedule` is the one that its code declares, if any.
    """

    id: str
    file: str
    line: int
    export: str
    kind: Literal["async", "sync"]
    description: str | None
    queue: QueueInfo | None
    retry: RetryInfo | None
    machine: str | None
    max_duration: float | None
    ttl_ms: int | None
    scheduled: bool
    schedule: ScheduleInfo | None
    payload_schema: dict[str, Any] | None


class Manifest(TypedDict):
    """What importing the task files found.

    `files`: paths below the project root that were imported (relative, sorted); `packages`: top-level names
    of imported modules from elsewhere; `threads`: modules whose import left a thread running.
    """

    tasks: list[TaskInfo]
    queues: list[QueueInfo]
    files: list[str]
    packages: list[str]
    threads: list[str]
    hash: str


class SourceProblem(TypedDict, total=False):
    """Why a version cannot be loaded.

    kind: "syntax", "import", "duplicate", "definition", "hook" or "shadowed".
    """

    kind: str
    message: str
    file: str
    line: int
    source_line: str
    traceback: str
