"""Watches the memory of processes that execute runs, beside the limit that the system keeps."""

from typing import TYPE_CHECKING

from triggerdev.worker import memory, rooms
from triggerdev.worker.worker_process import WorkerProcess

if TYPE_CHECKING:
    from triggerdev.worker.dispatcher import Dispatcher

_LOOK_SECONDS = 0.25


class Growth:
    """Ends a process that uses more than its runs may, and sends new runs elsewhere than to a large loop.

    The system's limit refuses single large requests at once. What grows in small steps would be refused in
    any run of a loop, or in our own code, and shared memory is not refused at all: so that is found here.
    """

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._is_watching = False

    def watch(self) -> None:
        """Look from now on, as long as something executes."""
        if not self._is_watching:
            self._is_watching = True
            self._dispatcher.loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        executing = {each.worker for each in self._dispatcher.runs.values() if not each.parked}
        for worker in executing:
            self._weigh(worker)
        self._is_watching = bool(executing)
        if executing:
            self._dispatcher.loop.call_later(_LOOK_SECONDS, self._look)

    def _weigh(self, worker: WorkerProcess) -> None:
        if worker.pid is None or worker.is_gone or not worker.private or worker.group.folder is not None:
            return  # a control group does it better
        private = memory.private_of(worker.pid)
        if private is None:
            return
        grown = private - worker.private
        if grown > _allowed(worker):
            worker.is_over_memory = True
            worker.kill()
        elif worker.kind == "async" and worker.machine and rooms.loop_is_large(worker.machine, grown):
            worker.is_worn = True


def _allowed(worker: WorkerProcess) -> int:
    first = next(iter(worker.runs.values()))
    if first.alone:
        return rooms.machine_bytes(first.machine) + rooms.stacks_bytes() + rooms.SLACK
    return rooms.loop_bytes(first.machine, len(worker.runs))
