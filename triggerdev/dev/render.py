"""What `trigger dev` prints.

Lines gather in a buffer; the caller flushes it once for each turn of its loop, so an event costs a few
microseconds and no system call.
"""

import os
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TextIO
from urllib.parse import quote

from triggerdev import _durations, protocol
from triggerdev._terminal import (
    clean,
    clean_lines,
    error_lines,
    json_text,
    pad,
    paint,
    problem_lines,
    table_lines,
    use_colour,
    width,
)

if TYPE_CHECKING:
    from triggerdev.engine.model import RunEvent

PathText = str | os.PathLike[str]
Names = Sequence[str]
Tasks = Sequence[protocol.TaskInfo]
Problems = Sequence[protocol.SourceProblem]

_REMEMBERED_RUNS = 20_000

_TONES = {
    "completed": "green",
    "expired": "yellow",
    "canceled": "yellow",
    "waiting": "cyan",
    "resumed": "cyan",
}
_TONES |= dict.fromkeys(("failed", "crashed", "timed out", "system failure"), "red")
_SAMPLES = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "null": None}


class DevOutput(Protocol):
    """What `trigger dev` has to say. Everything but `flush` only fills a buffer."""

    def starting(self, project: str, root: PathText, interpreter: PathText, database: str) -> None: ...
    def ready(self, url: str, key_file: PathText, tasks: Tasks, took_ms: float) -> None: ...
    def run_event(self, event: "RunEvent") -> None: ...
    def reloaded(self, version: str, changed: Names, took_ms: float, tasks_changed: Names = ()) -> None: ...
    def load_failed(self, problems: Problems, has_previous: bool = True) -> None: ...
    def log_line(self, line: protocol.LogLine) -> None: ...
    def process_output(self, text: str) -> None: ...
    def notice(self, text: str) -> None: ...
    def warning(self, text: str) -> None: ...
    def error(self, text: str) -> None: ...
    def stopping(self, executing: int = 0) -> None: ...
    def stopped(self) -> None: ...
    def flush(self) -> None: ...


