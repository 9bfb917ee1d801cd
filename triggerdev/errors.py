"""Every error of this package, one tree.

TriggerError                         base: what happened, where, and what to do next
├── UsageError                       the call or the command line is wrong            (exit code 2)
│   ├── ConfigError                  trigger.config.toml, .env files                  (exit code 2)
│   ├── PayloadError                 a payload or option that cannot be sent or accepted
│   │   └── StepResultError          a result of `ctx.step` that cannot be recorded
│   ├── TaskDefinitionError          a @task that cannot be registered (duplicate id, bad option)
│   └── ContextError                 a call that is only possible inside a run, or outside an event loop
├── ApiError                         an answer of the HTTP API that is not 2xx: `status`, `message`
│   ├── BadRequestError              400
│   ├── AuthenticationError          401                                              (exit code 3)
│   ├── PermissionDeniedError        403                                              (exit code 3)
│   ├── NotFoundError                404
│   ├── ConflictError                409
│   ├── UnprocessableEntityError     422
│   ├── RateLimitError               429
│   └── InternalServerError          5xx
├── ConnectionFailedError            the server cannot be reached                     (exit code 5)
├── WouldPromptError                 a question that cannot be asked here             (exit code 4)
├── EnvironmentProblemError          port, disk, permissions, interpreter, engine lock (exit code 1)
│   ├── StorageFullError             the disk is full; the write did not happen
│   ├── StorageUnavailableError      the database does not answer; the write did not happen
│   ├── StorageDamagedError          the database's file is not what was written
│   └── AlreadyRunningError          another process holds the same project
├── BuildError                       deploy: an extension, a layer, a file            (exit code 1)
│   ├── ExtensionError               an extension's hook raised
│   └── RegistryError                a registry of images refused, or cannot be reached: `status`
├── RunError                         the outcome of a run, seen by the one who waited for it
│   ├── SubtaskUnwrapError           `.unwrap()` of a failed child: `task_id`, `run_id`, `cause`
│   ├── WaitpointTimeoutError        a token that nobody completed in time
│   ├── BatchTriggerError            items of a batch that could not be triggered
│   └── RunStuckError                a run of a test waits for what neither time nor a task brings
├── ScriptError                      a program of `python.run` failed: `exit_code`, `stdout`, `stderr`
├── AbortTaskRunError                raised by a task: fail now, no retries
├── OutOfMemoryError                 raised by a task: this run needs a larger machine
├── NonDeterminismError              a replay met another operation than the recorded one
└── EngineError                      refused by the engine
    ├── UnknownTaskError             no such task; carries the nearest id
    ├── NoSuchRunError               no such run, batch, token, schedule or queue
    ├── InvalidOptionError           an option's value (delay, ttl, tags, ...)
    ├── NoSuchVariableError          no environment variable of this name
    ├── MissingBodyError             a stored payload or output that is gone
    ├── StoppedError                 the engine has stopped: HTTP 503
    └── StaleLeaseError              a write of an attempt that no longer holds its lease

RunSignal                            BaseException: ends user code from inside; no `except Exception` eats it
├── RunCancelled                     the run was cancelled
├── RunTimedOut                      max_duration was exceeded
├── RunEvicted                       the run goes on elsewhere, from its record
└── CompleteTaskWithOutput           raised by a task: end the run successfully with this output
"""

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class TriggerError(Exception):
    """Base of every error of this package."""


class UsageError(TriggerError):
    """A call or a command line that cannot work as written."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake in a file; line and column count from 1, in characters; `source` is that line's text."""

    message: str
    file: str
    line: int
    column: int
    length: int = 1
    help: str | None = None
    source: str = ""


class ConfigError(UsageError):
    """Mistakes in configuration files; its text is the full rendering of all `diagnostics`."""

    def __init__(self, message: str, diagnostics: Sequence[Diagnostic] = ()) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)


class PayloadError(UsageError):
    """A payload that cannot be serialised, parsed, or is too large."""


class StepResultError(PayloadError):
    """What a step gave cannot be recorded: no JSON, or over 10 MB. Retrying would only repeat the step."""


class TaskDefinitionError(UsageError):
    """A task that cannot be registered."""


class ContextError(UsageError):
    """A call made where it is not possible, such as a wait outside a run."""


class ApiError(TriggerError):
    """An answer of the HTTP API that is not a success."""

    def __init__(self, status: int, message: str, body: Any = None) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.body = body


class BadRequestError(ApiError):
    """HTTP 400."""


class AuthenticationError(ApiError):
    """HTTP 401: the key is missing or wrong."""


class PermissionDeniedError(ApiError):
    """HTTP 403: the token does not allow this."""


class NotFoundError(ApiError):
    """HTTP 404."""


