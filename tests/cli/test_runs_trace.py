"""`trigger runs trace`: a tree with durations, errors and child runs, whatever tasks may have said."""

from typing import Any

from tests.cli.support import RunCli, StubServer

RUN = "run_1"
TRACE = f"GET /api/v1/runs/{RUN}/trace"


def span(name: str, *children: Any, kind: str = "user", ms: float = 5, run: str = RUN, **data: Any) -> Any:
    shown = {"message": name, "entityType": kind, "duration": ms * 10**6, **data}
    return {"id": name, "runId": run, "data": shown, "children": list(children)}


def failed(kind: str, message: str) -> dict[str, Any]:
    exception = {"type": kind, "message": message}
    return {"isError": True, "events": [{"name": "exception", "properties": {"exception": exception}}]}


def the_trace(root: Any, **fields: Any) -> dict[str, Any]:
    return {"trace": {"traceId": "a" * 32, "rootSpan": root, "isTruncated": False, **fields}}


def test_a_trace_is_a_tree_with_durations_errors_and_child_runs(server: StubServer, cli: RunCli) -> None:
    child = span("child", span("Attempt 1", span("work"), kind="attempt"), kind="run", run="run_2", ms=900)
    wait = span("trigger_and_wait child", child, kind="wait", ms=61_000)
    fetch = span("fetch", span("inner", ms=0.25), properties={"user": 7}, **failed("ValueError", "no"))
    attempt = span("Attempt 1", fetch, wait, kind="attempt", ms=62_000)
    server.answer(TRACE, the_trace(span("parent", attempt, kind="run", ms=63_000, isPartial=True)))
    assert cli("runs", "trace", RUN).out.splitlines() == [
        "parent (run_1)                1m03s  ...",
        "|- fetch                      5.0ms  error: ValueError: no  user=7",
        "|  `- inner                   0.2ms",
        "`- trigger_and_wait child     1m01s",
        "   `- child (run_2)           900ms",
        "      `- work                 5.0ms",
    ]


def test_several_attempts_are_shown(server: StubServer, cli: RunCli) -> None:
    first = span("Attempt 1", kind="attempt", **failed("", "boom"))
    second = span("Attempt 2", kind="attempt", isCancelled=True)
    server.answer(TRACE, the_trace(span("parent", first, second, kind="run", isCancelled=True)))
    assert cli("runs", "trace", RUN).out.splitlines() == [
        "parent (run_1)     5.0ms  cancelled",
        "|- Attempt 1       5.0ms  error: boom",
        "`- Attempt 2       5.0ms  cancelled",
    ]


def test_what_tasks_say_cannot_move_the_cursor(server: StubServer, cli: RunCli) -> None:
    bad = span("\x1b[2J\nname" + "x" * 500, properties={"a\r": "b\x07"}, **failed("E\x1b", "m\u202e"))
    server.answer(TRACE, the_trace(span("task\x1b[31m", bad, kind="run", run="run\x9b")))
    result = cli("runs", "trace", RUN)
    lines = result.out.splitlines()
    assert len(lines) == 2
    assert "task\\x1b[31m (run\\x9b)" in lines[0]
    assert lines[1].startswith("`- \\x1b[2J\\nnamexxx")
    assert "error: E\\x1b: m\\u202e  a\\r=b\\x07" in lines[1]
    assert result.out.isprintable() or set(result.out) & set("\x1b\x07\r\x9b\u202e") == set()


def test_json_is_the_trace_and_a_strange_server_is_survived(server: StubServer, cli: RunCli) -> None:
    trace = the_trace(span("parent", kind="run"))
    server.answer(TRACE, trace, {"trace": None}, {"trace": {"rootSpan": {"children": ["x"]}}})
    assert cli("runs", "trace", RUN, "--json").json == trace["trace"]
    assert cli("runs", "trace", RUN).out == ""
    assert cli("runs", "trace", RUN).out == "?     0.0ms\n"


def test_a_truncated_trace_says_so(server: StubServer, cli: RunCli) -> None:
    server.answer(TRACE, the_trace(span("parent", kind="run"), isTruncated=True))
    assert "There is more" in cli("runs", "trace", RUN).err