class _Buffer:
    """Lines on their way to a stream; once nobody reads it any more, they are dropped."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._lines: list[str] = []

    def flush(self) -> None:
        """Write all lines with one call."""
        if not self._lines:
            return
        text = "\n".join(self._lines) + "\n"
        self._lines.clear()
        try:
            if self._stream:
                self._stream.write(text)
                self._stream.flush()
        except OSError:
            self._stream = None


class PlainOutput(_Buffer):
    """Timestamped lines for people; colours only where asked for."""

    def __init__(self, stream: TextIO | None = None, colour: bool = False) -> None:
        super().__init__(stream or sys.stdout)
        self._colour = colour
        self._root = ""
        self._name_width = 16
        self._names: dict[str, str] = {}
        self._task_of: dict[str, str] = {}
        self._second = -1
        self._clock = ""

    def starting(self, project: str, root: PathText, interpreter: PathText, database: str) -> None:
        self._root = os.fspath(root)
        self._lines += [
            f"project      {clean(project)} ({clean(self._root)})",
            f"interpreter  {clean(os.fspath(interpreter))}",
            f"database     {clean(database)}",
        ]

    def ready(self, url: str, key_file: PathText, tasks: Tasks, took_ms: float) -> None:
        self._name_width = min(32, max([width(clean(task["id"])) for task in tasks], default=16))
        self._names.clear()
        rows = [("TASK", "KIND", "QUEUE OR SCHEDULE", "DEFINED AT"), *(task_row(task) for task in tasks)]
        header, *lines = table_lines(rows)
        count = f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}"
        self._lines += ["", self._paint(header, "dim"), *lines, ""]
        self._lines.append(
            self._paint(f"ready in {_durations.format_ms(took_ms)}: {count} at {clean(url)}", "green")
        )
        self._lines += [clean(line) for line in _next_steps(clean(url), os.fspath(key_file), tasks)]
        self._lines.append("")

    def run_event(self, event: "RunEvent") -> None:
        if event.kind in ("started", "resumed"):
            self._remember(event.run, event.task)
        outcome, tone = _outcome(event)
        took = "" if event.duration_ms is None else _durations.format_ms(event.duration_ms)
        attempt = f"#{event.attempt}" if event.attempt else ""
        if self._colour:
            outcome = paint(outcome, tone)
        head = f"{self._time(event.at)}  {self._name(event.task)}  {event.run}"
        self._lines.append(f"{head}  {attempt:<3} {took:>6}  {outcome}")
        if event.error and event.status != "CANCELED":
            self._block(error_lines(event.error, self._root))

    def reloaded(self, version: str, changed: Names, took_ms: float, tasks_changed: Names = ()) -> None:
        files = _some(changed) or "no file"
        tasks = f"; tasks: {_some(tasks_changed)}" if tasks_changed else ""
        text = f"reloaded in {_durations.format_ms(took_ms)}: {files}{tasks} (version {clean(version)})"
        self._lines.append(f"{self._now()}  {self._paint(text, 'green')}")

    def load_failed(self, problems: Problems, has_previous: bool = True) -> None:
        after = "the previous version goes on" if has_previous else "nothing runs until this is mended"
        self._lines.append(f"{self._now()}  {self._paint(f'cannot load the tasks; {after}', 'red')}")
        for problem in problems:
            self._block(problem_lines(problem, self._root))

    def log_line(self, line: protocol.LogLine) -> None:
        run = line.get("run", "")
        name = self._name(self._task_of.get(run, run))
        level = line.get("level", "")
        label = f"{level}: " if line.get("stream") == "log" and level not in ("", "info", "log") else ""
        data = f" {json_text(line['data'])}" if line.get("data") else ""
        mark = "!" if line.get("stream") == "stderr" else "|"
        text = clean(line.get("message", ""))
        self._lines.append(f"{self._time(line.get('at', 0))}  {name}  {mark} {clean(label)}{text}{data}")

    def process_output(self, text: str) -> None:
        self._lines += [
            f"{self._now()}  {pad('(process)', self._name_width)}  | {line}" for line in _split(text)
        ]

    def notice(self, text: str) -> None:
        self._say(text, "", "dim")

    def warning(self, text: str) -> None:
        self._say(text, "warning: ", "yellow")

    def error(self, text: str) -> None:
        self._say(text, "error: ", "red")

    def stopping(self, executing: int = 0) -> None:
        runs = f" ({executing} run{'' if executing == 1 else 's'} executing)" if executing else ""
        self._say(f"stopping{runs}; Ctrl-C again ends everything at once", "", "dim")

    def stopped(self) -> None:
        self._say("stopped; runs that have not ended go on at the next start", "", "dim")

    def _say(self, text: str, label: str, tone: str) -> None:
        first, *rest = _split(text) or [""]
        self._lines.append(f"{self._now()}  {self._paint(label + first, tone)}")
        self._lines += [f"    {line}" for line in rest]

    def _block(self, lines: Iterable[tuple[str, str]]) -> None:
        tones = {"error": "red", "where": "cyan", "note": "dim"}
        for kind, text in lines:
            self._lines.append("    " + (self._paint(text, tones[kind]) if kind in tones else text))

    def _paint(self, text: str, tone: str) -> str:
        return paint(text, tone) if self._colour else text

    def _name(self, task: str) -> str:
        name = self._names.get(task)
        if name is None:
            if len(self._names) > 1000:
                self._names.clear()
            name = self._names[task] = pad(clean(task), self._name_width)
        return name

    def _remember(self, run: str, task: str) -> None:
        """Keep which task a run belongs to, for its log lines; the oldest half goes when it gets too much."""
        self._task_of[run] = task
        if len(self._task_of) > _REMEMBERED_RUNS:
            for old in list(islice(self._task_of, _REMEMBERED_RUNS // 2)):
                del self._task_of[old]

    def _time(self, at: int) -> str:
        second, ms = divmod(at, 1000)
        if second != self._second:
            self._second = second
            self._clock = time.strftime("%H:%M:%S", time.localtime(second))
        return f"{self._clock}.{ms:03d}"

    def _now(self) -> str:
        return self._time(int(time.time() * 1000))


class JsonOutput(_Buffer):
    """One JSON object a line: `type` says what happened, times are ISO 8601, durations milliseconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream or sys.stdout)

    def starting(self, project: str, root: PathText, interpreter: PathText, database: str) -> None:
        folder, python = os.fspath(root), os.fspath(interpreter)
        self._put("starting", project=project, root=folder, interpreter=python, database=database)

    def ready(self, url: str, key_file: PathText, tasks: Tasks, took_ms: float) -> None:
        self._put("ready", url=url, key_file=os.fspath(key_file), tasks=list(tasks), took_ms=took_ms)

    def run_event(self, event: "RunEvent") -> None:
        self._put(
            "run",
            at=event.at,
            event=event.kind,
            run=event.run,
            task=event.task,
            attempt=event.attempt,
            status=event.status.public_name,
            duration_ms=event.duration_ms,
            retry_at=None if event.retry_at is None else _durations.iso(event.retry_at),
            error=event.error,
        )

    def reloaded(self, version: str, changed: Names, took_ms: float, tasks_changed: Names = ()) -> None:
        self._put(
            "reloaded",
            version=version,
            changed=list(changed),
            took_ms=took_ms,
            tasks_changed=list(tasks_changed),
        )

    def load_failed(self, problems: Problems, has_previous: bool = True) -> None:
        self._put("load_failed", problems=list(problems), has_previous=has_previous)

    def log_line(self, line: protocol.LogLine) -> None:
        self._put("log", **line)

    def process_output(self, text: str) -> None:
        self._put("process_output", text=text)

    def notice(self, text: str) -> None:
        self._put("notice", text=text)

    def warning(self, text: str) -> None:
        self._put("warning", text=text)

    def error(self, text: str) -> None:
        self._put("error", text=text)

    def stopping(self, executing: int = 0) -> None:
        self._put("stopping", executing=executing)

    def stopped(self) -> None:
        self._put("stopped")

    def _put(self, type: str, at: int | None = None, **fields: Any) -> None:
        moment = int(time.time() * 1000) if at is None else at
        self._lines.append(json_text({"type": type, "at": _durations.iso(moment), **fields}))


