"""Durable background tasks for Python.

Define tasks with `task`, run them with `trigger dev`, start runs with `tasks.trigger` or `my_task.trigger`.
Importing this package loads nothing heavy.
"""

from triggerdev._version import __version__
from triggerdev.errors import (
    AbortTaskRunError,
    ApiError,
    AuthenticationError,
    BadRequestError,
    BatchTriggerError,
    CompleteTaskWithOutput,
    ConflictError,
    ConnectionFailedError,
    ContextError,
    EngineError,
    InternalServerError,
    NonDeterminismError,
    NotFoundError,
    OutOfMemoryError,
    PayloadError,
    PermissionDeniedError,
    RateLimitError,
    RunCancelled,
    RunError,
    RunEvicted,
    RunSignal,
    RunTimedOut,
    ScriptError,
    StepResultError,
    SubtaskUnwrapError,
    TaskDefinitionError,
    TriggerError,
    UnknownTaskError,
    UnprocessableEntityError,
    UsageError,
    WaitpointTimeoutError,
)
from triggerdev.sdk import (
    batch,
    envvars,
    idempotency_keys,
    locals,
    logger,
    python,
    queues,
    retry,
    runs,
    schedules,
    tags,
    tasks,
    usage,
    wait,
)
from triggerdev.sdk.context import Context
from triggerdev.sdk.http import configure
from triggerdev.sdk.machines import Machine
from triggerdev.sdk.metadata import metadata
from triggerdev.sdk.policy import Queue, Retry, queue
from triggerdev.sdk.results import BatchHandle, BatchResult, Result, RunFailedError, RunHandle, TokenResult
from triggerdev.sdk.task import Task, schema_task, task

__all__ = [  # noqa: RUF022 - grouped by purpose
    # Defining tasks
    "Context",
    "Machine",
    "Queue",
    "Retry",
    "Task",
    "queue",
    "schedules",
    "schema_task",
    "task",
    # Triggering and looking at runs
    "BatchHandle",
    "BatchResult",
    "Result",
    "RunFailedError",
    "RunHandle",
    "TokenResult",
    "batch",
    "configure",
    "envvars",
    "idempotency_keys",
    "queues",
    "runs",
    "tasks",
    # Inside a run
    "locals",
    "logger",
    "metadata",
    "python",
    "retry",
    "tags",
    "usage",
    "wait",
    # Raised by tasks
    "AbortTaskRunError",
    "CompleteTaskWithOutput",
    "OutOfMemoryError",
    # Raised in tasks
    "BatchTriggerError",
    "ContextError",
    "EngineError",
    "NonDeterminismError",
    "PayloadError",
    "RunCancelled",
    "RunError",
    "RunEvicted",
    "RunSignal",
    "RunTimedOut",
    "ScriptError",
    "StepResultError",
    "SubtaskUnwrapError",
    "TaskDefinitionError",
    "TriggerError",
    "UnknownTaskError",
    "UsageError",
    "WaitpointTimeoutError",
    # Raised by calls over HTTP
    "ApiError",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "ConnectionFailedError",
    "InternalServerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "UnprocessableEntityError",
    "__version__",
]
