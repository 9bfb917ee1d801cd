"""Retry policies, queues: the options of tasks that are objects of their own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from triggerdev.errors import TaskDefinitionError
from triggerdev.protocol import QueueInfo, RetryInfo
from triggerdev.sdk import machines, registry

_RETRY_NAMES = {
    "maxAttempts": "max_attempts",
    "minTimeoutInMs": "min_timeout_in_ms",
    "maxTimeoutInMs": "max_timeout_in_ms",
}


@dataclass(frozen=True)
class Retry:
    """When a failed attempt is repeated.

    After min_timeout_in_ms * factor ** (attempt - 1), times 1 to 2 if randomized, at most max_timeout_in_ms.

    `max_attempts` counts the first one. `out_of_memory_machine` is the preset for one more try after
    OutOfMemoryError. Raises TaskDefinitionError for values that make no sense.
    """

    max_attempts: int = 3
    factor: float = 2
    min_timeout_in_ms: int = 1000
    max_timeout_in_ms: int = 60_000
    randomize: bool = True
    out_of_memory_machine: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or not 1 <= self.max_attempts <= 250:
            raise TaskDefinitionError(f"Retry(max_attempts={self.max_attempts!r}): use 1 to 250.")
        if self.factor <= 0 or self.min_timeout_in_ms < 0 or self.max_timeout_in_ms < 0:
            raise TaskDefinitionError(f"{self!r}: factor must be positive, timeouts must not be negative.")
        machines.preset_name(self.out_of_memory_machine)

    def info(self) -> RetryInfo:
        """Give the policy as the worker protocol carries it."""
        return {
            "max_attempts": self.max_attempts,
            "factor": self.factor,
            "min_timeout_in_ms": self.min_timeout_in_ms,
            "max_timeout_in_ms": self.max_timeout_in_ms,
            "randomize": self.randomize,
            "out_of_memory_machine": self.out_of_memory_machine,
        }


def as_retry(value: "Retry | Mapping[str, Any] | None") -> Retry | None:
    """Read a retry policy: a Retry, a mapping with its names (camelCase too), or None."""
    if value is None or isinstance(value, Retry):
        return value
    if not isinstance(value, Mapping):
        raise TaskDefinitionError(f"retry={value!r}: use Retry(...) or a mapping of its options.")
    options = {_RETRY_NAMES.get(name, name): setting for name, setting in value.items()}
    memory = options.pop("outOfMemory", options.pop("out_of_memory", None))
    if isinstance(memory, Mapping):
        options["out_of_memory_machine"] = memory.get("machine")
    unknown = options.keys() - Retry.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(Retry.__dataclass_fields__)
        raise TaskDefinitionError(f"retry has no option {min(unknown)!r}; it has {known}.")
    return Retry(**options)


class QueueMapping(TypedDict, total=False):
    """A queue as a mapping: `name` and `concurrency_limit` (runs that execute at the same time)."""

    name: str
    concurrency_limit: int | None


@dataclass(frozen=True)
class Queue:
    """A queue that tasks share. `concurrency_limit` is how many of its runs execute at the same time."""

    name: str
    concurrency_limit: int | None = None

    def info(self) -> QueueInfo:
        """Give the queue as the worker protocol carries it."""
        return {"name": self.name, "concurrency_limit": self.concurrency_limit}


def queue(name: str, *, concurrency_limit: int | None = None) -> Queue:
    """Define a queue that tasks share. Raises TaskDefinitionError for a limit below 1."""
    made = Queue(name, _limit(concurrency_limit))
    registry.current().queues[name] = made
    return made


def as_queue(value: "str | Mapping[str, Any] | Queue | None", default_name: str | None) -> Queue | None:
    """Read a queue: a name, a mapping, a Queue or None. A mapping without name gets `default_name`."""
    if value is None or isinstance(value, Queue):
        return value
    if isinstance(value, str):
        return Queue(value)
    if not isinstance(value, Mapping):
        raise TaskDefinitionError(f"queue={value!r}: use a name, a mapping or queue(name=...).")
    options = {"concurrency_limit" if key == "concurrencyLimit" else key: item for key, item in value.items()}
    unknown = options.keys() - {"name", "concurrency_limit"}
    name = options.get("name") or default_name
    if unknown or not name:
        problem = f"unknown option {min(unknown)!r}" if unknown else "no name"
        raise TaskDefinitionError(f"queue={value!r}: {problem}; use name and concurrency_limit.")
    return Queue(str(name), _limit(options.get("concurrency_limit")))


def _limit(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TaskDefinitionError(
            f"concurrency_limit={value!r}: use a whole number from 1, or None for no limit."
        )
    return value
