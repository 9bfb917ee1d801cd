"""Which container engine a build uses."""

from collections.abc import Mapping
from functools import cached_property

from triggerdev import errors
from triggerdev.build.backends.protocol import Backend, Capabilities

BUILDERS = ("auto", "docker", "buildah", "oci")
"""What `--builder` takes; "oci" is none at all."""


class Engines:
    """The engine of one deploy, found when it is first needed."""

    def __init__(self, builder: str, environ: Mapping[str, str]) -> None:
        if builder not in BUILDERS:
            raise errors.UsageError(f"--builder must be one of {', '.join(BUILDERS)}, not {builder!r}")
        self.builder = builder
        self._environ = environ

    def needed(self, why: str) -> Backend:
        """Give an engine that works. Raises EnvironmentProblemError with `why` and what each lacks."""
        if self.builder == "oci":
            raise errors.UsageError(f"{why}, so a container engine is needed; --builder oci uses none")
        backend, problems = self._found
        if backend is None:
            raise errors.EnvironmentProblemError(f"{why}, so a container engine is needed: {problems}")
        return backend

    @property
    def any(self) -> Backend | None:
        """Give an engine that answers, None if there is none or none is wanted.

        Raises EnvironmentProblemError if one was asked for by name and does not work.
        """
        if self.builder == "oci":
            return None
        backend, problems = self._found
        if backend is None and self.builder != "auto":
            raise errors.EnvironmentProblemError(f"--builder {self.builder}: {problems}")
        return backend

    def close(self) -> None:
        """Close the connections to the engine."""
        if "_found" in vars(self) and self._found[0] is not None:
            self._found[0].close()

    @cached_property
    def capabilities(self) -> Capabilities:
        """Give what the engine was found to be able to do; `needed` or `any` has found it before."""
        return self.needed("capabilities were asked for").probe()

    @cached_property
    def _found(self) -> tuple[Backend | None, str]:
        problems = []
        for backend in self._candidates():
            try:
                backend.ping()
            except errors.EnvironmentProblemError as error:
                problems.append(str(error))
            else:
                return backend, ""
        return None, "; ".join(problems)

    def _candidates(self) -> list[Backend]:
        from triggerdev.build.backends.buildah import Buildah
        from triggerdev.build.backends.docker import Docker

        known: dict[str, Backend] = {"docker": Docker(self._environ), "buildah": Buildah(self._environ)}
        return list(known.values()) if self.builder == "auto" else [known[self.builder]]
