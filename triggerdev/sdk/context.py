"""Context: what a run may know of itself, its attempt, its machine and its surroundings."""

import sys
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from triggerdev import _prices
from triggerdev.protocol import DEFAULT_MACHINE, MACHINES, RunStart, WorkerSettings
from triggerdev.sdk.steps import Step
from triggerdev.sdk.times import from_ms


@dataclass(slots=True)
class RunContext:
    """The run. `max_duration` is in seconds; `priority` is seconds of head start.

    `base_cost_in_cents`: what it costs by itself, without compute time.
    """

    id: str
    tags: list[str]
    is_test: bool
    is_replay: bool
    created_at: datetime
    started_at: datetime
    version: str
    max_attempts: int
    max_duration: float | None
    priority: float
    idempotency_key: str | None
    idempotency_key_scope: str | None
    parent_task_run_id: str | None
    root_task_run_id: str | None
    depth: int
    base_cost_in_cents: float = 0.0


@dataclass(slots=True)
class AttemptContext:
    """The attempt; the first has number 1."""

    number: int
    started_at: datetime


@dataclass(slots=True)
class TaskContext:
    """The task: its id and its file, relative to the project's root."""

    id: str
    file_path: str


@dataclass(slots=True)
class QueueContext:
    """The queue in which the run waited for its slot."""

    id: str
    name: str


@dataclass(slots=True)
class MachineContext:
    """The machine: preset (`name` is the same), vCPU, memory in GB, price in cents per millisecond."""

    preset: str
    name: str
    cpu: float
    memory: float
    cents_per_ms: float = 0.0


@dataclass(slots=True)
class EnvironmentContext:
    """The environment: `slug` is dev, stg, prod or preview."""

    id: str = "env_dev"
    slug: str = "dev"
    type: str = "DEVELOPMENT"


@dataclass(slots=True)
class ProjectContext:
    """The project."""

    id: str = "proj_dev"
    ref: str = "proj_dev"
    slug: str = "dev"
    name: str = "dev"


@dataclass(slots=True)
class OrganizationContext:
    """The organization."""

    id: str = "org_local"
    slug: str = "local"
    name: str = "local"


@dataclass(slots=True)
class BatchContext:
    """The batch that the run is part of."""

    id: str


@dataclass(slots=True)
class DeploymentContext:
    """The code version that the run is locked to, and what executes it."""

    version: str
    runtime: str = "python"
    runtime_version: str = ".".join(map(str, sys.version_info[:3]))


@dataclass(slots=True)
class Context:
    """What a run may know of itself and its surroundings.

    `step` calls a function once and records its result: `await ctx.step("charge", charge, order)`.
    """

    step: ClassVar[Step] = Step()

    run: RunContext
    attempt: AttemptContext
    task: TaskContext
    queue: QueueContext
    machine: MachineContext
    deployment: DeploymentContext
    batch: BatchContext | None = None
    environment: EnvironmentContext = field(default_factory=EnvironmentContext)
    project: ProjectContext = field(default_factory=ProjectContext)
    organization: OrganizationContext = field(default_factory=OrganizationContext)


def build(start: RunStart, settings: WorkerSettings, file_path: str = "") -> Context:
    """Make the context of an attempt from its start message and the worker's settings."""
    batch = start.get("batch_id")
    queue = start.get("queue") or f"task/{start['task']}"
    return Context(
        run=_run(start),
        attempt=AttemptContext(start["attempt"], from_ms(start.get("attempt_started_at") or 0)),
        task=TaskContext(start["task"], file_path),
        queue=QueueContext(queue, queue),
        machine=_machine(start.get("machine") or settings.get("default_machine"), settings),
        deployment=DeploymentContext(start.get("version", "")),
        batch=BatchContext(batch) if batch else None,
        environment=EnvironmentContext(**_known(settings.get("environment"), EnvironmentContext)),
        project=ProjectContext(**_known(settings.get("project"), ProjectContext)),
        organization=OrganizationContext(**_known(settings.get("organization"), OrganizationContext)),
    )


def _run(start: RunStart) -> RunContext:
    max_duration = start.get("max_duration_ms")
    created_at = start.get("created_at") or 0
    return RunContext(
        id=start["id"],
        tags=list(start.get("tags") or []),
        is_test=start.get("is_test", False),
        is_replay=start.get("is_replay", False),
        created_at=from_ms(created_at),
        started_at=from_ms(start.get("started_at") or created_at),
        version=start.get("version", ""),
        max_attempts=start.get("max_attempts") or 1,
        max_duration=None if max_duration is None else max_duration / 1000,
        priority=start.get("priority", 0),
        idempotency_key=start.get("idempotency_key"),
        idempotency_key_scope=start.get("idempotency_key_scope"),
        parent_task_run_id=start.get("parent_id"),
        root_task_run_id=start.get("root_id"),
        depth=start.get("depth", 0),
        base_cost_in_cents=start.get("base_cost", 0.0),
    )


def _machine(preset: str | None, settings: WorkerSettings) -> MachineContext:
    name = preset or DEFAULT_MACHINE
    cpu, memory = MACHINES.get(name, MACHINES[DEFAULT_MACHINE])
    price = _prices.read(settings.get("prices")).per_ms(name)
    return MachineContext(preset=name, name=name, cpu=cpu, memory=memory, cents_per_ms=price)


def _known(values: dict[str, Any] | None, cls: type) -> dict[str, Any]:
    names = cls.__dataclass_fields__  # type: ignore[attr-defined]  # every caller passes a dataclass
    return {key: value for key, value in (values or {}).items() if key in names}
