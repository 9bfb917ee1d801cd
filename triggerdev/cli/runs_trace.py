"""`trigger runs trace RUN`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from triggerdev import _durations
from triggerdev.cli import options, project
from triggerdev.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

_NS = 1_000_000
_MAX_TEXT = 200
_MAX_PROPERTIES = 4


def trace(
    run: options.RunId,
    api_url: options.ApiUrl = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Print what a run did as a tree, with durations, errors and the runs that it triggered."""
    from triggerdev._terminal import pad, width
    from triggerdev.cli.api import Api

    out = Output(json)
    with Api(project.find_server(api_url, config)) as api:
        found = api.trace(run)
    out.result(found)
    root = found.get("rootSpan")
    if not isinstance(root, dict):
        return
    lines = list(_lines(root))
    size = max(width(name) for name, _, _ in lines)
    for name, length, rest in lines:
        out.line(f"{pad(name, size)}  {length:>8}  {rest}".rstrip(), _tone(rest))
    if found.get("isTruncated"):
        out.say("There is more: only the first spans are shown.")


def _tone(rest: str) -> str | None:
    return "red" if rest.startswith("error") else "yellow" if rest.startswith("cancelled") else None


def _lines(root: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield each span's name behind its branches, its duration and its outcome; parents first."""
    todo: list[tuple[dict[str, Any], str, str]] = [(root, "", "")]
    while todo:
        span, lead, below = todo.pop()
        yield lead + _name(span), _length(span), _outcome(span)
        children = _children(span)
        last = len(children) - 1
        for index in range(last, -1, -1):
            is_last = index == last
            branch, indent = ("`- ", "   ") if is_last else ("|- ", "|  ")
            todo.append((children[index], below + branch, below + indent))


def _children(span: dict[str, Any]) -> "Sequence[dict[str, Any]]":
    """Give what stands below a span; an attempt that is the only one is left out, not what it did."""
    found = [child for child in span.get("children") or () if isinstance(child, dict)]
    if _kind(span) == "run" and len([child for child in found if _kind(child) == "attempt"]) == 1:
        only = next(child for child in found if _kind(child) == "attempt")
        found = [*_children(only), *(child for child in found if child is not only)]
    return found


def _data(span: dict[str, Any]) -> dict[str, Any]:
    data = span.get("data")
    return data if isinstance(data, dict) else {}


def _kind(span: dict[str, Any]) -> str:
    return str(_data(span).get("entityType") or "")


def _name(span: dict[str, Any]) -> str:
    name = _safe(str(_data(span).get("message") or "?"))
    return f"{name} ({_safe(str(span.get('runId')))})" if _kind(span) == "run" else name


def _safe(text: str) -> str:
    from triggerdev._terminal import clean

    return clean(text[:_MAX_TEXT])


def _length(span: dict[str, Any]) -> str:
    duration = _data(span).get("duration")
    ms = duration / _NS if isinstance(duration, int | float) else 0
    return f"{ms:.1f}ms" if ms < 10 else _durations.format_ms(ms)


def _outcome(span: dict[str, Any]) -> str:
    data = _data(span)
    parts = []
    if data.get("isPartial"):
        parts.append("...")
    if data.get("isCancelled"):
        parts.append("cancelled")
    elif data.get("isError"):
        parts.append(f"error: {_error(data)}")
    properties = data.get("properties")
    if isinstance(properties, dict) and _kind(span) in ("user", "auto"):
        shown = list(properties.items())[:_MAX_PROPERTIES]
        parts += [_safe(f"{name}={value}") for name, value in shown]
    return "  ".join(parts)


def _error(data: dict[str, Any]) -> str:
    for event in data.get("events") or ():
        found = event.get("properties") if isinstance(event, dict) else None
        exception = found.get("exception") if isinstance(found, dict) else None
        if isinstance(exception, dict):
            name, message = exception.get("type"), str(exception.get("message") or "")
            return _safe(f"{name}: {message}" if name else message)
    return "failed"
