"""The values of build secrets."""

from collections.abc import Iterable, Mapping

from triggerdev import errors


class Secrets:
    """What extensions gave, else what the environment holds; asked for only when something is built."""

    def __init__(self, given: Mapping[str, str | None], environ: Mapping[str, str]) -> None:
        self._given = given
        self._environ = environ

    def needed(self, names: Iterable[str]) -> dict[str, str]:
        """Give the values of some secrets. Raises BuildError that names those without a value."""
        found = {name: self._given.get(name) or self._environ.get(name) for name in names}
        missing = sorted(name for name, value in found.items() if not value)
        if missing:
            raise errors.BuildError(
                f"the build secret {', '.join(missing)} has no value; set it in the environment or in an env "
                "file"
            )
        return {name: value for name, value in found.items() if value}
