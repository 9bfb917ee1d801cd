"""About the server: is it there, which tasks does it know."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from triggerdev._version import __version__
from triggerdev.server import bodies, context, documenting, present
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import meta as schemas

router = APIRouter(tags=["server"])


@router.get(
    "/healthz", summary="Is the server there", **documenting.documented(schemas.HealthAnswer, errors=())
)
async def health() -> Response:
    """Needs no key."""
    return bodies.answer({"status": "ok", "version": __version__})


@router.get(
    "/api/v1/tasks",
    summary="Tasks of the current version",
    **documenting.documented(schemas.TasksAnswer, errors=(401, 403)),
)
async def tasks(request: Request, caller: Annotated[Caller, Depends(Allow("read:tasks"))]) -> Response:
    """An extension: the official API has no such list. A token for single tasks sees those."""
    found = context.of(request).engine.list_tasks()
    return bodies.answer(
        {"tasks": [present.task(task) for task in found if caller.holds("read", "tasks", task["id"])]}
    )
