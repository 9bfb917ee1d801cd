"""Deployments as text, and what the commands about them share."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from triggerdev.build.deployments import BuiltImage, Deployment, Deployments
    from triggerdev.cli.output import Output

Env = Annotated[str, typer.Option("--env", metavar="NAME", help="The environment that was deployed to.")]

_NEEDED = ("TRIGGER_API_URL", "TRIGGER_SECRET_KEY")
_SHOWN_TASKS = 8


def find(config: Path | None, env: str) -> Deployments:
    """Find the versions of an environment of a project. Raises ConfigError if there is no project here."""
    from triggerdev import errors
    from triggerdev.build import tokens
    from triggerdev.build.deployments import Deployments
    from triggerdev.config.loader import find_config

    if not tokens.is_environment(env):
        raise errors.UsageError(f"--env: {env!r} cannot be an environment's name")
    return Deployments(find_config(config).parent, env)


def row(deployment: Deployment, is_current: bool) -> tuple[str, ...]:
    """Give a version as a row of the list."""
    image = deployment.image
    digest = image.digest.removeprefix("sha256:")[:12]
    mark, tasks = "*" if is_current else "", str(len(deployment.tasks))
    return mark, deployment.version, deployment.created_at, image.reference, digest, tasks


def layer_rows(deployment: Deployment) -> list[tuple[str, ...]]:
    """Give the layers of a version's image, bottom first."""
    from triggerdev.build.explain import human_size

    names = {key: name for name, key in deployment.keys.items()}
    return [
        (names.get(layer.key.partition(".")[0], "base or executed"), human_size(layer.size), layer.diff_id)
        for layer in deployment.image.layers
    ]


def print_promotion(out: Output, deployment: Deployment, before: str | None) -> None:
    """Say which version is current now."""
    out.result({"version": deployment.version, "environment": deployment.environment, "before": before})
    if before == deployment.version:
        out.line(f"Version {deployment.version} of {deployment.environment} is current already")
        return
    was = f" (before: {before})" if before else ""
    out.line(f"Version {deployment.version} of {deployment.environment} is current now{was}", "green")
    for line in how_to_run(deployment):
        out.line(line)


def summary(deployment: Deployment) -> list[tuple[str, str | None]]:
    """Give what a version is, as names and values."""
    from triggerdev.build.explain import human_size

    image = deployment.image
    size = sum(layer.size for layer in image.layers)
    place = {"image": "in the container engine", "registry": "in the registry"}.get(image.output, image.path)
    tasks = ", ".join(task["id"] for task in deployment.tasks[:_SHOWN_TASKS])
    more = len(deployment.tasks) - _SHOWN_TASKS
    return [
        ("image", f"{image.reference} ({place})"),
        ("digest", image.digest),
        ("size", f"{human_size(size)} in {len(image.layers)} layers, for {image.platform}"),
        ("pushed", ", ".join(image.pushed) or None),
        ("tasks", tasks + (f" and {more} more" if more > 0 else "")),
        ("indexed", "in the image" if deployment.indexed == "image" else "on this machine"),
        (
            "took",
            ", ".join(f"{name} {seconds:.1f} s" for name, seconds in deployment.seconds.items()) or None,
        ),
    ]


def how_to_run(deployment: Deployment) -> Iterator[str]:
    """Say how a version's worker is started."""
    image = deployment.image
    if image.output == "tar":
        yield f"Load it:  docker load --input {shlex.quote(image.path or '')}"
    elif image.output == "oci-layout":
        yield f"Copy it:  skopeo copy oci:{shlex.quote(image.path or '')} docker-daemon:{image.reference}"
    yield f"Run it:   {run_command(image)}"
    yield "          with both variables set: the server's URL and the environment's secret key"
    if deployment.variables:
        yield f"          its tasks also expect {', '.join(deployment.variables)}"


def run_command(image: BuiltImage) -> str:
    """Give the command line that starts an image's worker."""
    variables = " ".join(f"-e {name}" for name in _NEEDED)
    return f"{image.program} run --rm {variables} {image.reference}"
