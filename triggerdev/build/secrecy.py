"""Keeping values out of what people read: known secret values print as `***`."""

import re
from collections.abc import Mapping

from triggerdev.build import tokens

MASK = "***"
_SECRET_NAME = re.compile(r"SECRET|TOKEN|KEY|PASS|CREDENTIAL|PRIVATE|DSN|DATABASE_URL|AUTH", re.IGNORECASE)
_SHORTEST = 4
_TELLING = 8


class Masker:
    """Replaces the secret values it knows of, except very short ones, which would hit ordinary words."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def add(self, variables: Mapping[str, str]) -> None:
        """Learn the values of variables, and each line of those that have several."""
        for name, value in variables.items():
            for part in (value, *value.splitlines()):
                if len(part.strip()) >= _SHORTEST:
                    self._names.setdefault(part, name)

    def add_variables(self, variables: Mapping[str, str]) -> None:
        """Learn the values of those variables whose name says that they are secret."""
        self.add({name: value for name, value in variables.items() if _SECRET_NAME.search(name)})

    def reveals(self, text: str) -> list[str]:
        """Name the variables whose value a text holds; values of a few letters are not looked for."""
        found = {name for value, name in self._names.items() if len(value) >= _TELLING and value in text}
        return sorted(found)

    def __call__(self, text: str) -> str:
        """Give a text for people: without secret values and without control characters."""
        for value in sorted(self._names, key=len, reverse=True):
            text = text.replace(value, MASK)
        return "\n".join(tokens.printable(line) for line in text.split("\n"))
