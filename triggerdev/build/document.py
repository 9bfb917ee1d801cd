"""The plan as `trigger deploy --dry-run --json` prints it; docs/deploy-plan.schema.json is made from it."""

from typing import Any, Literal

import pydantic

from triggerdev._docstrings import describe

VERSION = 1


class _Part(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class LayerPart(_Part):
    """One layer of the image."""

    id: str
    """Unique in the plan."""
    extension: str
    """Who adds it: the names of extensions, or "triggerdev"."""
    key: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    """Content key: the same content has the same key everywhere."""
    size: int | None
    """Bytes of its files; null where only building tells."""
    status: Literal["cached", "build"]
    """Whether it can be reused or is to be built."""
    reason: str
    """Why it has this status."""
    packages: list[str]
    """System packages or Python requirements."""
    commands: list[str]
    """What is executed: commands, or raw image instructions."""
    files: list[str]
    """Absolute paths in the image."""
    env: list[str]
    """Names of variables that it sets or uses; values are never part of a plan."""


class SchedulePart(_Part):
    """When a task runs by itself."""

    cron: str
    """Five fields: minute, hour, day of month, month, day of week."""
    timezone: str
    """IANA name."""
    environments: list[str] | None
    """Where the schedule acts; null for everywhere."""


class TaskPart(_Part):
    """One task of the project."""

    id: str
    """The task's id."""
    file: str
    """Relative to the project."""
    line: int
    """Where it is defined, counting from 1."""
    kind: Literal["async", "sync"]
    """Shares an event loop, or has a process to itself."""
    description: str | None
    """What the task says about itself."""
    queue: str | None
    """Name of its queue; null for one of its own."""
    concurrency_limit: int | None
    """Runs of the queue at the same time; null for no limit of its own."""
    machine: str | None
    """Machine preset; null for the default."""
    max_duration: float | None
    """Seconds; null for the default."""
    schedule: SchedulePart | None
    """Null for a task without schedule."""
    change: Literal["+", "~", "="]
    """Compared with the version that is current here: new, changed or equal; without one all are new."""
    changes: list[str]
    """What has changed, such as "schedule 0 9 * * * UTC -> 0 8 * * * UTC"."""


class EnvPart(_Part):
    """One variable of the deployed tasks."""

    name: str
    """The variable's name."""
    change: Literal["+", "~", "=", "unknown"]
    """New, changed or equal; unknown because no server was asked, which alone knows values."""
    secret: bool
    """Whether it is kept as a secret."""


class DeployCommandPart(_Part):
    """One command that runs in the built image, with network, before the version counts."""

    extension: str
    """Who asks for it."""
    command: str
    """As a shell reads it."""
    secrets: list[str]
    """Names of the variables that it gets; values are never part of a plan."""


class RemovedPart(_Part):
    """What the version that is current here has, and this plan has not."""

    tasks: list[str]
    """Ids, sorted."""
    env: list[str]
    """Names of variables, sorted."""


class PlanDocument(_Part):
    """The plan of a deployment: what would be built, and from what."""

    version: Literal[1]
    """Of this format."""
    runtime: str
    """The config's runtime."""
    base: str
    """Reference of the base image."""
    layers: list[LayerPart]
    """From the base upwards."""
    tasks: list[TaskPart]
    """Sorted by id."""
    env: list[EnvPart]
    """Sorted by name."""
    deploy_commands: list[DeployCommandPart]
    """In the order in which they run."""
    current: str | None
    """The version that tasks and variables are compared with; null if there is none."""
    removed: RemovedPart
    """What would no longer be there."""
    warnings: list[str]
    """What may be wrong."""
    build_dir: str
    """The rendered build folder, relative to the project."""


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of the document."""
    schema = PlanDocument.model_json_schema(mode="serialization")
    models: dict[str, type[_Part]] = {each.__name__: each for each in _Part.__subclasses__()}
    describe(schema, models)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
