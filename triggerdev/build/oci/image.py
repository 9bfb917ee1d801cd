"""Config and manifest of an image: those of a base with layers, settings and history on top."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from triggerdev import errors
from triggerdev.build.oci.model import (
    CONFIG,
    INDEX,
    MANIFEST,
    Descriptor,
    Image,
    Layer,
    Platform,
    canonical,
)

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EPOCH = "1970-01-01T00:00:00Z"
_KEPT = ("architecture", "os", "variant", "os.version", "os.features", "author")
"""What is taken over from a base's config; the rest tells of the machine that built it."""
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class HealthCheck:
    """A command that engines run every `interval` seconds; `retries` failures in a row mean unhealthy."""

    command: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 10.0
    start_period: float = 10.0
    retries: int = 3

    def as_json(self) -> dict[str, Any]:
        """Write it as Docker does; OCI's specification has no health checks, and lets others be there."""
        return {
            "Test": ["CMD", *self.command],
            "Interval": round(self.interval * _SECOND),
            "Timeout": round(self.timeout * _SECOND),
            "StartPeriod": round(self.start_period * _SECOND),
            "Retries": self.retries,
        }


@dataclass(frozen=True)
class Settings:
    """What an image says of itself beside its layers; None and empty values leave the base's as they are.

    `path` holds folders that come before those of the base's PATH. A new entry point drops the base's
    command.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    health_check: HealthCheck | None = None


@dataclass(frozen=True)
class Added:
    """A layer to be put on top, and what its line of the history says."""

    layer: Layer
    created_by: str = ""


def scratch(platform: Platform) -> Image:
    """Give the image that holds nothing."""
    config = {"architecture": platform.architecture, "os": platform.os, "rootfs": _rootfs([])}
    if platform.variant:
        config["variant"] = platform.variant
    return _image(config, ())


def parse(manifest: bytes, config: bytes, media_type: str = "") -> Image:
    """Read an image from its two documents. Raises BuildError if they are none, or do not fit each other."""
    try:
        value, settings = json.loads(manifest), json.loads(config)
        diff_ids = settings["rootfs"]["diff_ids"]
        blobs = [Descriptor.read(each) for each in value["layers"]]
    except (ValueError, KeyError, TypeError):
        raise errors.BuildError("this is no image: its manifest or config cannot be read") from None
    if len(diff_ids) != len(blobs):
        raise errors.BuildError(f"the manifest has {len(blobs)} layers, its config {len(diff_ids)}")
    layers = tuple(Layer(diff_id, blob) for diff_id, blob in zip(diff_ids, blobs, strict=True))
    return Image(manifest, config, layers, media_type or str(value.get("mediaType", MANIFEST)))


def rebuilt(config: bytes, layers: Sequence[Layer]) -> Image:
    """Make the image of a config and its layers, with a manifest of our own."""
    manifest = _manifest(Descriptor.of(CONFIG, config), layers)
    return Image(manifest, config, tuple(layers))


def append(base: Image, added: Sequence[Added], settings: Settings) -> Image:
    """Put layers and settings on top of an image; the same everywhere for the same input."""
    before = base.settings
    config: dict[str, Any] = {name: before[name] for name in _KEPT if before.get(name)}
    config["created"] = EPOCH
    config["config"] = _merged(before.get("config") or {}, settings)
    layers = (*base.layers, *(each.layer for each in added))
    config["rootfs"] = _rootfs([layer.diff_id for layer in layers])
    config["history"] = [*_history(before, len(base.layers)), *map(_line, added)]
    return _image(config, layers)


def index(images: Sequence[Image]) -> bytes:
    """Write the index of one image for each of several platforms."""
    manifests = []
    for image in sorted(images, key=lambda each: each.platform):
        place = image.platform
        platform = {"os": place.os, "architecture": place.architecture, "variant": place.variant}
        known = {name: value for name, value in platform.items() if value}
        manifests.append({**image.descriptor.as_json(), "platform": known})
    return canonical({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def _image(config: dict[str, Any], layers: tuple[Layer, ...]) -> Image:
    return rebuilt(canonical(config), layers)


def _manifest(config: Descriptor, layers: Sequence[Layer]) -> bytes:
    blobs = [layer.blob.as_json() for layer in layers]
    return canonical({"schemaVersion": 2, "mediaType": MANIFEST, "config": config.as_json(), "layers": blobs})


def _rootfs(diff_ids: Sequence[str]) -> dict[str, Any]:
    return {"type": "layers", "diff_ids": list(diff_ids)}


def _line(added: Added) -> dict[str, str]:
    return {"created": EPOCH, "created_by": added.created_by or "triggerdev", "comment": "triggerdev"}


def _history(before: Mapping[str, Any], layers: int) -> list[dict[str, Any]]:
    """Give a base's history; tools complain unless it has a line for each layer."""
    known = copy.deepcopy(before.get("history") or [])
    counted = sum(not line.get("empty_layer") for line in known)
    return known if counted == layers else [{"created": EPOCH, "created_by": "base"}] * layers


def _merged(before: Mapping[str, Any], wanted: Settings) -> dict[str, Any]:
    config = copy.deepcopy(dict(before))
    config["Env"] = _env(config.get("Env") or [], wanted)
    if wanted.entrypoint is not None:
        config["Entrypoint"] = list(wanted.entrypoint)
        config.pop("Cmd", None)
    if wanted.command is not None:
        config["Cmd"] = list(wanted.command)
    named = {"User": wanted.user, "WorkingDir": wanted.working_dir, "StopSignal": wanted.stop_signal}
    config |= {name: value for name, value in named.items() if value is not None}
    if wanted.labels:
        config["Labels"] = {**(config.get("Labels") or {}), **wanted.labels}
    if wanted.health_check is not None:
        config["Healthcheck"] = wanted.health_check.as_json()
    return {name: value for name, value in config.items() if name not in ("Image", "Hostname", "OnBuild")}


def _env(before: Sequence[str], wanted: Settings) -> list[str]:
    """Merge variables: the base's order first, then ours by name."""
    known = dict(line.split("=", 1) for line in before if "=" in line)
    path = [*wanted.path, *known.get("PATH", _PATH).split(":")]
    known["PATH"] = ":".join(dict.fromkeys(path))
    known |= dict(sorted(wanted.env.items()))
    return [f"{name}={value}" for name, value in known.items()]
