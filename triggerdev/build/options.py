"""The base class for the options of an extension."""

import pydantic


class Options(pydantic.BaseModel):
    """Options of an extension as a model: no field beside those of the class, no value of another type."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)
