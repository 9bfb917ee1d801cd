"""What must have happened at least once in many simulations; else they prove less than they seem to."""

from collections import Counter

from tests.simulation.promises import TRANSITIONS

__all__ = ["FAULTS", "SITUATIONS", "TRANSITIONS", "happened", "missing"]

_OPERATIONS = (
    *("wait", "wait_token", "create_token", "complete_token", "trigger", "trigger_and_wait"),
    *("batch_trigger", "batch_trigger_and_wait", "tags", "metadata", "step"),
)
_JUMPS = [
    f"clock {way} by {span}" for way in ("back", "forward") for span in ("a second", "an hour", "a year")
]
FAULTS = (
    "server crashed",
    "server crashed before commit",
    "server crashed after commit",
    "worker died",
    "worker stopped beyond its lease",
    "worker's processes died",
    "process of a plain function died",
    "message lost with its connection",
    "message sent twice",
    "slow connections",
    "disk full",
    "transaction repeated",
    "version switched",
    *_JUMPS,
)
SITUATIONS = (
    "a key that had ended was used again",
    "a missed slot was caught up with",
    "a parked run asked for a slot",
    "a limit was overridden",
    "a queue was full",
    "a queue was paused",
    "a result crossed a park",
    "client asked again",
    "everything was full",
    "evicted by the engine",
    "evicted by the worker",
    "group repeated one by one",
    "idempotency key known",
    "message by mail",
    "message under an old token",
    "messages waited for disk space",
    "operation answered from the record",
    "operation of one who lost his run",
    "operation refused",
    "parked beside a timer",
    "result while executing",
    "resumed in its process",
    "run deleted",
    "run taken over after its lease",
    *(f"operation {kind}" for kind in _OPERATIONS),
)


def missing(counts: Counter[str]) -> list[str]:
    """List what never happened."""
    return [name for name in (*TRANSITIONS, *FAULTS, *SITUATIONS) if not counts[name]]


def happened(counts: Counter[str], names: tuple[str, ...]) -> str:
    """Say how many of some things happened, and how often altogether."""
    kinds = sum(counts[name] > 0 for name in names)
    return f"{kinds} of {len(names)}, {sum(counts[name] for name in names)} times"
