"""What the end of a worker process means for the runs in it: who ended it, and of what."""

import signal
from collections import Counter
from typing import TYPE_CHECKING

from triggerdev._crash import crash_point
from triggerdev.protocol import Message
from triggerdev.worker import outcomes
from triggerdev.worker.events import SupervisorEvent
from triggerdev.worker.template_process import describe_exit
from triggerdev.worker.worker_process import Placement, WorkerProcess

if TYPE_CHECKING:
    from triggerdev.worker.dispatcher import Dispatcher

_MAX_NEVER_TAKEN = 3
_MAX_NEVER_READY = 60  # with a pause between them: 30 s


class Deaths:
    """Speaks for the runs of processes that have died.

    A plain function's process died of its run. Of a shared loop nobody knows: those that were in user code
    are suspects, and who is alone when its process dies again did it.
    """

    def __init__(self, dispatcher: "Dispatcher") -> None:
        self._dispatcher = dispatcher
        self._never_taken: Counter[str] = Counter()

    def forget(self, run: str) -> None:
        """Drop what is known of a run that has ended."""
        self._never_taken.pop(run, None)

    def judge(self, worker: WorkerProcess, status: int | None, peak: int | None) -> None:
        """Say of each run in a process that has ended what that means for it.

        `status`: exit code or minus a signal, None if unknown; `peak`: the most memory it had, in bytes.
        """
        crash_point("supervisor.worker_gone")
        dispatcher = self._dispatcher
        dispatcher.pool.forget(worker)
        placements = list(worker.runs.values())
        now = dispatcher.loop.time()
        victims: list[Placement] = []
        for placement in placements:
            if placement.ending in ("cancelled", "timed_out"):
                dispatcher.later(outcomes.ended(placement, now))
            elif placement.parked or placement.ending == "evicted":
                dispatcher.later(outcomes.evicted(placement))
            else:
                victims.append(placement)
        self._divide(worker, victims, status, peak)
        for placement in placements:
            dispatcher.forget(placement)
        worker.group.remove()

    def _divide(
        self, worker: WorkerProcess, victims: list[Placement], status: int | None, peak: int | None
    ) -> None:
        """Find out which of the runs in a process may have ended it; the others are just lost."""
        is_ours = status is None or worker.culprit is not None or self._dispatcher.is_stopping
        innocent = victims if is_ours else [victim for victim in victims if self._was_never_taken(victim)]
        if innocent:
            self._give_back(worker, innocent, status)
        suspects = [victim for victim in victims if victim not in innocent]
        if suspects and status is not None:
            self._accuse(worker, suspects, status, peak)

    def _was_never_taken(self, placement: Placement) -> bool:
        """Say whether the process was dead already when the run came; not believed for ever."""
        if placement.confirmed:
            return False
        self._never_taken[placement.run] += 1
        limit = _MAX_NEVER_TAKEN if placement.worker.is_ready else _MAX_NEVER_READY
        return self._never_taken[placement.run] < limit

    def _give_back(self, worker: WorkerProcess, victims: list[Placement], status: int | None) -> None:
        """Have runs go on in another process: at once, or after a pause if none can be started at all."""
        reason = worker.failure
        if not worker.is_ready and status is not None and not self._dispatcher.is_stopping:
            failed_before = any(self._never_taken[victim.run] > 1 for victim in victims)
            reason = f"it ends with {describe_exit(status)} before it is ready" if failed_before else None
        if reason is None:
            self._dispatcher.later(outcomes.lost((victim.run, victim.token) for victim in victims))
            return
        for victim in victims:
            self._dispatcher.backoff.hold(victim.run, victim.token, worker.kind, reason)

    def _accuse(self, worker: WorkerProcess, victims: list[Placement], status: int, peak: int | None) -> None:
        runs = [victim.run for victim in victims]
        is_memory = status == -signal.SIGKILL and (worker.is_over_memory or worker.group.ran_out())
        how = "out of memory" if is_memory else f"with {describe_exit(status)}"
        text = f"A worker process ended {how} while executing {', '.join(runs[:3])}"
        text += f" and {len(runs) - 3} more." if len(runs) > 3 else "."
        data = {"runs": runs, "status": status, "pid": worker.pid}
        self._dispatcher.tell(SupervisorEvent("worker_died", text, data))
        if worker.kind == "async":
            self._dispatcher.pool.suspects.accuse(runs)
        shares_blame = is_memory and not victims[0].alone  # others have left something behind in that loop
        if len(victims) > 1 or shares_blame:
            self._dispatcher.later(outcomes.lost((victim.run, victim.token) for victim in victims))
        else:
            self._dispatcher.later(self._verdict(victims[0], status, peak, is_memory))

    def _verdict(self, victim: Placement, status: int, peak: int | None, is_memory: bool) -> Message:
        now = self._dispatcher.loop.time()
        grown = victim.worker.growth(peak)
        if is_memory:
            return outcomes.out_of_memory(victim, now, grown)
        return outcomes.crashed(victim, status, now, grown)
