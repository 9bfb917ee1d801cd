"""What `trigger dev` prints: golden files for each kind of output, and texts that want to break out."""

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from triggerdev import _terminal
from triggerdev.dev import render
from triggerdev.engine.model import RunEvent, Status
from triggerdev.protocol import ErrorInfo, SourceProblem, TaskInfo

GOLDEN = Path(__file__).parent / "golden"
NOON = 1735732800000

TASKS: list[TaskInfo] = [
    {
        "id": "hello",
        "file": "trigger/hello.py",
        "line": 14,
        "kind": "async",
        "queue": {"name": "task/hello", "concurrency_limit": 3},
        "payload_schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        },
    },
    {
        "id": "morning",
        "file": "trigger/hello.py",
        "line": 20,
        "kind": "sync",
        "schedule": {"cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
    },
]

STACK = """Traceback (most recent call last):
  File "/home/ada/shop/.venv/lib/python3.12/site-packages/triggerdev/worker/running.py", line 88, in _call
    return await function(payload)
           ^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/ada/shop/trigger/hello.py", line 16, in hello
    return greet(payload)
           ^^^^^^^^^^^^^^
  File "/home/ada/shop/shared/greetings.py", line 4, in greet
    raise ValueError("no name")
ValueError: no name
"""

ERROR: ErrorInfo = {
    "type": "BUILT_IN_ERROR",
    "name": "ValueError",
    "message": "no name",
    "stackTrace": STACK,
    "causes": [{"name": "KeyError", "message": "'name'"}],
}

SYNTAX: SourceProblem = {
    "kind": "syntax",
    "message": "SyntaxError: '(' was never closed",
    "file": "trigger/hello.py",
    "line": 16,
    "source_line": "    return greet(payload",
    "traceback": (
        '  File "/home/ada/shop/trigger/hello.py", line 16\n'
        "    return greet(payload\n"
        "                ^\n"
        "SyntaxError: '(' was never closed\n"
    ),
}


def event(kind: str, status: Status, **more: Any) -> RunEvent:
    return RunEvent(kind, "run_1", "hello", more.pop("attempt", 1), status, NOON, **more)


def play(output: render.DevOutput) -> None:
    """Let an output say everything once."""
    interpreter = Path("/home/ada/shop/.venv/bin/python")
    output.starting("shop", "/home/ada/shop", interpreter, "SQLite in .trigger/engine.db")
    output.ready("http://127.0.0.1:3030", ".trigger/dev.env", TASKS, 321.4)
    output.run_event(event("queued", Status.PENDING, attempt=0))
    output.run_event(event("queued", Status.DELAYED, attempt=0))
    output.run_event(event("started", Status.EXECUTING))
    output.log_line({"run": "run_1", "attempt": 1, "at": NOON, "stream": "stdout", "message": "Greeting Ada"})
    output.log_line({"run": "run_1", "attempt": 1, "at": NOON, "stream": "stderr", "message": "oh"})
    output.log_line(
        {
            "run": "run_2",
            "attempt": 1,
            "at": NOON,
            "stream": "log",
            "level": "warn",
            "message": "low",
            "data": {"left": 1},
        }
    )
    output.run_event(event("waiting", Status.WAITING, duration_ms=3))
    output.run_event(event("resumed", Status.EXECUTING))
    output.run_event(event("retrying", Status.RETRYING, duration_ms=12, error=ERROR, retry_at=NOON + 1200))
    output.run_event(event("finished", Status.COMPLETED, attempt=2, duration_ms=3400))
    output.run_event(event("finished", Status.TIMED_OUT, attempt=2, duration_ms=300_000))
    output.run_event(event("finished", Status.CANCELED, attempt=2, duration_ms=7))
    output.reloaded("20250101.2", ["trigger/hello.py"], 84.2, ["+ goodbye", "- morning"])
    output.load_failed([SYNTAX])
    output.process_output("left over\n")
    output.notice("the engine was locked for a moment")
    output.warning("TRIGGER_SECRET_KEY is no dev key; it is ignored")
    output.error("cannot write .trigger/dev.env\nthe disk is full")
    output.stopping(2)
    output.stopped()
    output.flush()


@pytest.fixture(autouse=True)
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOON / 1000)
    monkeypatch.setattr(time, "localtime", time.gmtime)


def compare(name: str, found: str) -> None:
    """Compare with the golden file; UPDATE_GOLDEN=1 writes it anew."""
    file = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(found)
    assert found == file.read_text()


@pytest.mark.parametrize("name", ["plain", "colour", "json"])
def test_every_line_is_as_in_the_golden_file(name: str) -> None:
    stream = io.StringIO()
    outputs: dict[str, render.DevOutput] = {
        "plain": render.PlainOutput(stream),
        "colour": render.PlainOutput(stream, colour=True),
        "json": render.JsonOutput(stream),
    }
    play(outputs[name])
    compare(f"dev_{name}.txt", stream.getvalue())


def test_json_is_one_object_a_line_and_names_its_type() -> None:
    stream = io.StringIO()
    play(render.JsonOutput(stream))
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all({"type", "at"} <= entry.keys() for entry in objects)
    finished = [entry for entry in objects if entry.get("event") == "finished"]
    assert [entry["status"] for entry in finished] == ["COMPLETED", "TIMED_OUT", "CANCELED"]


def test_nothing_is_written_before_the_flush_and_then_at_once() -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    stream = Counting()
    output = render.PlainOutput(stream)
    for _ in range(1000):
        output.run_event(event("finished", Status.COMPLETED, duration_ms=1))
    assert stream.writes == 0
    output.flush()
    assert stream.writes == 1
    assert stream.getvalue().count("\n") == 1000


