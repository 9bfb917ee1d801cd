"""Plain functions: each run in a thread of its own, which blocks between its operations."""

import queue
import threading
from collections.abc import Callable

from triggerdev.protocol import Message
from triggerdev.worker.executor import Project, SyncExecutor


class ThreadedRun:
    """One attempt of a plain function; it is its own channel. `say` is called from its thread."""

    def __init__(self, project: Project, say: Callable[[Message], None]) -> None:
        self._say = say
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._executor = SyncExecutor(project, self)

    def start(self, message: Message) -> None:
        """Execute the run that a start message describes."""
        name = f"run of {message['run']['task']}"
        threading.Thread(target=self._executor.execute, args=(message,), name=name, daemon=True).start()

    def handle(self, message: Message) -> None:
        """Take a message for the run; it is heard at the next operation."""
        self._inbox.put(message)

    def send(self, message: Message) -> None:
        self._say(message)

    def receive(self) -> Message:
        return self._inbox.get()
