"""Build secrets as files that only this user can read, in memory where that is possible."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of random name is made in it


@contextmanager
def secret_files(secrets: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Write each secret to a file of its own, for as long as the block lasts."""
    if not secrets:
        yield {}
        return
    place = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else None
    with tempfile.TemporaryDirectory(prefix="trigger-secrets-", dir=place) as name:
        files = {}
        for number, (variable, value) in enumerate(sorted(secrets.items())):
            path = Path(name) / str(number)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(value.encode("utf-8", "surrogateescape"))
            files[variable] = path
        yield files
