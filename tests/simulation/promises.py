"""The statuses a run may go through in one command, written down apart from the engine's own table."""

from triggerdev.engine.model import FINAL, Status

_S = Status
_FROM: dict[Status, frozenset[Status]] = {
    _S.DELAYED: frozenset({_S.PENDING, _S.CANCELED}),
    _S.PENDING: frozenset({_S.EXECUTING, _S.EXPIRED, _S.CANCELED}),
    _S.RETRYING: frozenset({_S.EXECUTING, _S.CANCELED}),
    _S.EXECUTING: (FINAL - {_S.EXPIRED}) | {_S.WAITING, _S.PENDING, _S.RETRYING},
    _S.WAITING: (FINAL - {_S.EXPIRED}) | {_S.PENDING, _S.RETRYING},
}

# A parked run ends otherwise than by a cancel only if its process says so, which none here does.
_NEVER_SEEN = {(_S.WAITING, end) for end in FINAL - {_S.CANCELED}} | {(_S.WAITING, _S.RETRYING)}
TRANSITIONS = tuple(
    f"{before} -> {after}"
    for before in _FROM
    for after in sorted(_FROM[before])
    if (before, after) not in _NEVER_SEEN
)


class BrokenPromiseError(AssertionError):
    """Something that must never be has been seen."""


def may_become(before: Status, after: Status) -> bool:
    """Tell whether a run may go from one status to another in one command."""
    return after in _FROM.get(before, frozenset())
