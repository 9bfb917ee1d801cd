"""A command that failed in a build: which layer, who asked for it, and where the config says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build import tokens
from triggerdev.build.backends.protocol import StepFailedError
from triggerdev.build.plan import CORE, ImagePlan, PlanLayer

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

_SHOWN = 15


def step_failed(failure: StepFailedError, plan: ImagePlan, loaded: LoadedConfig) -> errors.BuildError:
    """Make the error of a failed step, with its last lines."""
    if any("No space left on device" in line or "no space left on device" in line for line in failure.lines):
        return _with_lines(errors.BuildError, "the disk of the container engine is full", failure)
    layer = next((each for each in plan.layers if each.id == failure.layer), None)
    if layer is None:
        return _with_lines(errors.BuildError, f"a step of the image failed: {failure.reason}", failure)
    text = f"the layer {layer.id!r} failed: {failure.reason}\n{_asked_for(layer, loaded)}"
    if layer.commands:
        text += "\nits commands: " + "; ".join(tokens.printable(command) for command in layer.commands)
    return _with_lines(errors.BuildError, text, failure)


def _asked_for(layer: PlanLayer, loaded: LoadedConfig) -> str:
    if layer.extension == CORE:
        place = loaded.diagnostic(("build",), "")
        return f"it is one of every image's layers, {place.file}:{place.line} configures it"
    places = []
    for name in layer.extension.split(", "):
        place = loaded.diagnostic(("build", "extensions", name), "", at_key=True)
        places.append(f"[build.extensions.{name}] at {place.file}:{place.line}")
    return f"asked for by {' and '.join(places)}"


def _with_lines(kind: type[errors.BuildError], text: str, failure: StepFailedError) -> errors.BuildError:
    lines = [tokens.printable(line) for line in failure.lines if line.strip()][-_SHOWN:]
    shown = "\n".join(f"    {line}" for line in lines)
    return kind(f"{text}\nthe last it printed:\n{shown}" if shown else text)
