"""Finding the project and the server that a command is about."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from triggerdev import errors

CONFIG_NAME = "trigger.config.toml"
KEY_FILE = Path(".trigger") / "dev.env"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Server:
    """A server and the key for it; `origin` says where both were found."""

    url: str
    key: str | None = field(repr=False)
    origin: str

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.url)


def is_loopback(url: str) -> bool:
    """Tell if a URL leads to this machine only."""
    return urlsplit(url).hostname in _LOOPBACK


def find_root(config: Path | None = None) -> Path | None:
    """Find the project's folder: that of `--config`, else the nearest above with a config or dev key file."""
    if config is not None:
        return _named_root(config)
    return next((folder for folder in _upwards() if _is_project(folder)), None)


def require_root(config: Path | None = None) -> Path:
    """Find the project's folder as `find_root` does; raise ConfigError if there is none."""
    root = find_root(config)
    if root is None or not (root / CONFIG_NAME).is_file():
        raise errors.ConfigError(
            f"no {CONFIG_NAME} in {root or Path.cwd()} or above it. "
            "Go to your project, name it with --config, or make one with `trigger init`."
        )
    return root


def find_server(api_url: str | None = None, config: Path | None = None) -> Server:
    """Find URL and key: `--api-url` and the environment first, else what the project's `trigger dev` wrote.

    The dev key is only ever sent to the URL it was written for, or to this machine.
    """
    url = api_url or os.environ.get("TRIGGER_API_URL") or None
    written = _read_key_file(find_root(config))
    key = _key(os.environ.get("TRIGGER_SECRET_KEY", ""))
    if url:
        url = _checked(url)
        if key is None and (is_loopback(url) or url == written.get("TRIGGER_API_URL", "").rstrip("/")):
            key = written.get("TRIGGER_SECRET_KEY")
        return Server(url, key, "--api-url" if api_url else "TRIGGER_API_URL")
    if "TRIGGER_API_URL" not in written:
        raise errors.ConnectionFailedError(
            "no server to talk to: start `trigger dev` in your project, "
            "or set TRIGGER_API_URL and TRIGGER_SECRET_KEY."
        )
    key = _key(written.get("TRIGGER_SECRET_KEY", "")) or key
    return Server(_checked(written["TRIGGER_API_URL"]), key, os.fspath(KEY_FILE))


def find_ref(config: Path | None = None) -> str:
    """Find the project's ref: TRIGGER_PROJECT_REF, what `trigger dev` wrote, or `project` of the config."""
    root = find_root(config)
    found = os.environ.get("TRIGGER_PROJECT_REF") or _read_key_file(root).get("TRIGGER_PROJECT_REF")
    if found:
        return found
    from triggerdev.config import load_config

    return load_config(require_root(config), environ=os.environ).config.project


def _key(text: str) -> str | None:
    key = text.strip()
    if key and not (key.isascii() and key.isprintable()):
        raise errors.UsageError("TRIGGER_SECRET_KEY has characters that no key has; set it again.")
    return key or None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise errors.UsageError(f"{url!r} is no server URL; it looks like http://127.0.0.1:3030.")
    return url.rstrip("/")


def _named_root(config: Path) -> Path:
    if config.is_dir():
        return config.resolve()
    if config.is_file():
        return config.resolve().parent
    raise errors.ConfigError(
        f"{config} does not exist; --config takes a project folder or its {CONFIG_NAME}."
    )


def _upwards() -> Iterator[Path]:
    here = Path.cwd()
    yield from (here, *here.parents)


def _is_project(folder: Path) -> bool:
    return (folder / CONFIG_NAME).is_file() or (folder / KEY_FILE).is_file()


def _read_key_file(root: Path | None) -> dict[str, str]:
    if root is None:
        return {}
    try:
        lines = (root / KEY_FILE).read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise errors.EnvironmentProblemError(f"cannot read {root / KEY_FILE}: {error.strerror}") from error
    pairs = (line.removeprefix("export ").partition("=") for line in lines if not line.startswith("#"))
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs if name.strip()}
