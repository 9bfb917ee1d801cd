"""Environment variables at rest: encrypted with a key that is not in the database.

Each value is sealed for its name (AES-256-GCM, a nonce of its own), so that values cannot be exchanged in the
database unnoticed.
"""

import base64
import contextlib
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from triggerdev import errors

VARIABLE = "TRIGGER_ENCRYPTION_KEY"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_VERSION = "1:"


class Vault:
    """Seals values and opens them; the key is read when it is needed first."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._read_key = key
        self._key: bytes | None = None

    def seal(self, name: str, value: str) -> str:
        """Encrypt a variable's value. Raises EnvironmentProblemError if there is no key."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(self._known_key()).encrypt(nonce, value.encode(), name.encode())
        return _VERSION + base64.b64encode(nonce + sealed).decode()

    def open(self, name: str, sealed: str) -> str:
        """Decrypt a variable's value. Raises EnvironmentProblemError if the key is another one."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = base64.b64decode(sealed.removeprefix(_VERSION))
        try:
            value = AESGCM(self._known_key()).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], name.encode())
        except InvalidTag:
            raise errors.EnvironmentProblemError(
                f"The stored environment variable {name} cannot be decrypted: it was stored with another key."
                f" Set {VARIABLE} to that key, or bring its file back; or unset the variable and set it anew."
            ) from None
        return value.decode()

    def _known_key(self) -> bytes:
        if self._key is None:
            self._key = self._read_key()
        return self._key


def key_source(file: Path, environ: Mapping[str, str]) -> Callable[[], bytes]:
    """Give what finds the key: in the environment, else in a file, which is made if there is none."""

    def find() -> bytes:
        given = environ.get(VARIABLE, "").strip()
        return parse_key(given, VARIABLE) if given else _key_of_file(file)

    return find


def _key_of_file(file: Path) -> bytes:
    try:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as made:
                made.write(base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode() + "\n")
                made.flush()
                os.fsync(made.fileno())
        return parse_key(file.read_text(encoding="ascii").strip(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise errors.EnvironmentProblemError(
            f"The key for environment variables cannot be kept in {file}: {error}."
        ) from error


def parse_key(text: str, where: str) -> bytes:
    """Read a key: 32 bytes as base64 or hex. Raises EnvironmentProblemError, without showing it."""
    for decode in (bytes.fromhex, _from_base64):
        with contextlib.suppress(ValueError):
            key = decode(text)
            if len(key) == _KEY_BYTES:
                return key
    raise errors.EnvironmentProblemError(
        f"{where} holds no key: it must be 32 bytes as base64 or hex, as `openssl rand -base64 32` prints."
    )


def _from_base64(text: str) -> bytes:
    plain = text.replace("-", "+").replace("_", "/")
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
