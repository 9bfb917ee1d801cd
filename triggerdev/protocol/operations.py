"""Durable operations: their kinds, what is recorded of them, and the messages about one."""

from typing import Any, Final, Literal, NotRequired, TypedDict

# Kinds of durable operations; a replay compares (kind, target) at each operation id.
WAIT: Final = "wait"
WAIT_TOKEN: Final = "wait_token"  # noqa: S105 - a kind of operation
CREATE_TOKEN: Final = "create_token"  # noqa: S105 - a kind of operation
COMPLETE_TOKEN: Final = "complete_token"  # noqa: S105 - a kind of operation
TRIGGER: Final = "trigger"
TRIGGER_AND_WAIT: Final = "trigger_and_wait"
BATCH_TRIGGER: Final = "batch_trigger"
BATCH_TRIGGER_AND_WAIT: Final = "batch_trigger_and_wait"
TAGS: Final = "tags"
METADATA: Final = "metadata"
RESET_KEY: Final = "reset_key"
STEP: Final = "step"
SCHEDULE: Final = "schedule"

WAITING_KINDS: Final = frozenset({WAIT, WAIT_TOKEN, TRIGGER_AND_WAIT, BATCH_TRIGGER_AND_WAIT})


class OpRecord(TypedDict):
    """One durable operation of an attempt, as it is recorded. `result` is there when `done` is true.

    The result of a refused one is `{"error", "error_kind"}`, as in the Reply. `heard`: see Op. `at`: when
    what it waited for came about.
    """

    op: str
    kind: str
    target: str | None
    done: bool
    result: NotRequired[Any]
    heard: NotRequired[list[str]]
    at: NotRequired[int]


def is_refusal(result: Any) -> bool:
    """Say whether a recorded result is that of an operation which was refused."""
    return isinstance(result, dict) and "error_kind" in result


class Op(TypedDict):
    """Do and record one durable operation; `id` pairs the Reply.

    `heard`: which results the code has taken since the operation before this one, in order: an id; "+" and an
    id, in the same turn of the loop as the one before; "-" and an id, given up by its waiter; "+-", in the
    same turn as the one given up before. Not there if it has taken all that were outstanding, in the order in
    which it asked, as code without branches does.
    """

    t: Literal["op"]
    id: int
    run: str
    token: int
    op: str
    kind: str
    target: str | None
    args: dict[str, Any]
    heard: NotRequired[list[str]]


class Reply(TypedDict):
    """Answer to an Op.

    `pending`: recorded, the result follows by OpDone or Resume. `error`: refused; `error_kind` is the error's
    class, or "stale" when the lease is no longer held, upon which the run unwinds and answers Evicted.
    """

    t: Literal["reply"]
    id: int
    run: str
    token: int
    pending: NotRequired[bool]
    result: NotRequired[Any]
    error: NotRequired[str]
    error_kind: NotRequired[str]


class OpDone(TypedDict):
    """An operation of an executing run is complete (another branch of it may be running)."""

    t: Literal["op_done"]
    run: str
    token: int
    op: str
    result: Any
    metadata: NotRequired[dict[str, Any]]
