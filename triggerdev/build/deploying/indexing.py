"""The tasks of a version: imported in the image, or here when only code has changed.

Neither gets a secret or a network: in the image because its container has none, here because the process gets
only the variables that programs need to start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from triggerdev import _json, errors
from triggerdev.build import tasks
from triggerdev.build.backends.protocol import Backend
from triggerdev.build.deploying import missing
from triggerdev.protocol import Manifest, SourceProblem
from triggerdev.worker.deployed.code import manifest_hash
from triggerdev.worker.indexing import describe_problem

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

Place = Literal["image", "host"]
_SECONDS = 120.0
_SHOWN = 2000


@dataclass(frozen=True)
class Index:
    """The tasks as a plan describes them, the hash of the manifest, and where they were imported."""

    tasks: list[dict[str, Any]]
    hash: str
    place: Place


def _index(manifest: Manifest, place: Place) -> Index:
    return Index([tasks.describe(task) for task in manifest["tasks"]], manifest_hash(manifest), place)


def of_host(manifest: Manifest) -> Index:
    """Give the index of tasks that were imported here."""
    return _index(manifest, "host")


def in_image(backend: Backend, reference: str, loaded: LoadedConfig) -> Index:
    """Import the tasks in an image that an engine has.

    Raises BuildError with file and line of each problem, and with what would mend it.
    """
    ran = backend.run(reference, ["index"], _SECONDS)
    try:
        answer = _json.loads(ran.stdout)
        problems: list[SourceProblem] = answer["problems"]
        manifest: Manifest = answer["manifest"]
    except (ValueError, KeyError, TypeError):
        raise errors.BuildError(
            f"importing the tasks in the image ended with status {ran.status} and gave no answer; its last "
            f"output:\n{ran.stderr[-_SHOWN:].strip()}"
        ) from None
    if problems:
        raise _refusal(problems, loaded)
    if not manifest["tasks"]:
        raise errors.BuildError(f"no tasks found in {', '.join(loaded.config.dirs)} of the image")
    return _index(manifest, "image")


def _refusal(problems: Sequence[SourceProblem], loaded: LoadedConfig) -> errors.BuildError:
    lines = [describe_problem(problem) for problem in problems]
    error = errors.BuildError("the tasks cannot be imported in the image:\n" + "\n".join(lines))
    for advice in missing.advices(problems, loaded.root):
        error.add_note(advice)
    return error
