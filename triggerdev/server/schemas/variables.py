"""Environment variables."""

from pydantic import Field

from triggerdev.server.schemas.common import Wire


class VariableBody(Wire):
    name: str
    value: str = Field(repr=False)
    is_secret: bool | None = None


class VariableUpdateBody(Wire):
    value: str = Field(repr=False)


class VariablesBody(Wire):
    variables: dict[str, str] = Field(repr=False)
    override: bool | None = Field(None, description="Replace those that exist.")
    is_secret: bool | None = None


class VariableAnswer(Wire):
    name: str
    value: str = Field(description="`<redacted>` if it is secret.")
    is_secret: bool


class VariablesAnswer(Wire):
    variables: dict[str, str]
