"""What runs tell beside their state: lines and spans."""

from typing import Any, Literal, NotRequired, TypedDict


class LogLine(TypedDict, total=False):
    """One line of a run. `stream`: stdout, stderr or log; `level` for log; `data` are its properties.

    `span`: the span in which it was written, unless that is the attempt itself.
    """

    run: str
    attempt: int
    at: int
    stream: Literal["stdout", "stderr", "log"]
    level: str
    message: str
    data: dict[str, Any]
    span: str


class LogBatch(TypedDict):
    t: Literal["logs"]
    lines: list[LogLine]


class SpanRecord(TypedDict):
    """One span of a run, as it begins (without `end`) or as it was; `start` and `end` in ns since the epoch.

    `kind`: wait, trigger, step, user or auto. `events`: `{"name", "at", "attributes"}`.
    """

    id: str
    parent: str
    name: str
    kind: str
    start: int
    end: NotRequired[int]
    error: NotRequired[str]
    attributes: NotRequired[dict[str, Any]]
    events: NotRequired[list[dict[str, Any]]]


class SpanBatch(TypedDict):
    """Spans of one run; dropped if its lease is no longer held."""

    t: Literal["spans"]
    run: str
    token: int
    spans: list[SpanRecord]
