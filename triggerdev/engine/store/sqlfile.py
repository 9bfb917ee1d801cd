"""Named queries: a `.sql` file holds each under `-- name: x`; `{x}` in one stands for the text of another."""

import re
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_INCLUDE = re.compile(r"\{(\w+)\}")
_COMMENT = re.compile(r"^--.*\n?", re.MULTILINE)


def read(dialect: str, file: str) -> str:
    """Read a file of `store/sql/<dialect>/`."""
    return resources.files(__package__).joinpath("sql", dialect, file).read_text("utf-8")


def load(dialect: str) -> dict[str, str]:
    """Load the queries of a dialect by name."""
    pieces = _NAME.split(read(dialect, "queries.sql"))
    raw = {
        name: _COMMENT.sub("", text).strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }
    return {name: _INCLUDE.sub(lambda m: raw[m.group(1)], text) for name, text in raw.items()}
