"""The OpenAPI page: the models that routes read and answer, and /docs from an installed package (no CDN)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from triggerdev._version import __version__
from triggerdev.server import problems
from triggerdev.server.schemas import common

_REF = "#/components/schemas/{model}"
_ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_REASONS = {
    400: "The request cannot be read",
    401: "No key, or a wrong one",
    403: "The token does not allow this",
    404: "No such thing",
    413: "Too large",
    422: "Understood, but refused",
    507: "The disk is full; nothing was stored",
}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>triggerdev API</title>
<link rel="icon" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body><div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: new URL("openapi.json", document.baseURI).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""


def documented(
    answer: Any,
    *,
    status: int = 200,
    body: type[BaseModel] | None = None,
    media: str = "application/json",
    errors: tuple[int, ...] = (401, 403, 404),
) -> dict[str, Any]:
    """Describe a route whose handler reads its own body and makes its own response."""
    responses: dict[int, dict[str, Any]] = {status: {"model": answer}}
    for code in errors:
        responses[code] = {"model": common.ErrorAnswer, "description": _REASONS[code]}
    described: dict[str, Any] = {"responses": responses, "status_code": status, "response_model": None}
    if body is not None:
        schema = {"$ref": _REF.format(model=body.__name__)}
        described["openapi_extra"] = {"requestBody": {"content": {media: {"schema": schema}}}}
    return described


def install(app: FastAPI) -> None:
    """Serve /openapi.json and /docs."""

    async def schema(_: Request) -> Response:
        from triggerdev.server.bodies import answer

        return answer(openapi(app))

    async def page(_: Request) -> Response:
        return Response(_PAGE, headers=_HEADERS, media_type="text/html")

    app.add_route("/openapi.json", schema, include_in_schema=False)
    app.add_route("/docs", page, include_in_schema=False)
    app.add_route("/docs/assets/{name}", _asset, include_in_schema=False)


def openapi(app: FastAPI) -> dict[str, Any]:
    """Make the OpenAPI document, once; also the models of bodies that handlers read themselves are in it."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="triggerdev API", version=__version__, description=app.description, routes=app.routes
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        bodies = list(_models(common.Wire))
        _, extra = models_json_schema([(model, "validation") for model in bodies], ref_template=_REF)
        for name, schema in extra.get("$defs", {}).items():
            components.setdefault(name, schema)
        components.pop("HTTPValidationError", None)
        components.pop("ValidationError", None)
        for operations in document["paths"].values():
            for operation in operations.values():
                _without_default_422(operation["responses"])
        app.openapi_schema = document
    return app.openapi_schema


def _without_default_422(responses: dict[str, Any]) -> None:
    """Bad parameters are 400 here; FastAPI would document a 422 of its own form."""
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]


def _models(base: type[common.Wire]) -> Iterator[type[common.Wire]]:
    """Give a model and all that are made of it; the routes have imported them."""
    yield base
    for each in base.__subclasses__():
        yield from _models(each)


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name == "start.js":
        return Response(_START, headers=_HEADERS, media_type="text/javascript")
    if name not in _ASSETS:
        raise problems.not_found("Not Found")
    import swagger_ui_bundle  # only here: nobody needs it before the page is opened

    folder = Path(str(swagger_ui_bundle.swagger_ui_path))
    return FileResponse(folder / name, headers=_HEADERS, media_type=_ASSETS[name])
