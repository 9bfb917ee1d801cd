"""What brings runs to the service: the seam for a connection to a server.

The messages are those of `protocol/`, as between an engine and a supervisor in one process.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from triggerdev.protocol import Manifest, Message


class Worker(Protocol):
    """The part of a supervisor that a link drives."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Take messages of the engine."""

    def capacity(self) -> dict[str, int]:
        """Count free slots."""


class Link(Protocol):
    """A connection to a server."""

    def send(self, messages: list[Message]) -> None:
        """Take messages for the engine."""

    def pump(self) -> None:
        """Learn that slots have become free."""

    async def run(self, worker: Worker, manifest: Manifest) -> None:
        """Register the manifest's tasks and bring runs, until cancelled; raises if that can never work."""


MakeLink = Callable[[str, str, Mapping[str, str]], Link]
"""Takes the server's URL, the secret key and the environment."""


class NoLink:
    """Stands where the connection to a server will be: no runs arrive."""

    def send(self, messages: list[Message]) -> None:
        """Take messages, which only runs cause."""

    def pump(self) -> None:
        """Do nothing."""

    async def run(self, worker: Worker, manifest: Manifest) -> None:
        """Wait until cancelled."""
        import asyncio

        await asyncio.Event().wait()