class ConflictError(ApiError):
    """HTTP 409."""


class UnprocessableEntityError(ApiError):
    """HTTP 422: understood, but refused."""


class RateLimitError(ApiError):
    """HTTP 429."""


class InternalServerError(ApiError):
    """HTTP 5xx."""


_API_ERRORS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def api_error_kind(status: int) -> type[ApiError]:
    """Choose the error for an HTTP status that is not a success."""
    return _API_ERRORS.get(status, InternalServerError if status >= 500 else ApiError)


class ConnectionFailedError(TriggerError):
    """The server cannot be reached."""


class WouldPromptError(TriggerError):
    """A question that cannot be asked because nobody is there to answer; names the flag that answers it."""


class EnvironmentProblemError(TriggerError):
    """Something of the machine: a port, the disk, permissions, an interpreter."""

    @staticmethod
    def of_disk(what: str, error: OSError, advice: str = "") -> "EnvironmentProblemError":
        """Make the error of what a disk refuses, a StorageFullError if it is full; `what` is "cannot ..."."""
        kind = StorageFullError if error.errno == errno.ENOSPC else EnvironmentProblemError
        return kind(f"{what}: {error.strerror}{advice}")


class StorageFullError(EnvironmentProblemError):
    """The disk is full; the write did not happen and can be repeated when there is space."""


class StorageUnavailableError(EnvironmentProblemError):
    """The database does not answer; the write did not happen and can be repeated when it is back."""


class StorageDamagedError(EnvironmentProblemError):
    """The database's file is damaged or no database; the message says what to do."""


class AlreadyRunningError(EnvironmentProblemError):
    """Another process holds the same project; the message names it."""


class BuildError(TriggerError):
    """A build that cannot go on."""


class ExtensionError(BuildError):
    """A hook of a build extension raised; the message names extension, hook and the user's line."""


class RegistryError(BuildError):
    """A registry of images refused, or cannot be reached; `status` is None without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RunError(TriggerError):
    """The outcome of a run, raised for the one who waited for it."""


class SubtaskUnwrapError(RunError):
    """A child run failed and its result was unwrapped."""

    def __init__(self, task_id: str, run_id: str, cause: Any) -> None:
        super().__init__(f"Run {run_id} of task {task_id!r} failed: {cause}")
        self.task_id = task_id
        self.run_id = run_id
        self.cause = cause


class WaitpointTimeoutError(RunError):
    """A token was not completed in time."""


class BatchTriggerError(RunError):
    """A batch that could not be triggered."""


class RunStuckError(RunError):
    """A run of a test that does not end by itself; the message says what it waits for."""


class ScriptError(TriggerError):
    """A program that `python.run` and its like have started failed.

    `exit_code` is negative for a signal, None if it exceeded its time. `stdout` and `stderr` are their ends.
    """

    def __init__(
        self, message: str, exit_code: int | None = None, stdout: str = "", stderr: str = ""
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr


class AbortTaskRunError(TriggerError):
    """Raise it in a task to fail the run without any retry."""


class OutOfMemoryError(TriggerError):
    """Raise it in a task to say that this run needs a larger machine."""


class NonDeterminismError(TriggerError):
    """A replayed run did another operation than its record says."""


class EngineError(TriggerError):
    """A request that the engine refuses."""


class UnknownTaskError(EngineError):
    """A task id that no worker has registered."""

    def __init__(self, task_id: str, nearest: str | None = None) -> None:
        hint = f" Did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"Task {task_id!r} not found.{hint}")
        self.task_id = task_id
        self.nearest = nearest


class NoSuchRunError(EngineError):
    """No run, batch, token, schedule or queue has this id."""


class InvalidOptionError(EngineError):
    """An option whose value cannot be used; the message names option and reason."""


class NoSuchVariableError(EngineError):
    """No environment variable has this name."""


class MissingBodyError(EngineError):
    """A large payload or output that is no longer where it was stored."""


class StaleLeaseError(EngineError):
    """A write of an attempt that no longer holds its lease."""


class StoppedError(EngineError):
    """The engine has stopped: nothing is committed or read any more."""

    def __init__(self) -> None:
        super().__init__("The engine has stopped.")


class RunSignal(BaseException):
    """Ends user code from inside; inherits BaseException so that `except Exception` cannot swallow it."""


class RunCancelled(RunSignal):
    """The run was cancelled."""


class RunTimedOut(RunSignal):
    """The run exceeded its max_duration."""


class RunEvicted(RunSignal):
    """The run leaves this process and goes on elsewhere from its record."""


class CompleteTaskWithOutput(RunSignal):
    """Raise it anywhere in a task to end the run successfully with this output."""

    def __init__(self, output: Any = None) -> None:
        super().__init__()
        self.output = output
