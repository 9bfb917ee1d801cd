"""What answers of several topics are made of."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Wire(BaseModel):
    """camelCase on the wire; unknown fields are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class Strict(Wire):
    """A body in which an unknown field is a mistake."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid"
    )


class ErrorAnswer(Wire):
    error: str = Field(examples=["Run not found"])


class Cursors(Wire):
    next: str | None = None
    previous: str | None = None


class IdAnswer(Wire):
    id: str


class MessageAnswer(Wire):
    message: str


class SuccessAnswer(Wire):
    success: Literal[True]


class PageNumbers(Wire):
    current_page: int
    total_pages: int
    count: int
