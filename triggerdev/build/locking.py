"""Making `trigger.lock`: which bases and downloads a project's images need, and what they are today."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from triggerdev import errors
from triggerdev.build import deploy_plan, registry_access
from triggerdev.build.lock import Lock, Pin
from triggerdev.build.oci.model import digest_of
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.repository import Repository

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig

Digest = Callable[[str], str]
"""Gives the digest that an image's name has now."""


def needs(loaded: LoadedConfig, environment: str, env: Mapping[str, str]) -> tuple[str, tuple[Pin, ...]]:
    """Give the base and the downloads of an environment's image; raises what planning it raises."""
    planned = deploy_plan.plan_image(loaded, environment, env, locked=False)
    return planned.plan.base, planned.outcome.pins


def make(wanted: Iterable[tuple[str, tuple[Pin, ...]]], known: Lock, ask: Digest) -> Lock:
    """Make the lock of several images; digests that are `known` stay, the others are asked for.

    Raises BuildError if two extensions give one download two contents.
    """
    bases: dict[str, str] = {}
    downloads: dict[tuple[str, str], Pin] = {}
    for base, pins in wanted:
        if "@" not in base and base not in bases:
            bases[base] = known.bases.get(base) or ask(base)
        for pin in pins:
            if downloads.setdefault((pin.name, pin.version), pin) != pin:
                raise errors.BuildError(f"the download {pin} has two contents")
    return Lock(bases, tuple(sorted(downloads.values())))


def ask_registry(loaded: LoadedConfig) -> Digest:
    """Make what asks registries. It raises RegistryError for none that answers, BuildError for no image."""

    def ask(base: str) -> str:
        with Repository(Reference.parse(base), registry_access.access(loaded)) as repository:
            manifest = repository.manifest(repository.reference.wanted)
        if manifest is None:
            raise errors.BuildError(
                f"there is no image {base} in its registry, so it has no digest for others to use; push it"
            )
        return digest_of(manifest)

    return ask
