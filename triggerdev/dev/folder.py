"""The `.trigger/` folder of a project: the database, the dev key, the address for backends."""

import hashlib
import os
import platform
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from triggerdev import errors
from triggerdev.engine.store import filelock

KEY_PREFIX = "tr_dev_"
_KEY_LENGTH = 32
_ALPHABET = string.ascii_lowercase + string.digits


class StateFolder:
    """Where `trigger dev` keeps its state; survives restarts, is never committed."""

    def __init__(self, root: Path) -> None:
        self.path = root / ".trigger"
        self.database = self.path / "engine.db"
        self.env_file = self.path / "dev.env"
        self.objects = self.path / "objects"
        self.vault_key = self.path / "variables.key"
        self._key_file = self.path / "dev.key"
        self._id_file = self.path / "server.id"

    def prepare(self) -> None:
        """Create the folder. Raises EnvironmentProblemError if it cannot be written."""
        try:
            self.path.mkdir(exist_ok=True)
            ignore = self.path / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            raise errors.EnvironmentProblemError(
                f"Cannot write {self.path}: {error.strerror}. `trigger dev` keeps its state there; make the"
                " project folder writable."
            ) from error

    def lock(self) -> IO[str]:
        """Hold the folder until the handle is closed, for a database elsewhere; SQLite's does it by itself.

        Raises AlreadyRunningError that names the process which holds it.
        """
        return filelock.take(self.database.with_suffix(".lock"), str(self.path))

    def worker_name(self) -> str:
        """Name this folder's worker among all servers of a database.

        The same at each start; another one in a copy of the folder, here or on another machine.
        """
        here = (self._id(), platform.node(), _machine_id(), os.fspath(self.path.resolve()))
        return "dev-" + hashlib.sha256("\0".join(here).encode("utf-8", "surrogateescape")).hexdigest()[:20]

    def _id(self) -> str:
        if self._id_file.is_file():
            kept = self._id_file.read_text(encoding="utf-8").strip()
            if kept:
                return kept
        made = secrets.token_hex(16)
        _write_private(self._id_file, made + "\n")
        return made

    def key(self, environ: Mapping[str, str]) -> tuple[str, str | None]:
        """Tell the dev key and a warning, if there is one.

        TRIGGER_SECRET_KEY counts when it is a dev key; else the key is made once and kept.
        """
        given = environ.get("TRIGGER_SECRET_KEY", "").strip()
        warning = None
        if given.startswith(KEY_PREFIX):
            return given, None
        if given:
            warning = (
                f"TRIGGER_SECRET_KEY is no dev key ({KEY_PREFIX}...) and is ignored; the key of this project"
                f" is in {self.env_file.name}."
            )
        return self._own_key(), warning

    def _own_key(self) -> str:
        if self._key_file.is_file():
            kept = self._key_file.read_text(encoding="utf-8").strip()
            if kept.startswith(KEY_PREFIX):
                return kept
        key = KEY_PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_KEY_LENGTH))
        _write_private(self._key_file, key + "\n")
        return key

    def write_env(self, url: str, key: str, ref: str) -> None:
        """Write the file that backends load to find the server and the project."""
        text = f"TRIGGER_API_URL={url}\nTRIGGER_SECRET_KEY={key}\nTRIGGER_PROJECT_REF={ref}\n"
        _write_private(self.env_file, text)


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""  # the host's name has to do


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_suffix(f"{path.suffix}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    temporary.replace(path)
