"""What the tasks of this project share."""

from collections.abc import Iterable
from typing import Any

from tests.reliability.ledger import note, place
from triggerdev import Context


def child(payload: dict[str, Any], ctx: Context, position: int) -> dict[str, Any]:
    """Make the payload of the child at a position of this attempt."""
    return {"n": payload["n"] + position, "key": place(ctx, str(position))}


def below(payload: dict[str, Any], ctx: Context, position: int) -> dict[str, Any]:
    """Make the payload of a child that all attempts of the run share."""
    return {"n": payload["n"] + position, "key": f"{ctx.run.id}:any:{position}"}


def children(payload: dict[str, Any], ctx: Context, positions: Iterable[int]) -> list[dict[str, Any]]:
    """Make the items of a batch."""
    return [{"payload": child(payload, ctx, position)} for position in positions]


def outcome(ctx: Context, result: Any) -> Any:
    """Give a child's value, and write down which of its executions this run has heard of."""
    output = result.unwrap()
    note(ctx, "saw", f"{result.id}:{output['end']}")
    return output["value"]
