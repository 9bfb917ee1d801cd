"""The header that lets a request in: none, Basic, or a Bearer token for a scope."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build.oci.registry.credentials import Credentials

if TYPE_CHECKING:
    import httpx

_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"')


class Authorizer:
    """Answers a registry's challenges; `fetch` sends a request, `find` looks credentials up."""

    def __init__(
        self, fetch: Callable[..., httpx.Response], find: Callable[[], Credentials | None], *, plain: bool
    ) -> None:
        self._fetch = fetch
        self._find = find
        self._plain = plain
        self._lock = threading.Lock()
        self._basic: str | None = None
        self._tokens: dict[str, str] = {}

    def header(self, scope: str) -> str | None:
        """Give the header for a scope, None before the registry has asked for one."""
        token = self._tokens.get(scope)
        return f"Bearer {token}" if token else self._basic

    def answer(self, response: httpx.Response, scope: str, sent: str | None) -> bool:
        """Answer a 401; tells whether the request can be tried again with another header than the sent one.

        Raises RegistryError if the token service refuses.
        """
        with self._lock:
            if self.header(scope) != sent:
                return True  # another thread has answered meanwhile
            for challenge in response.headers.get_list("www-authenticate"):
                kind, _, parameters = challenge.partition(" ")
                found = dict(_PARAMETER.findall(parameters))
                if kind.lower() == "bearer" and "realm" in found:
                    self._tokens[scope] = self._token(found, scope)
                elif kind.lower() == "basic":
                    credentials = self._find()
                    self._basic = credentials.basic() if credentials else None
            return self.header(scope) not in (None, sent)

    def _token(self, challenge: dict[str, str], scope: str) -> str:
        realm, service = challenge["realm"], challenge.get("service", "")
        if not realm.startswith("https://") and not (self._plain and realm.startswith("http://")):
            raise errors.RegistryError(f"the registry sends us for a token to {realm!r}, without TLS")
        credentials = self._find()
        if credentials and credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "scope": scope,
                "client_id": "triggerdev",
                "refresh_token": credentials.identity_token,
            }
            response = self._fetch("POST", realm, data=form)
        else:
            headers = {"Authorization": credentials.basic()} if credentials else {}
            query = {"service": service, "scope": scope.split(" ")}
            response = self._fetch("GET", realm, params=query, headers=headers)
        return _read(response, scope)


def _read(response: httpx.Response, scope: str) -> str:
    if response.status_code != 200:
        raise errors.RegistryError(
            f"the registry's token service refused {scope!r} ({response.status_code}); "
            "log in with `docker login`, with an account that may do this",
            response.status_code,
        )
    try:
        body = response.json()
        token = body.get("token") or body["access_token"]
    except (ValueError, KeyError, AttributeError):
        raise errors.RegistryError("the registry's token service gave no token") from None
    return str(token)