def test_a_terminal_that_is_gone_does_not_end_the_program() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    output = render.PlainOutput(Gone())
    output.notice("one")
    output.flush()
    output.notice("two")
    output.flush()


def test_only_a_bounded_number_of_runs_is_remembered() -> None:
    output = render.PlainOutput(io.StringIO())
    for number in range(50_000):
        output.run_event(RunEvent("started", f"run_{number}", "hello", 1, Status.EXECUTING, NOON))
    assert len(output._task_of) <= 20_000
    assert "run_49999" in output._task_of


# -- hostile texts ------------------------------------------------------------
HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n[bold red]x[/] \u202egnp.exe \x9b31m \u2028 \ud800 \U000e0041"


def test_clean_makes_everything_visible_that_a_terminal_would_obey() -> None:
    assert _terminal.clean(HOSTILE) == (
        "\\x1b]0;owned\\x07\\x1b[2J\\r\\n[bold red]x[/] \\u202egnp.exe \\x9b31m \\u2028 \\ud800 \\ue0041"
    )
    assert _terminal.clean("plain täxt 日本 👩‍🔧\t.") == "plain täxt 日本 👩‍🔧\t."


def test_no_text_of_a_task_reaches_the_terminal_as_a_command_or_a_line_of_its_own() -> None:
    stream = io.StringIO()
    output = render.PlainOutput(stream)
    output.starting(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    output.ready(HOSTILE, HOSTILE, [{"id": HOSTILE, "file": HOSTILE, "line": 1, "kind": "sync"}], 1)
    error: ErrorInfo = {
        "name": HOSTILE,
        "message": f"a\n12:00:00.000  forged{HOSTILE}",
        "stackTrace": HOSTILE,
    }
    output.run_event(RunEvent("finished", "run_1", HOSTILE, 1, Status.FAILED, NOON, 1, error))
    output.log_line(
        {"run": "run_1", "at": NOON, "stream": "stdout", "message": HOSTILE, "data": {HOSTILE: HOSTILE}}
    )
    output.reloaded(HOSTILE, [HOSTILE], 1, [HOSTILE])
    problem: SourceProblem = {
        "message": HOSTILE,
        "file": HOSTILE,
        "line": 1,
        "source_line": HOSTILE,
        "traceback": HOSTILE,
    }
    output.load_failed([problem])
    for say in (output.process_output, output.notice, output.warning, output.error):
        say(HOSTILE)
    output.flush()
    written = stream.getvalue()
    assert _terminal._UNSAFE.sub("", written.replace("\n", "")) == written.replace("\n", "")
    assert not any(line.startswith("12:00:00.000  forged") for line in written.splitlines())
    written.encode("utf-8")


def test_json_keeps_hostile_text_exactly_and_harmless() -> None:
    stream = io.StringIO()
    output = render.JsonOutput(stream)
    output.notice(HOSTILE)
    output.flush()
    (line,) = stream.getvalue().splitlines()
    assert json.loads(line)["text"] == HOSTILE
    assert _terminal.clean(line) == line


# -- parts --------------------------------------------------------------------
def test_user_frames_come_innermost_first_and_the_others_are_counted() -> None:
    frames, folded = _terminal.user_frames(STACK, "/home/ada/shop")
    assert frames == [
        ("shared/greetings.py:4 in greet", 'raise ValueError("no name")'),
        ("trigger/hello.py:16 in hello", "return greet(payload)"),
    ]
    assert folded == 1


def test_a_stack_of_the_worker_has_the_innermost_frame_first_already() -> None:
    stack = (
        'ValueError: x\n  File "trigger/a.py", line 4, in inner\n    raise ValueError\n'
        '  File "trigger/a.py", line 2, in outer\n    inner()\n  (3 frames of triggerdev)\n'
    )
    assert _terminal.user_frames(stack, "") == (
        [("trigger/a.py:4 in inner", "raise ValueError"), ("trigger/a.py:2 in outer", "inner()")],
        3,
    )


def test_frames_of_a_group_of_exceptions_are_found_too() -> None:
    head = "  + Exception Group Traceback (most recent call last):\n"
    stack = head + '  |   File "trigger/x.py", line 3, in f\n  |     g()\n'
    assert _terminal.user_frames(stack, "")[0] == [("trigger/x.py:3 in f", "g()")]


def test_an_error_without_a_stack_shows_its_location() -> None:
    error: ErrorInfo = {"name": "E", "message": "m", "location": "trigger/x.py:3", "sourceLine": "  boom()"}
    assert _terminal.error_lines(error) == [
        ("error", "E: m"),
        ("where", "at trigger/x.py:3"),
        ("source", "    boom()"),
    ]


def test_columns_fit_wide_characters() -> None:
    assert _terminal.table_lines([("日本", "x"), ("abcde", "y")]) == ["日本   x", "abcde  y"]


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (None, {}),
        ({"type": "string"}, ""),
        ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 0}),
        ({"type": "array"}, []),
    ],
)
def test_sample_payloads_have_the_schemas_shape(schema: Any, payload: Any) -> None:
    assert render.sample_payload(schema) == payload


@pytest.mark.parametrize(
    ("environ", "plain", "terminal", "colour"),
    [
        ({}, False, True, True),
        ({}, False, False, False),
        ({}, True, True, False),
        ({"NO_COLOR": "1"}, False, True, False),
        ({"TERM": "dumb"}, False, True, False),
        ({"FORCE_COLOR": "1"}, False, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    environ: dict[str, str], plain: bool, terminal: bool, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert _terminal.use_colour(Stream(), plain) is colour


def test_make_output_chooses() -> None:
    assert isinstance(render.make_output(as_json=True, stream=io.StringIO()), render.JsonOutput)
    assert isinstance(render.make_output(stream=io.StringIO()), render.PlainOutput)
