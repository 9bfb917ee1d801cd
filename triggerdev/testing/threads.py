"""Plain functions: each run in a thread of its own, which blocks between its operations."""

import queue
import threading
from collections.abc import Callable

from triggerdev.protocol import Message
from triggerdev.worker.executor.project import Project
from triggerdev.worker.executor.sync_executor import SyncExecutor


class ThreadedRun:
    """One attempt of a plain function; it is its own channel. `say` is called from any thread."""

    def __init__(self, project: Project, say: Callable[[Message], None]) -> None:
        self._say = say
        self._inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._ending = threading.Lock()
        self._has_ended = False
        self._executor = SyncExecutor(project, self)

    def start(self, message: Message) -> None:
        """Execute the run that a start message describes."""
        name = f"run of {message['run']['task']}"
        threading.Thread(target=self._execute, args=(message,), name=name, daemon=True).start()

    def _execute(self, message: Message) -> None:
        self._executor.execute(message)
        with self._ending:
            self._has_ended = True
        while not self._inbox.empty():
            self._send_back(self._inbox.get())

    def handle(self, message: Message) -> None:
        """Take a message for the run; it is heard at the next operation."""
        with self._ending:
            if not self._has_ended:
                self._inbox.put(message)
                return
        self._send_back(message)

    def _send_back(self, message: Message) -> None:
        """Answer what has crossed the end: the engine believes the run here, but it has left."""
        if message["t"] == "resume":
            self._say({"t": "evicted", "run": message["run"], "token": message["token"]})

    def send(self, message: Message) -> None:
        self._say(message)

    def receive(self) -> Message:
        return self._inbox.get()
