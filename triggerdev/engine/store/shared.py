"""What a store adds when servers share it: repeating, news between them, mail for their workers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from triggerdev.engine.clock import Clock
from triggerdev.engine.store.protocol import Store, Tx
from triggerdev.protocol import Message


class RepeatError(Exception):
    """The transaction did not happen and is to be repeated as a whole; the store bounds how often."""


@dataclass(slots=True)
class News:
    """What other servers should look at. `missed`: there may have been more, so look at everything."""

    runs: set[str] = field(default_factory=set)
    logs: set[str] = field(default_factory=set)
    mail: set[str] = field(default_factory=set)
    work: bool = False
    missed: bool = False

    def __bool__(self) -> bool:
        return bool(self.work or self.missed or self.runs or self.logs or self.mail)


class SharedTx(Tx, Protocol):
    """A transaction beside those of other servers.

    `end_stalled` ends the transactions of servers that stand still, and with them their locks.
    `renew_lease` tells whether the worker still had one; so does `holds_lease`, and then nobody takes over
    its runs until the transaction ends.
    """

    def send_mail(self, messages: Sequence[tuple[str, Message]]) -> None: ...
    def take_mail(self, workers: Sequence[str]) -> list[tuple[str, Message]]: ...
    def end_stalled(self, seconds: float) -> int: ...
    def renew_lease(self, worker: str, until: int) -> bool: ...
    def holds_lease(self, worker: str) -> bool: ...


@runtime_checkable
class SharedStore(Store, Protocol):
    """A database of many servers. `listen` and `announce` carry hints: what is lost is found by polling.

    `patience`: for how many seconds it is waited for when it is gone.
    """

    patience: float

    @property
    def clock(self) -> Clock: ...
    def write(self) -> AbstractContextManager[SharedTx]: ...
    def listen(self, hear: Callable[[News], None]) -> None: ...
    def announce(self, news: News) -> None: ...
    def clock_was_set(self, within: float) -> bool: ...
    def give_up(self) -> None: ...


__all__ = ["News", "RepeatError", "SharedStore", "SharedTx"]
