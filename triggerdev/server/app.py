"""The application: routes, guards, and how errors of the engine become answers."""

import logging
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from triggerdev import errors
from triggerdev.engine.objects import FolderObjects
from triggerdev.server import bodies, documenting, problems
from triggerdev.server.context import Api
from triggerdev.server.gate import Gate, route_of
from triggerdev.server.packets import PacketStore
from triggerdev.server.routes import (
    auth,
    batches,
    meta,
    packets,
    queues,
    realtime,
    run_actions,
    run_events,
    runs,
    schedules,
    trigger,
    variables,
    waitpoints,
)
from triggerdev.server.settings import ServerSettings
from triggerdev.server.tokens import TokenSigner

if TYPE_CHECKING:
    from triggerdev.engine.engine import Engine

_log = logging.getLogger("triggerdev.server")

_DESCRIPTION = (
    "The wire format of Trigger.dev v4, so that its official clients work against this server. "
    "Every route under /api needs `Authorization: Bearer <secret key>`; many also take a public access token."
)
# In the order of traffic: routes are matched from the first to the last.
ROUTERS = (
    *(trigger, runs, realtime, batches, run_events, run_actions, waitpoints, schedules, queues),
    *(variables, auth, packets, meta),
)
_NOT_FOUND = (
    ("/realtime/v1/runs/", "Run not found"),
    ("/realtime/v1/batches/", "Batch not found"),
    ("/api/v1/waitpoints/", "Waitpoint not found"),
    ("/api/v1/schedules/", "Schedule not found"),
    ("/api/v1/queues/", "Queue not found"),
    ("/api/v1/idempotencyKeys/", "Idempotency key not found"),
    ("/api/v3/batches/", "Batch not found"),
    ("/api/v2/batches/", "Batch not found"),
    ("/api/v1/batches/", "Batch not found"),
    ("/api/v3/runs/", "Run not found"),
    ("/api/v2/runs/", "Run not found"),
    ("/api/v1/runs/", "Run not found"),
)


def create_app(engine: "Engine", *, secret_key: str, settings: ServerSettings) -> FastAPI:
    """Make the ASGI application of one environment: `engine` behind `secret_key`."""
    app = FastAPI(
        title="triggerdev API",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    allowed = settings.allowed_hosts
    hosts = None if allowed is None else {name.lower() for name in allowed}
    app.state.api = Api(
        engine=engine,
        secret_key=secret_key,
        settings=settings,
        signer=TokenSigner(secret_key, engine.environment.id),
        packets=PacketStore(engine.bodies.objects if engine.bodies else FolderObjects(settings.data_dir)),
        hosts=hosts,
    )
    for module in ROUTERS:
        app.include_router(module.router)
    documenting.install(app)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(RequestValidationError, _bad_parameters)
    app.add_exception_handler(errors.TriggerError, _engine_problem)
    app.add_middleware(Gate, hosts=hosts, is_stopping=app.state.api.is_stopping)
    return app


async def _http_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = "Method not allowed" if error.status_code == 405 else error.detail
    extra = error.extra if isinstance(error, problems.Problem) else {}
    headers = dict(error.headers) if error.headers else None
    return bodies.answer({"error": message, **extra}, error.status_code, headers)


async def _bad_parameters(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    mistakes = error.errors()
    place = str(mistakes[0]["loc"][0]) if mistakes else ""
    details = [
        f"{'.'.join(str(part) for part in mistake['loc'][1:])}: {mistake['msg']}" for mistake in mistakes
    ]
    return bodies.answer(
        {"error": "Params Error" if place == "path" else "Query Error", "details": details}, 400
    )


async def _engine_problem(request: Request, error: Exception) -> Response:
    problem = problems.of_engine(error)
    message = problem.detail
    if isinstance(error, errors.NoSuchRunError):
        path = request.url.path
        message = next((text for prefix, text in _NOT_FOUND if path.startswith(prefix)), message)
    if problem.status_code >= 500 and not isinstance(error, errors.StoppedError):
        _log.error("%s %s: %s", request.method, route_of(request.scope), error)
    headers = dict(problem.headers) if problem.headers else None
    return bodies.answer({"error": message}, problem.status_code, headers)
