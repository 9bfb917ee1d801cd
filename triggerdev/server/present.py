"""The engine's data as the API's JSON. What is not there is left out: clients refuse null there."""

from collections.abc import Callable
from typing import Any

from triggerdev import _durations, _json
from triggerdev.engine.commands import queues, schedule_calls
from triggerdev.engine.cron import describe
from triggerdev.engine.model import Batch, Load, QueueDetail, Run, RunDetail, Schedule, Status, Token
from triggerdev.engine.model import Environment as Env
from triggerdev.protocol import DEFAULT_MACHINE, STORED, ErrorInfo, TaskInfo
from triggerdev.server.payloads import plain_json

Json = dict[str, Any]
Link = Callable[[str], str]

_QUEUED = frozenset({Status.PENDING, Status.DELAYED})
_EXECUTING = frozenset({Status.EXECUTING, Status.RETRYING})
_FUNCTIONS = {
    "trigger_and_wait": "triggerAndWait",
    "batch_trigger": "batchTrigger",
    "batch_trigger_and_wait": "batchTriggerAndWait",
}
_CAMEL_FUNCTIONS = frozenset(_FUNCTIONS.values())
_LAST_MS = 253_402_300_799_999
_SHORT_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))


def iso(ms: int) -> str:
    """Write a time; one beyond the calendar ("delay": "99999999w") as the calendar's last moment."""
    return _durations.iso(min(ms, _LAST_MS))


def common_run(run: Run) -> Json:
    """The fields that a run has in every answer."""
    status = run.status
    final = status.is_final
    success = status is Status.COMPLETED
    shown: Json = {
        "id": run.id,
        "status": status.public_name,
        "taskIdentifier": run.task,
        "isQueued": status in _QUEUED,
        "isExecuting": status in _EXECUTING,
        "isWaiting": status is Status.WAITING,
        "isCompleted": final,
        "isSuccess": success,
        "isFailed": final and not success,
        "isCancelled": status is Status.CANCELED,
        "isTest": run.is_test,
        "createdAt": iso(run.created_at),
        "updatedAt": iso(run.updated_at),
        "tags": run.tags,
        "costInCents": cents(run.cost),
        "baseCostInCents": cents(run.base_cost),
        "durationMs": run.usage_ms,
        "taskKind": "SCHEDULED" if run.schedule_id else "STANDARD",
    }
    key = run.idempotency_display or run.idempotency_key
    if key is not None:
        shown["idempotencyKey"] = key
    if run.version is not None:
        shown["version"] = run.version
    if run.metadata is not None:
        shown["metadata"] = run.metadata
    if run.ttl_ms:
        shown["ttl"] = short_duration(run.ttl_ms)
    _add_times(
        shown,
        startedAt=run.started_at,
        finishedAt=run.finished_at,
        delayedUntil=run.delayed_until,
        expiredAt=run.expired_at,
    )
    return shown


def cents(amount: float) -> float:
    """Give an amount as JSON writes it: without a fraction if it has none."""
    return int(amount) if amount == int(amount) else amount


def _add_times(shown: Json, **times: int | None) -> None:
    for name, ms in times.items():
        if ms is not None:
            shown[name] = iso(ms)


def short_duration(ms: int) -> str:
    """Write a duration as clients write it ("2h30m"); whole seconds, at least one."""
    rest = max(ms, 1000)
    text = ""
    for size, unit in _SHORT_UNITS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text


def related_run(run: Run) -> Json:
    shown = common_run(run)
    shown["depth"] = run.depth
    name = _FUNCTIONS.get(run.trigger_function, run.trigger_function)
    shown["triggerFunction"] = name if name in _CAMEL_FUNCTIONS else "trigger"
    if run.batch_id is not None:
        shown["batchId"] = run.batch_id
    return shown


def run_detail(detail: RunDetail, link: Link) -> Json:
    """A run as `runs.retrieve` shows it; machine, memory and `rev`, which counts changes, are ours.

    `link` makes the URL of a stored body.
    """
    run = detail.run
    shown = related_run(run)
    shown["attemptCount"] = run.attempt
    shown["rev"] = run.rev
    shown["machine"] = run.machine or DEFAULT_MACHINE
    if run.peak_memory is not None:
        shown["peakMemoryBytes"] = run.peak_memory
    _add_body(shown, "payload", run.payload, run.payload_type, link)
    if run.status is Status.COMPLETED:
        _add_body(shown, "output", run.output, run.output_type, link)
    if run.error is not None:
        shown["error"] = serialized_error(run.error)
    if detail.schedule is not None:
        shown["schedule"] = _run_schedule(detail.schedule)
    related: Json = {}
    if detail.root is not None:
        related["root"] = related_run(detail.root)
    if detail.parent is not None:
        related["parent"] = related_run(detail.parent)
    if detail.children:
        related["children"] = [related_run(child) for child in detail.children]
    shown["relatedRuns"] = related
    return shown


def _add_body(shown: Json, name: str, text: str | None, kind: str, link: Link) -> None:
    if text is None:
        return
    if kind == STORED:
        shown[f"{name}PresignedUrl"] = link(text)
    else:
        shown[name] = plain_json(text, kind)


def serialized_error(error: ErrorInfo) -> Json:
    """An error as runs show it: message, and name, stackTrace, causes where there are any."""
    kind = error.get("type")
    if kind in ("STRING_ERROR", "CUSTOM_ERROR"):
        return {"message": error.get("raw", "")}
    code = error.get("code")
    shown: Json = {
        "message": error.get("message") or (f"Internal error ({code})" if code else "Unknown error")
    }
    name = error.get("name") or code
    if name:
        shown["name"] = name
    if error.get("stackTrace"):
        shown["stackTrace"] = error["stackTrace"]
    if error.get("causes"):
        shown["causes"] = error["causes"]
    return shown


