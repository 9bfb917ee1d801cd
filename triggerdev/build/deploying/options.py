"""What a deploy was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build.oci.model import Platform
from triggerdev.build.oci.registry.reference import Reference

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

OUTPUTS = ("image", "oci-layout", "tar")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Options:
    """The options of one deploy.

    `output` is one of OUTPUTS, or None for what the builder can do; `path` is where a layout or a tar goes.
    `tags` are names of the image, or tags of its repository.
    """

    builder: str = "auto"
    output: str | None = None
    path: Path | None = None
    tags: tuple[str, ...] = ()
    push: bool = False
    platform: str | None = None
    no_cache: bool = False
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse_output(text: str | None) -> tuple[str | None, Path | None]:
    """Read "image", "oci-layout", "tar", or one of the last two with "=PATH"."""
    if text is None:
        return None, None
    kind, equals, path = text.partition("=")
    if kind not in OUTPUTS or (equals and (not path or kind == "image")):
        raise errors.UsageError(f"--output must be image, oci-layout[=FOLDER] or tar[=FILE], not {text!r}")
    return kind, Path(path) if path else None


def platform_of(loaded: LoadedConfig, options: Options) -> str:
    """Give the one platform that is built for. Raises UsageError if there are several."""
    wanted = [options.platform] if options.platform else list(loaded.config.build.platforms)
    if len(wanted) > 1:
        raise errors.UsageError(
            f"build.platforms names {', '.join(wanted)}; one deploy builds for one of them: add --platform"
        )
    try:
        return str(Platform.parse(wanted[0]))
    except errors.BuildError as error:
        raise errors.UsageError(f"--platform: {error}") from None


def names(loaded: LoadedConfig, options: Options, version: str) -> list[str]:
    """Give the names of an image; the first one is that of its version unless tags were given.

    Raises UsageError for a tag that is no name.
    """
    repository = _repository(loaded)
    given = [_named(tag, repository) for tag in options.tags]
    return list(dict.fromkeys(given)) or [f"{repository}:{version}"]


def path(loaded: LoadedConfig, options: Options, environment: str, version: str, output: str) -> Path:
    """Give the place of a layout or a tar."""
    if options.path is not None:
        return options.path.absolute()
    suffix = ".tar" if output == "tar" else ""
    return loaded.root / ".trigger" / "images" / environment / f"{version}{suffix}"


def _repository(loaded: LoadedConfig) -> str:
    project = re.sub(r"[^a-z0-9]+", "-", loaded.config.project.lower()).strip("-") or "project"
    registry = (loaded.config.deploy.registry or "trigger").rstrip("/")
    return f"{registry}/{project}"


def _named(tag: str, repository: str) -> str:
    text = f"{repository}:{tag}" if _TAG.fullmatch(tag) else tag
    try:
        reference = Reference.parse(text)
    except errors.BuildError as error:
        raise errors.UsageError(f"--tag: {error}") from None
    if reference.digest:
        raise errors.UsageError(f"--tag: {tag!r} has a digest, which only the finished image can have")
    return text if ":" in text.rpartition("/")[2] else f"{text}:latest"
