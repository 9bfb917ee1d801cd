"""Environment variables of tasks: of one project and one environment, that of the key."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.engine.model import Variable
from triggerdev.engine.variables import Variables
from triggerdev.server import bodies, context, documenting, problems
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import common
from triggerdev.server.schemas import variables as schemas

router = APIRouter(tags=["environment variables"])
_Key = Annotated[Caller, Depends(Allow())]
_PROJECT = "/api/v1/projects/{project_ref}/envvars"
_BASE = _PROJECT + "/{slug}"
_ONE = _BASE + "/{name}"
_IMPORT_BYTES = 4 * 1024 * 1024
_ERRORS = (400, 401, 403, 404, 413, 422)
REDACTED = "<redacted>"


def _variables(request: Request, project_ref: str, slug: str | None = None) -> Variables:
    """Find the variables that a path speaks of; 404 for another project or environment than the key's."""
    engine = context.of(request).engine
    if project_ref != engine.environment.project_ref:
        raise problems.not_found("Project not found")
    if slug is not None and slug != engine.environment.slug:
        raise problems.not_found("Environment not found")
    return engine.variables


def _shown(variable: Variable) -> dict[str, Any]:
    value = REDACTED if variable.is_secret else variable.value
    return {"name": variable.name, "value": value, "isSecret": variable.is_secret}


@router.get(
    _BASE,
    summary="List environment variables",
    **documenting.documented(list[schemas.VariableAnswer], errors=(401, 403, 404)),
)
async def list_variables(request: Request, project_ref: str, slug: str, caller: _Key) -> Response:
    """By name. Values of secret ones are not shown."""
    found = await _variables(request, project_ref, slug).all()
    return bodies.answer([_shown(variable) for variable in found])


@router.post(
    _BASE,
    summary="Set an environment variable",
    **documenting.documented(common.SuccessAnswer, body=schemas.VariableBody, errors=_ERRORS),
)
async def create(request: Request, project_ref: str, slug: str, caller: _Key) -> Response:
    """One that exists is replaced."""
    variables = _variables(request, project_ref, slug)
    body = await bodies.read_model(request, schemas.VariableBody, bodies.METADATA_BYTES)
    await variables.put({body.name: body.value}, is_secret=bool(body.is_secret))
    return bodies.answer({"success": True})


@router.post(
    _BASE + "/import",
    summary="Set many environment variables",
    **documenting.documented(common.SuccessAnswer, body=schemas.VariablesBody, errors=_ERRORS),
)
async def import_many(request: Request, project_ref: str, slug: str, caller: _Key) -> Response:
    """Those that exist stay as they are, unless `override` is true. All or, if one is wrong, none."""
    variables = _variables(request, project_ref, slug)
    body = await bodies.read_model(request, schemas.VariablesBody, _IMPORT_BYTES)
    await variables.put(body.variables, is_secret=bool(body.is_secret), override=bool(body.override))
    return bodies.answer({"success": True})


@router.get(
    _ONE, summary="Retrieve an environment variable", **documenting.documented(schemas.VariableAnswer)
)
async def retrieve(request: Request, project_ref: str, slug: str, name: str, caller: _Key) -> Response:
    """The value of a secret one is not shown."""
    return bodies.answer(_shown(await _variables(request, project_ref, slug).get(name)))


@router.put(
    _ONE,
    summary="Change an environment variable",
    **documenting.documented(common.SuccessAnswer, body=schemas.VariableUpdateBody, errors=_ERRORS),
)
async def update(request: Request, project_ref: str, slug: str, name: str, caller: _Key) -> Response:
    """Whether it is secret stays."""
    variables = _variables(request, project_ref, slug)
    body = await bodies.read_model(request, schemas.VariableUpdateBody, bodies.METADATA_BYTES)
    await variables.update(name, body.value)
    return bodies.answer({"success": True})


@router.delete(_ONE, summary="Delete an environment variable", **documenting.documented(common.SuccessAnswer))
async def delete(request: Request, project_ref: str, slug: str, name: str, caller: _Key) -> Response:
    """It is gone for versions that are loaded from now on."""
    await _variables(request, project_ref, slug).delete(name)
    return bodies.answer({"success": True})


@router.get(
    _PROJECT,
    summary="Environment variables for workers",
    **documenting.documented(schemas.VariablesAnswer, errors=(401, 403, 404)),
)
async def for_workers(request: Request, project_ref: str, caller: _Key) -> Response:
    """Names and values, those of secret ones, too: what a worker of this environment is started with."""
    found = await _variables(request, project_ref).all()
    return bodies.answer({"variables": {variable.name: variable.value for variable in found}})
