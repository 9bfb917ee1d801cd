"""What a test sees of a run."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from triggerdev.engine.commands.finish import final_error
from triggerdev.engine.model import Run
from triggerdev.engine.objects.memory import MemoryObjects
from triggerdev.protocol import STORED
from triggerdev.sdk import serialise
from triggerdev.sdk.results import RunFailedError
from triggerdev.testing.clock import to_datetime


@dataclass(frozen=True)
class RunReport:
    """A run as it is now. `status` is the API's name: QUEUED, WAITING, COMPLETED, FAILED, ...

    `waited` is how long it took, or has taken so far, on the virtual clock. `error` is there unless it
    COMPLETED or goes on.
    """

    id: str
    task: str
    status: str
    is_final: bool
    payload: Any
    output: Any
    error: RunFailedError | None
    attempts: int
    waited: timedelta
    created_at: datetime
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    parent_id: str | None = None
    schedule_id: str | None = None
    queue: str = ""

    @property
    def ok(self) -> bool:
        """Tell whether the run ended well."""
        return self.status == "COMPLETED"

    def unwrap(self) -> Any:
        """Give the output. Raises the run's error if it failed, AssertionError if it has not ended."""
        if self.error is not None:
            raise self.error
        assert self.ok, f"run {self.id} of {self.task!r} is {self.status}"
        return self.output


def report(run: Run, now: int, objects: MemoryObjects) -> RunReport:
    """Describe a run of the engine at a time (ms since the epoch); what is large lies in `objects`."""
    status = run.status
    is_bad = status.is_final and status.public_name != "COMPLETED"
    end = now if run.finished_at is None else run.finished_at
    return RunReport(
        id=run.id,
        task=run.task,
        status=status.public_name,
        is_final=status.is_final,
        payload=_load(run.payload, run.payload_type, objects),
        output=_load(run.output, run.output_type, objects),
        error=RunFailedError(run.error or final_error(run)) if is_bad else None,
        attempts=run.attempt,
        waited=timedelta(milliseconds=end - run.created_at),
        created_at=to_datetime(run.created_at),
        tags=list(run.tags),
        metadata=dict(run.metadata or {}),
        parent_id=run.parent_id,
        schedule_id=run.schedule_id,
        queue=run.queue,
    )


def _load(text: str | None, kind: str, objects: MemoryObjects) -> Any:
    if kind == STORED and text is not None:
        body = objects.bodies[text]
        text, kind = body.data.decode(), body.content_type
    return serialise.load(text, kind)
