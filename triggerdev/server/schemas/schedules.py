"""Schedules."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from triggerdev.server.schemas.common import PageNumbers, Wire


class Generator(Wire):
    type: Literal["CRON"]
    expression: str
    description: str


class ScheduleEnvironment(Wire):
    id: str
    type: str


class ScheduleAnswer(Wire):
    id: str
    type: Literal["DECLARATIVE", "IMPERATIVE"]
    task: str
    active: bool
    deduplication_key: str | None
    external_id: str | None
    generator: Generator
    timezone: str
    next_run: datetime | None
    environments: list[ScheduleEnvironment]


class ScheduleUpdateBody(Wire):
    task: str
    cron: str = Field(description="Five fields: minute hour day month weekday.", examples=["0 9 * * *"])
    timezone: str | None = Field(None, description="An IANA name; UTC if it is left out.")
    external_id: str | None = None
    window: str | None = Field(None, description="Refused: runs start at their slot.")


class ScheduleBody(ScheduleUpdateBody):
    deduplication_key: str | None = Field(
        None, description="A second schedule with the same key changes the first."
    )


class SchedulePage(Wire):
    data: list[ScheduleAnswer]
    pagination: PageNumbers


class TimezonesAnswer(Wire):
    timezones: list[str]
