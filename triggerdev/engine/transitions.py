"""The run's state machine: one table of (status, event) -> status, and nothing else.

         .--(delay)--> DELAYED --.
trigger -+--------------------->-+-> PENDING --claim--> EXECUTING --complete/fail/...--> final
                                       ^  |               |   |
                                       |  '--expire       |   '--retry--> RETRYING --claim--> EXECUTING
                                       '----wake---- WAITING <--park
A lost lease puts EXECUTING back to PENDING: the same attempt goes on from its record. What was parked may end
before it is claimed: a run that was woken ends from PENDING as from WAITING.
"""

from enum import StrEnum

from triggerdev import errors
from triggerdev.engine.model import Run, Status


class Event(StrEnum):
    DUE = "due"
    CLAIM = "claim"
    PARK = "park"
    WAKE = "wake"
    LOSE = "lose"
    COMPLETE = "complete"
    RETRY = "retry"
    FAIL = "fail"
    CRASH = "crash"
    BREAK = "break"
    TIME_OUT = "time_out"
    CANCEL = "cancel"
    EXPIRE = "expire"


_S = Status
_E = Event
_HELD = (_S.EXECUTING, _S.WAITING, _S.PENDING)

TABLE: dict[tuple[Status, Event], Status] = {
    (_S.DELAYED, _E.DUE): _S.PENDING,
    (_S.PENDING, _E.CLAIM): _S.EXECUTING,
    (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
    (_S.RETRYING, _E.CLAIM): _S.EXECUTING,
    (_S.EXECUTING, _E.PARK): _S.WAITING,
    (_S.EXECUTING, _E.LOSE): _S.PENDING,
    (_S.WAITING, _E.WAKE): _S.PENDING,
    **{(status, _E.COMPLETE): _S.COMPLETED for status in _HELD},
    **{(status, _E.RETRY): _S.RETRYING for status in _HELD},
    **{(status, _E.FAIL): _S.FAILED for status in _HELD},
    **{(status, _E.CRASH): _S.CRASHED for status in _HELD},
    **{(status, _E.BREAK): _S.SYSTEM_FAILURE for status in _HELD},
    **{(status, _E.TIME_OUT): _S.TIMED_OUT for status in _HELD},
    **{
        (status, _E.CANCEL): _S.CANCELED
        for status in (_S.DELAYED, _S.PENDING, _S.EXECUTING, _S.RETRYING, _S.WAITING)
    },
}


def move(run: Run, event: Event, now: int) -> None:
    """Apply an event to a run's status. Raises EngineError if the table has no such step."""
    target = TABLE.get((run.status, event))
    if target is None:
        raise errors.EngineError(f"Run {run.id} is {run.status}: it cannot {event}.")
    run.status = target
    run.updated_at = now
