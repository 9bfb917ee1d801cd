"""What goes to a worker: at once, or behind the stored bodies that it names; in order for each run."""

import asyncio
import logging
from collections.abc import Callable

from triggerdev import errors
from triggerdev.engine.bodies import Bodies, needs_bodies
from triggerdev.protocol import Message

_RETRY_SECONDS = 0.5
_log = logging.getLogger(__name__)

Deliver = Callable[[list[Message]], None]
Gone = Callable[[Message, errors.MissingBodyError], None]


class Outbox:
    """One worker's. Messages of a run wait behind one whose bodies are being read; others do not.

    `gone` is told of a run's start whose payload is no more; it is not delivered. `on_delivered` is called
    when something that had to be read has been delivered.
    """

    def __init__(
        self, deliver: Deliver, bodies: Bodies | None, gone: Gone, on_delivered: Callable[[], None]
    ) -> None:
        self._on_delivered = on_delivered
        self._deliver = deliver
        self._bodies = bodies
        self._gone = gone
        self._waiting: dict[str, list[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, messages: list[Message]) -> None:
        """Deliver messages now, or as soon as what they name has been read."""
        if self._bodies is None or not (self._waiting or any(map(needs_bodies, messages))):
            self._deliver(messages)
            return
        ready = [message for message in messages if not self._queued(self._bodies, message)]
        if ready:
            self._deliver(ready)

    @property
    def starting(self) -> int:
        """How many runs have been given out whose start has not been delivered."""
        return sum(queue[0]["t"] == "start" for queue in self._waiting.values() if queue)

    async def settled(self) -> None:
        """Wait until nothing is being read."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def clear(self) -> None:
        """Forget what has not been delivered."""
        self._waiting = {}
        for task in self._tasks:
            task.cancel()

    def _queued(self, bodies: Bodies, message: Message) -> bool:
        run = message.get("run")
        run_id = run["id"] if isinstance(run, dict) else run
        if run_id is None:
            return False
        if run_id in self._waiting:
            self._waiting[run_id].append(message)
            return True
        if not needs_bodies(message):
            return False
        self._waiting[run_id] = [message]
        task = asyncio.ensure_future(self._bring(bodies, run_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _bring(self, bodies: Bodies, run_id: str) -> None:
        queue = self._waiting[run_id]
        while queue:
            message: Message | None = queue[0]
            assert message is not None
            if needs_bodies(message):
                message = await self._filled(bodies, message)
            queue.pop(0)
            if not queue:
                del self._waiting[run_id]
            if message is not None:
                self._deliver([message])
        self._on_delivered()

    async def _filled(self, bodies: Bodies, message: Message) -> Message | None:
        """Read what a message names, however long that takes; None if it cannot be delivered."""
        while True:
            try:
                return await bodies.bring(message)
            except errors.MissingBodyError as error:
                self._gone(message, error)
                return None
            except errors.EnvironmentProblemError as error:
                _log.warning("a run has to wait for what is stored: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
