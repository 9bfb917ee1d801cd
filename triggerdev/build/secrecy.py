"""Keeping values out of what people read: known secret values print as `***`."""

import re
from collections.abc import Iterable, Mapping

from triggerdev.build import tokens

MASK = "***"
_SECRET_NAME = re.compile(r"SECRET|TOKEN|KEY|PASS|CREDENTIAL|PRIVATE|DSN|DATABASE_URL|AUTH", re.IGNORECASE)
_SHORTEST = 4


class Masker:
    """Replaces the secret values it knows of, except very short ones, which would hit ordinary words."""

    def __init__(self) -> None:
        self._values: set[str] = set()

    def add(self, values: Iterable[str]) -> None:
        """Learn values, and each line of those that have several."""
        for value in values:
            self._values.update(line for line in (value, *value.splitlines()) if len(line) >= _SHORTEST)

    def add_variables(self, variables: Mapping[str, str]) -> None:
        """Learn the values of variables whose name says that they are secret."""
        self.add(value for name, value in variables.items() if _SECRET_NAME.search(name))

    def __call__(self, text: str) -> str:
        """Give a text for people: without secret values and without control characters."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, MASK)
        return "\n".join(tokens.printable(line) for line in text.split("\n"))
