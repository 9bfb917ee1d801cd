"""Where an image comes from: an in-toto statement with SLSA's predicate. It names secrets, and holds none."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from triggerdev._version import __version__
from triggerdev.build.deployments import Deployment
from triggerdev.build.plan import ImagePlan

MEDIA_TYPE = "application/vnd.in-toto+json"
PREDICATE = "https://slsa.dev/provenance/v1"
_BUILD_TYPE = "urn:triggerdev:deploy:1"
_SECONDS = 10


def statement(
    deployment: Deployment, plan: ImagePlan, project: str, root: Path, started: str
) -> dict[str, Any]:
    """Describe how a version came about."""
    digest = deployment.image.digest.removeprefix("sha256:")
    materials = [_base(plan.base)]
    source = revision(root)
    if source is not None:
        materials.append(source)
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": deployment.image.reference, "digest": {"sha256": digest}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {
                    "project": project,
                    "environment": deployment.environment,
                    "runtime": plan.runtime,
                    "platform": deployment.image.platform,
                    "secrets": sorted({name for layer in plan.layers for name in layer.secrets}),
                },
                "internalParameters": {"key": deployment.key, "layers": deployment.keys},
                "resolvedDependencies": materials,
            },
            "runDetails": {
                "builder": {"id": "urn:triggerdev:cli", "version": {"triggerdev": __version__}},
                "metadata": {
                    "invocationId": f"{deployment.environment}/{deployment.version}",
                    "startedOn": started,
                    "finishedOn": deployment.created_at,
                },
            },
        },
    }


def _base(base: str) -> dict[str, Any]:
    name, _, digest = base.partition("@")
    known = {"digest": {"sha256": digest.removeprefix("sha256:")}} if digest else {}
    return {"uri": f"docker://{name}", "name": "base image", **known}


def revision(root: Path) -> dict[str, Any] | None:
    """Give the commit that a project's folder is at, None without git or without a commit."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return None
    remote = _git(root, "config", "--get", "remote.origin.url")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".")
    material: dict[str, Any] = {
        "uri": f"git+{without_login(remote)}" if remote else "git",
        "digest": {"gitCommit": commit},
        "annotations": {"changed": bool(changed)},
    }
    return material


def without_login(url: str) -> str:
    """Take user and password out of a URL; what is no URL (git@host:path) holds no password."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _git(root: Path, *words: str, environ: Mapping[str, str] | None = None) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words],
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
