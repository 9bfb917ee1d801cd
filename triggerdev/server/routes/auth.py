"""What the official clients ask for before they sign public access tokens themselves."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from triggerdev.server import bodies, context, documenting
from triggerdev.server.access import Allow, Caller
from triggerdev.server.schemas import meta as schemas

router = APIRouter(tags=["auth"])


@router.post(
    "/api/v1/auth/jwt/claims",
    summary="Claims of a public access token",
    **documenting.documented(schemas.ClaimsAnswer, errors=(401, 403)),
)
async def claims(request: Request, caller: Annotated[Caller, Depends(Allow())]) -> Response:
    """A client adds scopes, issuer, audience and expiry, and signs with the secret key (HS256)."""
    return bodies.answer({"sub": context.of(request).engine.environment.id, "pub": True})