def run_item(run: Run, env: Env) -> Json:
    """A run as lists show it."""
    shown = common_run(run)
    shown["env"] = {"id": env.id, "name": env.name}
    return shown


def execution_result(run: Run) -> Json:
    """The outcome of a final run, with its output or error in the form that workers exchange."""
    shown: Json = {"id": run.id, "taskIdentifier": run.task, "usage": {"durationMs": run.usage_ms}}
    if run.status is Status.COMPLETED:
        shown["ok"] = True
        shown["outputType"] = run.output_type
        if run.output is not None:
            shown["output"] = run.output
        return shown
    shown["ok"] = False
    shown["error"] = _task_run_error(run)
    return shown


def _task_run_error(run: Run) -> Json:
    return exchanged_error(
        run.error or {"type": "STRING_ERROR", "raw": f"Run ended as {run.status.public_name}"}
    )


def exchanged_error(error: ErrorInfo) -> Json:
    """An error in the form that workers and realtime clients exchange; those insist on a stack trace."""
    shown = {name: value for name, value in error.items() if name not in ("location", "sourceLine")}
    return {"stackTrace": "", **shown} if error.get("type") == "BUILT_IN_ERROR" else shown


def batch(found: Batch) -> Json:
    processing: Json = {
        "errors": [
            {"index": error.index, "taskIdentifier": error.task, "error": error.error}
            for error in found.errors
        ]
    }
    _add_times(processing, completedAt=found.completed_at)
    shown: Json = {
        "id": found.id,
        "status": found.status,
        "createdAt": iso(found.created_at),
        "updatedAt": iso(found.updated_at),
        "runCount": found.run_count,
        "runs": found.runs,
        "processing": processing,
    }
    if found.idempotency_key is not None:
        shown["idempotencyKey"] = found.idempotency_key
    return shown


def token(found: Token, url: str, *, with_output: bool = False) -> Json:
    shown: Json = {
        "id": found.id,
        "url": url,
        "status": found.status,
        "tags": found.tags,
        "createdAt": iso(found.created_at),
    }
    _add_times(
        shown,
        completedAt=found.completed_at,
        completedAfter=found.timeout_at,
        timeoutAt=found.timeout_at,
        idempotencyKeyExpiresAt=found.idempotency_expires_at,
    )
    if found.idempotency_key is not None:
        shown["idempotencyKey"] = found.idempotency_key
    if with_output and found.status != "WAITING":
        shown["outputType"] = found.output_type
        shown["outputIsError"] = found.output_is_error
        if found.output is not None:
            shown["output"] = found.output
        elif found.output_is_error:
            shown["output"] = _timeout_error(found)
    return shown


def _timeout_error(found: Token) -> str:
    at = iso(found.timeout_at or found.created_at)
    return _json.dumps({"code": "TRIGGER_WAITPOINT_TIMEOUT", "message": f"Waitpoint timed out at {at}"})


def _generator(cron: str) -> Json:
    return {"type": "CRON", "expression": cron, "description": describe(cron)}


def _run_schedule(found: Schedule) -> Json:
    shown: Json = {"id": found.id, "generator": _generator(found.cron)}
    if found.external_id is not None:
        shown["externalId"] = found.external_id
    if found.deduplication_key is not None:
        shown["deduplicationKey"] = found.deduplication_key
    return shown


def schedule(found: Schedule, env: Env) -> Json:
    """A schedule; the nullable fields are null where a run would leave them out."""
    return {**schedule_calls.describe(found), "environments": [{"id": env.id, "type": env.type}]}


def load(found: Load) -> Json:
    return {"running": found.running, "queued": found.queued}


def queue(found: QueueDetail) -> Json:
    """A queue; that of a task has the task's id for its name."""
    stored = found.queue
    overridden = stored.override_limit is not None
    return {
        "id": queues.id_of(stored.name),
        "name": stored.name.removeprefix("task/"),
        "type": "task" if stored.name.startswith("task/") else "custom",
        **load(found.load),
        "paused": stored.paused_at is not None,
        "concurrencyLimit": stored.limit,
        "concurrency": {
            "current": stored.limit,
            "base": stored.concurrency_limit,
            "override": stored.override_limit,
            "overriddenAt": iso(stored.overridden_at) if overridden and stored.overridden_at else None,
            "overriddenBy": None,
        },
    }


def task(found: TaskInfo) -> Json:
    """A task of the current version; what is not set is left out."""
    queue = found.get("queue") or {}
    return _present_only(
        id=found["id"],
        filePath=found.get("file"),
        line=found.get("line"),
        exportName=found.get("export"),
        kind=found.get("kind"),
        triggerSource="schedule" if found.get("scheduled") or found.get("schedule") else "standard",
        description=found.get("description"),
        queue=_present_only(
            name=queue.get("name", f"task/{found['id']}"), concurrencyLimit=queue.get("concurrency_limit")
        ),
        retry=_camel_keys(found.get("retry")),
        machine=found.get("machine"),
        maxDuration=found.get("max_duration"),
        ttl=short_duration(ttl_ms) if (ttl_ms := found.get("ttl_ms")) else None,
        schedule=found.get("schedule"),
        payloadSchema=found.get("payload_schema"),
    )


def _present_only(**values: Any) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _camel_keys(values: Any) -> Json | None:
    if not values:
        return None
    camel: Json = {}
    for name, value in values.items():
        first, *rest = name.split("_")
        camel[first + "".join(part.capitalize() for part in rest)] = value
    return camel
