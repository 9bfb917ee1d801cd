"""What each task of `tests/projects/storm` must do: its output, its children, its attempts.

Checks use it for every run by its task, whoever has triggered it.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Payload = dict[str, Any]

PROJECT = Path(__file__).parents[1] / "projects" / "storm"
MAX_ATTEMPTS = 40
LIMITS = {"one": 1, "two": 2, "five": 5}


@dataclass(frozen=True, slots=True)
class Kind:
    """One task.

    value: its output from its payload's n. children: the task at each position of an attempt; shared: those
    that all attempts have in common. share: how many of a round of the load are of it. `tokens`, `steps`:
    how many an attempt makes. `counted`: what its metadata must say of its last attempt. `is_plain`: a
    process of its own, whose death costs an attempt.
    """

    task: str
    value: Callable[[int], Any]
    share: int = 0
    children: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    tokens: int = 0
    steps: int = 0
    counted: int = 0
    fails: bool = False
    has_hooks: bool = False
    queue: str | None = None

    @property
    def is_plain(self) -> bool:
        return self.task.endswith("-sync") or self.task == "computes"

    def runs(self) -> int:
        """Count the runs that one of these makes at least, itself included."""
        return 1 + sum(KINDS[task].runs() for task in (*self.children, *self.shared))


def _same(n: int) -> int:
    return n


def _double(n: int) -> int:
    return 2 * n


def _digest(n: int) -> str:
    return hashlib.pbkdf2_hmac("sha256", str(n).encode(), b"salt", 20_000).hex()[:16]


_ALL = [
    Kind("leaf", _double, share=3),
    Kind("leaf-sync", _double, share=3),
    Kind("telling", _same),
    Kind("completing", _same),
    Kind("completing-sync", _same),
    Kind("triggers", _same, share=1, children=("leaf",) * 2),
    Kind("triggers-sync", _same, share=1, children=("leaf-sync",) * 2),
    Kind("middle", lambda n: 2 * n + 1, children=("leaf-sync",)),
    Kind("nested", lambda n: 2 * n + 2, share=2, children=("middle",)),
    Kind("nested-sync", lambda n: 2 * n + 2, share=2, children=("middle",)),
    Kind("batches", lambda n: [2 * (n + k) for k in (2, 3, 4)], share=1, children=("leaf",) * 5),
    Kind(
        "batches-sync",
        lambda n: [2 * (n + k) for k in (2, 3)],
        share=1,
        children=("leaf",) * 2 + ("leaf-sync",) * 2,
    ),
    Kind(
        "gathers",
        lambda n: [2 * (n + k) for k in range(4)],
        share=2,
        children=("leaf", "leaf-sync", "leaf", "leaf"),
    ),
    Kind("retried", _same, share=1, children=("leaf",), shared=("leaf",), fails=True),
    Kind("retried-sync", _same, share=1, children=("leaf",), shared=("leaf",), fails=True),
    Kind("waits", _same, share=3),
    Kind("waits-sync", _same, share=2),
    Kind("waits-until", _same, share=1),
    Kind("tokens", _same, share=1, children=("completing",), tokens=1),
    Kind("tokens-sync", _same, share=1, children=("completing-sync",), tokens=1),
    Kind("steps", _same, share=2, children=("leaf",), steps=3),
    Kind("steps-sync", _same, share=1, children=("leaf",), steps=2),
    Kind("limited-one", _same, share=2, queue="one"),
    Kind("limited-one-sync", _same, share=2, queue="one"),
    Kind("limited-two", _same, share=2, queue="two"),
    Kind("limited-two-sync", _same, share=2, queue="two"),
    Kind("limited-five", _same, share=3, queue="five"),
    Kind("hooked", _double, share=1, children=("leaf",), has_hooks=True),
    Kind("hooked-sync", _double, share=1, children=("leaf",), has_hooks=True),
    Kind("writes", _same, share=1, children=("telling",) * 2, counted=3),
    Kind("keys", lambda n: True, share=1, shared=("leaf",)),
    Kind("computes", _digest, share=2),
]
KINDS = {kind.task: kind for kind in _ALL}


@dataclass(frozen=True, slots=True)
class Order:
    """One trigger call of the load; `key` is its idempotency key."""

    task: str
    key: str
    payload: Payload


def orders(seed: int, runs: int) -> list[Order]:
    """Choose trigger calls, all kinds mixed, that make at least so many runs with their descendants."""
    chance = random.Random(seed)
    chosen: list[Order] = []
    for task in _deck(chance):
        if runs <= 0:
            break
        chosen.append(order(task, f"{seed}-{len(chosen)}", chance))
        runs -= KINDS[task].runs()
    return chosen


def order(task: str, key: str, chance: random.Random) -> Order:
    """Make one trigger call."""
    payload: Payload = {"n": chance.randrange(1000), "key": key}
    if KINDS[task].fails:
        payload["fails"] = chance.randrange(1, 4)
    return Order(task, key, payload)


def _deck(chance: random.Random) -> Iterator[str]:
    round_ = [kind.task for kind in _ALL for _ in range(kind.share)]
    while True:
        chance.shuffle(round_)
        yield from round_
