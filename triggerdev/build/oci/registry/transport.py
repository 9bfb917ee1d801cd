"""Requests to one registry: authorised, tried again where that helps, with errors in words."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triggerdev import errors
from triggerdev._terminal import clean
from triggerdev.build.oci.registry import credentials
from triggerdev.build.oci.registry.auth import Authorizer
from triggerdev.build.oci.registry.credentials import Credentials
from triggerdev.build.oci.registry.reference import Reference

if TYPE_CHECKING:
    import httpx

TRIES = 5
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 524, 529})
_LONGEST_WAIT = 30.0
_TEXT = 500


@dataclass(frozen=True)
class Access:
    """How a registry is reached.

    `plain_http` None means: only on this machine, and without a CA file. `ca_file` holds certificates that
    are trusted beside the system's. `sleep` waits between tries.
    """

    plain_http: bool | None = None
    ca_file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    sleep: Callable[[float], None] = time.sleep
    find: Callable[[str, Mapping[str, str]], Credentials | None] = credentials.find


@dataclass(frozen=True)
class Call:
    """One request; `url` is a path or, as registries give it, a whole address. `body` can be sent again."""

    method: str
    url: str
    scope: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[], Iterable[bytes]] | bytes | None = field(default=None, repr=False)
    stream: bool = False
    again: bool = True


class Transport:
    """Connections to the registry of a reference; threads may share it."""

    def __init__(self, reference: Reference, access: Access) -> None:
        import httpx

        plain = access.plain_http
        if plain is None:
            plain = reference.is_loopback and access.ca_file is None
        self.registry = reference.registry
        self._base = httpx.URL(f"{'http' if plain else 'https'}://{reference.host}/")
        self._sleep = access.sleep
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._trusts = partial(_load, self._tls, access)
        timeout = httpx.Timeout(300.0, connect=15.0, pool=None)
        self._client = httpx.Client(verify=self._tls, timeout=timeout, trust_env=not reference.is_loopback)
        find = partial(access.find, reference.registry, access.environ)
        self._authorizer = Authorizer(self._fetch, find, plain=plain)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def send(self, call: Call) -> httpx.Response:
        """Send a request and give its answer, whatever its status.

        Raises RegistryError if the registry cannot be reached or does not let us in.
        """
        import httpx

        tries = TRIES if call.again else 1
        for number in range(1, tries + 1):
            try:
                response = self._authorised(call)
            except httpx.TransportError as error:
                if number == tries:
                    raise self._unreachable(error) from None
                self._sleep(_wait(number))
            else:
                if response.status_code not in _PASSING or number == tries:
                    return response
                response.close()
                self._sleep(_wait(number, response.headers.get("retry-after", "")))
        raise AssertionError("the last try returns or raises")

    def _authorised(self, call: Call) -> httpx.Response:
        sent = self._authorizer.header(call.scope)
        response = self._once(call, sent)
        for _ in range(2):  # the second time for a token that another thread's answer has outdated
            if response.status_code != 401 or not self._authorizer.answer(response, call.scope, sent):
                break
            response.close()
            sent = self._authorizer.header(call.scope)
            response = self._once(call, sent)
        return response

    def _once(self, call: Call, authorization: str | None) -> httpx.Response:
        url = self.absolute(call.url)
        headers = dict(call.headers)
        if authorization and (url.host, url.port) == (self._base.host, self._base.port):
            headers["Authorization"] = authorization
        body = call.body() if callable(call.body) else call.body
        response = self._fetch(call.method, url, call.stream, headers=headers, content=body)
        return self._redirected(call, response)

    def _fetch(self, method: str, url: httpx.URL | str, stream: bool = False, **parts: Any) -> httpx.Response:
        request = self._client.build_request(method, url, **parts)
        if request.url.scheme == "https":
            self._trusts()
        return self._client.send(request, stream=stream)

    def _redirected(self, call: Call, response: httpx.Response) -> httpx.Response:
        """Follow the redirects of reads, to where the registry keeps its blobs; we are not known there."""
        for _ in range(5):
            target = response.headers.get("location")
            if call.method not in ("GET", "HEAD") or not response.is_redirect or not target:
                break
            response.close()
            url = self.absolute(str(response.url.join(target)))
            response = self._fetch(call.method, url, call.stream, headers=dict(call.headers))
        return response

    def absolute(self, url: str) -> httpx.URL:
        """Complete an address. Raises RegistryError for one without TLS where the registry has it."""
        import httpx

        try:
            whole = self._base.join(url)
        except httpx.InvalidURL:
            raise errors.RegistryError(f"{self.registry} names an address that is none") from None
        if whole.scheme == self._base.scheme or whole.scheme == "https":
            return whole
        if whole.host == self._base.host:  # a proxy in front of the registry that does TLS for it
            return whole.copy_with(scheme=self._base.scheme, port=self._base.port)
        raise errors.RegistryError(f"{self.registry} sends us to {clean(whole.host)} without TLS")

    def _unreachable(self, error: Exception) -> errors.RegistryError:
        advice = "is it running, and is its name right?"
        if "certificate" in str(error).lower() or "ssl" in str(error).lower():
            advice = "deploy.registry_ca_file can name the certificate of its authority"
        text = clean(str(error)) or type(error).__name__
        return errors.RegistryError(f"cannot reach the registry {self.registry}: {text}; {advice}")


def _wait(number: int, wanted: str = "") -> float:
    """Give the seconds before the next try: what the registry wants, else half a second, doubled."""
    asked = float(wanted) if wanted.isdigit() else 0.5 * 2 ** (number - 1)
    return min(asked, _LONGEST_WAIT)


def _load(context: ssl.SSLContext, access: Access) -> None:
    """Load the certificates to trust, which takes longer than many a request, so not before TLS is spoken."""
    if context.get_ca_certs():
        return
    try:
        if access.ca_file is not None:
            context.load_verify_locations(access.ca_file)
    except (OSError, ssl.SSLError):
        raise errors.EnvironmentProblemError(
            f"deploy.registry_ca_file: {access.ca_file} holds no certificates that can be read"
        ) from None
    context.load_default_certs()


def refused(response: httpx.Response, what: str, registry: str) -> errors.RegistryError:
    """Make the error of an answer that is not what was hoped for; `what` says what was tried."""
    status = response.status_code
    try:
        response.read()
        found = response.json()["errors"]
        said = "; ".join(f"{each.get('code', '')} {each.get('message', '')}".strip() for each in found)
    except (ValueError, KeyError, TypeError, AttributeError):
        said = response.text
    advice = {
        401: "; log in with `docker login`",
        403: "; this account may not do that",
        404: "; check the name",
        413: "; something before the registry limits the size of requests",
        429: "; wait, or log in: registries limit those they do not know more",
    }.get(status, "")
    text = clean(said.strip()[:_TEXT])
    return errors.RegistryError(f"{registry} refused to {what}: {status} {text}{advice}", status)