def make_output(as_json: bool = False, plain: bool = False, stream: TextIO | None = None) -> DevOutput:
    """Choose the output for a stream (stdout): JSON lines, plain lines, or colours on a terminal."""
    target = stream or sys.stdout
    if as_json:
        return JsonOutput(target)
    return PlainOutput(target, use_colour(target, plain))


def task_row(task: protocol.TaskInfo) -> tuple[str, str, str, str]:
    """Return a task's cells for a table: id, kind, queue or schedule, file:line."""
    schedule, queue = task.get("schedule"), task.get("queue") or {}
    name, limit = queue.get("name") or "-", queue.get("concurrency_limit")
    what = "-" if name == f"task/{task['id']}" else name
    what += f" (at most {limit})" if limit is not None else ""
    if schedule:
        what = f"{schedule['cron']} ({schedule['timezone']})"
    elif task.get("scheduled"):
        what = "by schedules that calls make"
    place = f"{task.get('file', '')}:{task.get('line', '')}".rstrip(":")
    return clean(task["id"]), task.get("kind", ""), clean(what), clean(place)


def sample_payload(schema: Any) -> Any:
    """Make a small value of a JSON schema's shape, for a person to edit; {} where it says nothing."""
    if not isinstance(schema, dict):
        return {}
    if fields := schema.get("properties"):
        return {name: sample_payload(fields.get(name)) for name in schema.get("required") or []}
    return _SAMPLES.get(schema.get("type", ""), {})


def _next_steps(url: str, key_file: str, tasks: Tasks) -> list[str]:
    steps = [] if tasks else ["  no tasks yet: put a function with @task into a file of the task folder"]
    first = next((task for task in tasks if not (task.get("scheduled") or task.get("schedule"))), None)
    if first:
        payload = sample_payload(first.get("payload_schema"))
        flag = f"--payload {shlex.quote(json_text(payload))}"
        body, path = (
            shlex.quote(json_text({"payload": payload})),
            f"/api/v1/tasks/{quote(first['id'], '', errors='replace')}",
        )
        steps += [
            f"  run a task   trigger run {shlex.quote(first['id'])} {flag} --wait",
            f"  or by HTTP   curl {shlex.quote(url + path + '/trigger')} --json {body} \\",
            '                 -H "Authorization: Bearer $TRIGGER_SECRET_KEY"',
        ]
    load = f"set -a; . {shlex.quote(key_file)}"
    return [*steps, f"  URL and key  {key_file} (in a shell: {load})", f"  API docs     {url}/docs"]


def _outcome(event: "RunEvent") -> tuple[str, str]:
    if event.kind == "retrying":
        if event.retry_at is None:
            return "failed, will retry", "yellow"
        return f"failed, retry in {_durations.format_ms(max(0, event.retry_at - event.at))}", "yellow"
    if event.kind == "finished":
        word = event.status.public_name.lower().replace("_", " ")
        return word, _TONES.get(word, "dim")
    if event.kind == "queued" and event.status == "DELAYED":
        return "delayed", "dim"
    return event.kind, _TONES.get(event.kind, "dim")


def _some(names: Names, limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(clean(name) for name in names[:limit]) + more


def _split(text: str) -> list[str]:
    return clean_lines(text.rstrip("\n"), limit=200)
