"""Shapes of the realtime API."""

from pydantic import Field, RootModel

from triggerdev.server.schemas.common import Wire


class ShapeMessage(Wire):
    """A row with an operation, or a control message."""

    key: str | None = None
    value: dict[str, str | None] | None = Field(None, description="PostgreSQL's text of each column.")
    headers: dict[str, str]


class ShapeAnswer(RootModel[list[ShapeMessage]]):
    """Rows, and an up-to-date message; handle and offset of the next request are in `electric-*` headers."""
