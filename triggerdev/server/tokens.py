"""Public access tokens: JWTs that the secret key signs, for browsers and other places without the key."""

import hashlib
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.warnings import InsecureKeyLengthWarning

from triggerdev.server import problems

ISSUER = "https://id.trigger.dev"
AUDIENCE = "https://api.trigger.dev"
HOUR_S = 3600
DAY_S = 86_400
_ALGORITHM = "HS256"
_MAX_TOKEN_LENGTH = 8192
_USED_KEPT = 100_000


@dataclass(frozen=True, slots=True)
class Claims:
    """A verified token. `digest` identifies it; `one_time` ones may trigger once.

    `skip_columns`: what its subscriptions do not show.
    """

    scopes: frozenset[str]
    one_time: bool
    digest: str
    skip_columns: frozenset[str] = frozenset()


class TokenSigner:
    """Makes and verifies the public access tokens of one environment."""

    def __init__(self, secret_key: str, environment_id: str, now: Callable[[], float] = time.time) -> None:
        self._key = secret_key.encode()
        self._environment_id = environment_id
        self._now = now

    def sign(self, scopes: Iterable[str], lifetime_s: int = HOUR_S) -> str:
        """Make a token with these scopes (`action:kind[:id]`)."""
        issued = int(self._now())
        claims = {
            "sub": self._environment_id,
            "pub": True,
            "scopes": list(scopes),
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": issued,
            "exp": issued + lifetime_s,
        }
        with _any_key_length():
            return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def verify(self, token: str) -> Claims:
        """Check signature, issuer, audience, expiry and environment; refuse with 401."""
        if len(token) > _MAX_TOKEN_LENGTH:
            raise problems.unauthorized("Public Access Token is too long.")
        claims = self._decode(token)
        if claims.get("pub") is not True:
            raise problems.unauthorized()
        if not claims.get("sub"):
            raise problems.unauthorized("Invalid Public Access Token, missing subject.")
        if claims["sub"] != self._environment_id:
            raise problems.unauthorized("Invalid Public Access Token, environment not found.")
        realtime = claims.get("realtime")
        skipped = realtime.get("skipColumns") if isinstance(realtime, dict) else None
        digest = hashlib.sha256(token.encode()).hexdigest()
        return Claims(_texts(claims.get("scopes")), claims.get("otu") is True, digest, _texts(skipped))

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            with _any_key_length():
                claims: dict[str, Any] = jwt.decode(
                    token,
                    self._key,
                    algorithms=[_ALGORITHM],
                    audience=AUDIENCE,
                    issuer=ISSUER,
                    options={"require": ["exp"], "verify_sub": False},
                )
        except jwt.ExpiredSignatureError:
            message = "Public Access Token has expired. Make a new one with auth.createPublicToken()."
            raise problems.unauthorized(message) from None
        except (jwt.InvalidTokenError, ValueError):
            raise problems.unauthorized("Public Access Token is invalid.") from None
        return claims


def _texts(values: Any) -> frozenset[str]:
    if not isinstance(values, list):
        return frozenset()
    return frozenset(value for value in values if isinstance(value, str))


@contextmanager
def _any_key_length() -> Iterator[None]:
    """Keep PyJWT from warning: by the wire format the secret key signs, however short a user has made it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)
        yield


class UsedTokens:
    """Which one-time tokens have triggered, and what; kept in memory, the oldest are forgotten first."""

    def __init__(self) -> None:
        self._used: OrderedDict[str, str] = OrderedDict()

    def use(self, claims: Claims | None, what: str) -> None:
        """Mark a token as used; a second use is refused with 422. Tokens that are not one-time pass."""
        if claims is None or not claims.one_time:
            return
        if claims.digest in self._used:
            message = f"Cannot trigger {what} with a one-time use token as it has already been used."
            raise problems.unprocessable(message)
        self._used[claims.digest] = ""
        if len(self._used) > _USED_KEPT:
            self._used.popitem(last=False)

    def bind(self, claims: Claims | None, batch_id: str) -> None:
        """Remember which batch a used token has made."""
        if claims is not None and claims.one_time:
            self._used[claims.digest] = batch_id

    def made(self, claims: Claims | None, batch_id: str) -> bool:
        """Tell whether this caller may fill the batch: a one-time token only fills the one that it made."""
        return claims is None or not claims.one_time or self._used.get(claims.digest) == batch_id

    def forget(self, claims: Claims | None) -> None:
        """Give a token back after a trigger that was refused."""
        if claims is not None:
            self._used.pop(claims.digest, None)
