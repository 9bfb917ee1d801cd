"""Retry policies, queues: the options of tasks that are objects of their own."""

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from triggerdev.errors import TaskDefinitionError
from triggerdev.protocol import MAX_ATTEMPTS, QueueInfo, RetryInfo
from triggerdev.sdk import machines, registry

_RETRY_NAMES = {
    "maxAttempts": "max_attempts",
    "minTimeoutInMs": "min_timeout_in_ms",
    "maxTimeoutInMs": "max_timeout_in_ms",
    "outOfMemory": "out_of_memory",
}


class OutOfMemoryMapping(TypedDict):
    """What happens when memory runs out: one more try on a larger `machine` (a preset)."""

    machine: "str | machines.MachineMapping | machines.Machine"


MAX_QUEUE_NAME = 128
_QUEUE_CHARACTER = re.compile(r"[A-Za-z0-9_/-]")


@dataclass(frozen=True)
class Retry:
    """When a failed attempt is repeated.

    After min_timeout_in_ms * factor ** (attempt - 1), times 1 to 2 if randomized, at most max_timeout_in_ms.

    `max_attempts` counts the first one, 1 to 250. `out_of_memory={"machine": "large-1x"}`: a run that ran out
    of memory is tried once more on that machine; without it, that is its end. Raises TaskDefinitionError for
    values that make no sense.
    """

    max_attempts: int = 3
    factor: float = 2
    min_timeout_in_ms: float = 1000
    max_timeout_in_ms: float = 60_000
    randomize: bool = True
    out_of_memory: "OutOfMemoryMapping | Mapping[str, Any] | None" = None

    def __post_init__(self) -> None:
        attempts = self.max_attempts
        if isinstance(attempts, bool) or not isinstance(attempts, int) or not 1 <= attempts <= MAX_ATTEMPTS:
            raise TaskDefinitionError(
                f"Retry(max_attempts={attempts!r}): use a whole number of 1 to {MAX_ATTEMPTS}."
            )
        _number("factor", self.factor, "a number above 0", lambda value: value > 0)
        for name in ("min_timeout_in_ms", "max_timeout_in_ms"):
            _number(name, getattr(self, name), "milliseconds, 0 or more", lambda value: value >= 0)
        if not isinstance(self.randomize, bool):
            raise TaskDefinitionError(f"Retry(randomize={self.randomize!r}): use True or False.")
        if self.out_of_memory is not None:
            _larger_machine(self.out_of_memory)

    @property
    def out_of_memory_machine(self) -> str | None:
        """The preset for one more try after memory has run out."""
        return _larger_machine(self.out_of_memory) if self.out_of_memory is not None else None

    def info(self) -> RetryInfo:
        """Give the policy as the worker protocol carries it."""
        return {
            "max_attempts": self.max_attempts,
            "factor": self.factor,
            "min_timeout_in_ms": round(self.min_timeout_in_ms),
            "max_timeout_in_ms": round(self.max_timeout_in_ms),
            "randomize": self.randomize,
            "out_of_memory_machine": self.out_of_memory_machine,
        }


def _number(name: str, value: Any, expected: str, is_good: Callable[[float], bool]) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not is_good(value):
        raise TaskDefinitionError(f"Retry({name}={value!r}): use {expected}.")


def _larger_machine(given: Any) -> str:
    if not isinstance(given, Mapping) or set(given) != {"machine"} or given["machine"] is None:
        raise TaskDefinitionError(f'Retry(out_of_memory={given!r}): use {{"machine": "large-1x"}}.')
    try:
        return machines.preset_name(given["machine"]) or ""
    except TaskDefinitionError as error:
        raise TaskDefinitionError(f"Retry(out_of_memory={given!r}): {error}") from None


def as_retry(value: "Retry | Mapping[str, Any] | None", option: str = "retry") -> Retry | None:
    """Read a retry policy: a Retry, a mapping with its names (camelCase too), or None."""
    if value is None or isinstance(value, Retry):
        return value
    if not isinstance(value, Mapping):
        raise TaskDefinitionError(f"{option}={value!r}: use Retry(...) or a mapping of its options.")
    options = {_RETRY_NAMES.get(name, name): setting for name, setting in value.items()}
    unknown = options.keys() - Retry.__dataclass_fields__.keys()
    if unknown:
        known = ", ".join(Retry.__dataclass_fields__)
        raise TaskDefinitionError(f"{option} has no option {min(map(str, unknown))!r}; it has {known}.")
    return Retry(**options)


def delay_ms(policy: Retry, attempt: int) -> float | None:
    """Give the pause after a failed attempt, None if it was the last."""
    if attempt >= policy.max_attempts:
        return None
    spread = 1 + random.random() if policy.randomize else 1  # noqa: S311 - spreads load, hides nothing
    try:
        raw = spread * policy.min_timeout_in_ms * float(policy.factor) ** (attempt - 1)
    except OverflowError:  # 1000.0 ** 249
        raw = policy.max_timeout_in_ms
    return round(min(policy.max_timeout_in_ms, raw))


class QueueMapping(TypedDict, total=False):
    """A queue as a mapping: `name` and `concurrency_limit` (runs that execute at the same time)."""

    name: str
    concurrency_limit: int | None


@dataclass(frozen=True)
class Queue:
    """A queue that tasks share. `concurrency_limit` is how many of its runs execute at the same time."""

    name: str
    concurrency_limit: int | None = None

    def __post_init__(self) -> None:
        name: Any = self.name
        is_name = isinstance(name, str) and (not name.isascii() or _QUEUE_CHARACTER.search(name))
        if not is_name or len(name) > MAX_QUEUE_NAME:
            raise TaskDefinitionError(
                f"queue name {name!r:.60}: use letters, digits, _, -, /; at most {MAX_QUEUE_NAME} characters."
            )

    def info(self) -> QueueInfo:
        """Give the queue as the worker protocol carries it."""
        return {"name": self.name, "concurrency_limit": self.concurrency_limit}


def queue(name: str, *, concurrency_limit: int | None = None) -> Queue:
    """Define a queue that tasks share.

    Raises TaskDefinitionError for a limit below 1, or a name without a letter or digit.
    """
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
    return Queue(name, _limit(options.get("concurrency_limit")))


def _limit(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TaskDefinitionError(
            f"concurrency_limit={value!r}: use a whole number from 1, or None for no limit."
        )
    return value
