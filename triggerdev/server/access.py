"""Who may do what: the secret key may all, a public access token what its scopes say.

Scopes are `action:kind[:id]`; `admin`, `<action>:all` and `<action>:<kind>` cover everything below them.
"""

import hmac
from collections.abc import Iterable

from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import Request

from triggerdev.server import context, problems
from triggerdev.server.tokens import Claims


class Caller:
    """Who made a request. `claims` is None for the secret key."""

    __slots__ = ("_grants", "claims")

    def __init__(self, claims: Claims | None, grants: tuple[tuple[str, str], ...]) -> None:
        self.claims = claims
        self._grants = grants

    @property
    def has_key(self) -> bool:
        return self.claims is None

    def holds(self, action: str, kind: str, id: str | None = None) -> bool:
        """Tell whether a scope covers this resource, or with no id all resources of the kind."""
        if self.claims is None:
            return True
        scopes = self.claims.scopes
        wide = {"admin", f"{action}:all", f"{action}:{kind}"}
        return not scopes.isdisjoint(wide) or (id is not None and f"{action}:{kind}:{id}" in scopes)

    def require(self, **resources: Iterable[str | None]) -> None:
        """Refuse with 403 unless a grant of the route covers one of these resources (kind=ids)."""
        if self.claims is None:
            return
        for action, kind in self._grants:
            if any(self.holds(action, kind, id) for id in resources.get(kind, ())):
                return
        raise problems.forbidden("the Public Access Token has no scope for this resource")

    def require_each(self, kind: str, ids: Iterable[str]) -> None:
        """Refuse with 403 unless every one of the ids is covered; with no ids, unless the whole kind is."""
        if self.claims is None:
            return
        wanted: list[str | None] = list(ids) or [None]
        for id in wanted:
            if not any(self.holds(action, kind, id) for action, granted in self._grants if granted == kind):
                raise problems.forbidden(
                    f"the Public Access Token has no scope for {kind} {id or 'in general'}"
                )

    def may_be_granted(self) -> bool:
        """Tell whether any scope could open this route for some resource."""
        if self.claims is None:
            return True
        for action, kind in self._grants:
            prefix = f"{action}:{kind}:"
            if self.holds(action, kind) or any(scope.startswith(prefix) for scope in self.claims.scopes):
                return True
        return False


class Allow(SecurityBase):
    """A route's guard, used as its dependency: who is it (401), can the scopes suffice at all (403).

    Grants are `action:kind`, any of which suffices; without any, only the secret key opens the route. The
    handler checks the single resource with `Caller.require`.
    """

    def __init__(self, *grants: str) -> None:
        self.grants = tuple((action, kind) for action, _, kind in (grant.partition(":") for grant in grants))
        self.model = HTTPBearer(
            description="The environment's secret key (tr_dev_...) or a public access token."
        )
        self.scheme_name = "Bearer"

    async def __call__(self, request: Request) -> Caller:
        caller = Caller(_authenticate(request), self.grants)
        if not self.grants and not caller.has_key:
            raise problems.forbidden("this needs the secret key, not a Public Access Token")
        if not caller.may_be_granted():
            raise problems.forbidden("the Public Access Token has no scope for this")
        return caller


def _authenticate(request: Request) -> Claims | None:
    """Verify the bearer; None stands for the secret key."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    bearer = bearer.strip()
    if scheme.lower() != "bearer" or not bearer:
        raise problems.unauthorized()
    api = context.of(request)
    if hmac.compare_digest(bearer.encode("utf-8", "replace"), api.secret_key.encode()):
        return None
    if bearer.count(".") != 2:
        raise problems.unauthorized()
    return api.signer.verify(bearer)
