"""The versions of the simulated tasks: limits, retries and schedules differ."""

from typing import Any

from triggerdev.engine import options as wire
from triggerdev.engine.commands import queues, schedules
from triggerdev.engine.context import Context
from triggerdev.engine.tasks import TaskTable
from triggerdev.protocol import Manifest, TaskInfo


def _task(name: str, **fields: Any) -> TaskInfo:
    info: dict[str, Any] = {"id": name, "file": "trigger/t.py", "line": 1, "kind": "async", **fields}
    return info  # type: ignore[return-value]  # a TypedDict of freely chosen fields


def _manifest(*tasks: TaskInfo) -> Manifest:
    return Manifest(tasks=list(tasks), queues=[], files=[], packages=[], threads=[], hash="")


def _queue(name: str, limit: int | None) -> Any:
    return {"name": name, "concurrency_limit": limit}


def _version(narrow: int, keyed: int, attempts: int, minutes: int | None) -> Manifest:
    tasks = [
        _task("job", retry={"max_attempts": attempts}),
        _task("child", retry={"max_attempts": 2, "min_timeout_in_ms": 10}),
        _task("narrow", queue=_queue("shared", narrow)),
        _task("plain", kind="sync", queue=_queue("shared", narrow), ttl_ms=240_000),
        _task("keyed", queue=_queue("per-key", keyed)),
    ]
    if minutes is not None:
        tasks.append(_task("tick", schedule={"cron": f"*/{minutes} * * * *", "timezone": "UTC"}))
    return _manifest(*tasks, _task("extra"))


VERSIONS = (
    _version(2, 1, 3, 1),
    _version(1, 2, 4, 2),
    _manifest(*_version(1, 1, 2, 1)["tasks"][:-1]),  # without `extra`
    _manifest(*_version(3, 1, 3, None)["tasks"], _task("tick")),
)
FINAL_VERSION = len(VERSIONS) - 1


def activate(ctx: Context, version: int) -> TaskTable:
    """Register a version, as `Engine.activate` does."""
    manifest = VERSIONS[version]
    ctx.tasks = TaskTable(str(version), manifest)
    schedules.register(ctx, manifest, "DEVELOPMENT")
    queues.register(ctx, manifest)
    return ctx.tasks


def limits_of(manifest: Manifest) -> dict[str, int | None]:
    """Give the limit of each queue."""
    limits = {}
    for task in manifest["tasks"]:
        own = task.get("queue")
        name = (own or {}).get("name") or f"task/{task['id']}"
        limits[wire.queue_name(name)] = (own or {}).get("concurrency_limit")
    return limits
