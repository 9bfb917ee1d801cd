"""The SQL of the stores: named queries, and the numbered files that make a schema.

A query stands under `-- name: x`; `{x}` in one stands for the text of another.
"""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"^(\d{4})_\w+\.sql$")
_INCLUDE = re.compile(r"\{(\w+)\}")
_FILES = ("queries.sql", "retention.sql")
_COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)


def read(dialect: str, file: str) -> str:
    """Read a file of `store/sql/<dialect>/`."""
    return resources.files(__package__).joinpath("sql", dialect, file).read_text("utf-8")


def load(dialect: str) -> dict[str, str]:
    """Load the queries of a dialect by name."""
    pieces = _NAME.split("".join(read(dialect, file) for file in _FILES))
    raw = {
        name: _COMMENT.sub("", text).strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }
    return {name: _INCLUDE.sub(lambda m: raw[m.group(1)], text) for name, text in raw.items()}


def migrations(dialect: str) -> dict[int, str]:
    """Name the files that make and change a dialect's schema, by number, in their order."""
    folder = resources.files(__package__).joinpath("sql", dialect)
    found = {
        int(m.group(1)): m.group(0) for m in map(_MIGRATION.match, (f.name for f in folder.iterdir())) if m
    }
    return dict(sorted(found.items()))
