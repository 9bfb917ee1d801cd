"""The plan for people: plain lines, columns aligned; whoever prints them escapes control characters."""

from collections.abc import Iterator, Sequence
from typing import Any

_MARKS = {"unknown": "?"}
_SHOWN = 3
_WIDTH = 60


def lines(document: dict[str, Any], title: str) -> Iterator[str]:
    """Write a plan document as lines of text."""
    yield title
    yield ""
    yield f"runtime  {document['runtime']}"
    yield f"base     {document['base']}"
    yield from _section(_tasks_title(document["current"]), _tasks(document))
    yield from _section("Layers, from the base upwards", _layers(document["layers"]))
    variables = [
        [_MARKS.get(each["change"], each["change"]), each["name"], _kept(each)] for each in document["env"]
    ]
    variables += [["-", name, ""] for name in document["removed"]["env"]]
    yield from _section("Environment variables (? = unknown, as no server was asked)", variables)
    commands = [[each["extension"], each["command"], _with(each)] for each in document["deploy_commands"]]
    yield from _section("Run in the image, before the version counts", commands)
    yield from _section("Warnings", [[warning] for warning in document["warnings"]])
    yield ""
    yield f"Build folder  {document['build_dir']}"
    yield f"Total         {total(document['layers'])}"


def total(layers: Sequence[dict[str, Any]]) -> str:
    """Sum layers up in one line."""
    cached = sum(layer["status"] == "cached" for layer in layers)
    size = sum(layer["size"] or 0 for layer in layers)
    unknown = [layer["id"] for layer in layers if layer["size"] is None]
    text = f"{_count(len(layers), 'layer')} ({cached} cached, {len(layers) - cached} to be built), "
    text += f"{human_size(size)} of files"
    return f"{text}; only building tells the size of {', '.join(unknown)}" if unknown else text


def human_size(size: int | None) -> str:
    """Write a number of bytes for people; None as "-"."""
    if size is None:
        return "-"
    if size < 1000:
        return f"{size} B"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 1000 or unit == "GB":
            break
    return f"{value:.1f} {unit}"


def _with(command: dict[str, Any]) -> str:
    return f"with {', '.join(command['secrets'])}" if command["secrets"] else ""


def _tasks_title(current: str | None) -> str:
    return f"Tasks (+ new, ~ changed, - removed since {current})" if current else "Tasks (all new)"


def _tasks(document: dict[str, Any]) -> list[list[str]]:
    rows = [["", "task", "file", "queue", "schedule"]]
    for task in document["tasks"]:
        schedule = task["schedule"]
        when = f"{schedule['cron']} {schedule['timezone']}" if schedule else ""
        mark = task["change"].replace("=", "")
        rows.append([mark, task["id"], f"{task['file']}:{task['line']}", _queue(task), when])
        rows += [["", f"  {change}", "", "", ""] for change in task["changes"]]
    rows += [["-", task, "", "", ""] for task in document["removed"]["tasks"]]
    return rows if len(rows) > 1 else []


def _queue(task: dict[str, Any]) -> str:
    limit = "" if task["concurrency_limit"] is None else f"limit {task['concurrency_limit']}"
    return " ".join(part for part in (task["queue"] or "", limit) if part)


def _layers(layers: Sequence[dict[str, Any]]) -> list[list[str]]:
    rows = [["layer", "from", "adds", "size", "key", "status"]]
    for layer in layers:
        status = "cached" if layer["status"] == "cached" else f"to be built: {layer['reason']}"
        size = human_size(layer["size"])
        rows.append([layer["id"], layer["extension"], _adds(layer), size, layer["key"][:12], status])
    return rows


def _adds(layer: dict[str, Any]) -> str:
    parts = []
    for key, noun in (
        ("packages", "package"),
        ("files", "file"),
        ("commands", "command"),
        ("env", "variable"),
    ):
        found = layer[key]
        if found:
            parts.append(_named(found) or _count(len(found), noun))
    return "; ".join(parts) or ("the base image" if layer["id"] == "base" else "nothing")


def _named(found: Sequence[str]) -> str | None:
    text = ", ".join(found)
    return text if len(found) <= _SHOWN and len(text) <= _WIDTH else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _kept(variable: dict[str, Any]) -> str:
    return "secret" if variable["secret"] else ""


def _section(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    yield ""
    yield title
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield f"  {'  '.join(cells)}".rstrip()
