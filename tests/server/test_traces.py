"""Traces, spans and events of runs, as the official client reads them."""

import sys
from typing import Any

import httpx

from tests.server import ask
from tests.server.toy_worker import ToyWorker
from triggerdev import _traces
from triggerdev.engine.engine import Engine
from triggerdev.server.traces import MAX_DEPTH

NS = 10**6


async def tree(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    answer = await client.get(f"/api/v1/runs/{run_id}/trace")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["trace"]
    return found


def outline(span: dict[str, Any]) -> Any:
    """The names of a span and those below it."""
    below = [outline(child) for child in span["children"]]
    name = span["data"]["message"]
    return (name, below) if below else name


def a_span(name: str, parent: str, start: int, **fields: Any) -> dict[str, Any]:
    return {"id": name, "parent": parent, "name": name, "kind": "user", "start": start, **fields}


async def executing(client: httpx.AsyncClient, worker: ToyWorker) -> str:
    run_id = await ask.trigger(client, "held")
    await worker.executing(run_id)
    return run_id


async def test_the_trace_of_a_run_is_a_tree_below_its_own_span(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run_id = await executing(client, worker)
    attempt = _traces.attempt_span(run_id, 1)
    start = worker.started[run_id]["attempt_started_at"] * NS
    worker.tell(
        run_id,
        a_span("outer", attempt, start + 1, end=start + 9 * NS, attributes={"n": 1}),
        a_span("inner", "outer", start + 2, end=start + 3, error="ValueError: no"),
        a_span("orphan", "gone", start + 3),
    )
    partial = await tree(client, run_id)
    assert partial["rootSpan"]["data"]["isPartial"]
    worker.finish(run_id)
    await ask.finished(client, run_id)
    trace = await tree(client, run_id)
    assert trace["traceId"] == _traces.trace_of(run_id, None)
    assert not trace["isTruncated"]
    root = trace["rootSpan"]
    assert outline(root) == ("held", [("Attempt 1", [("outer", ["inner"]), "orphan"])])
    data = root["data"]
    assert (data["isError"], data["isPartial"], data["isCancelled"]) == (False, False, False)
    assert (data["taskSlug"], data["queueName"], data["workerVersion"]) == ("held", "task/held", "20261123.1")
    outer = root["children"][0]["children"][0]
    assert (outer["parentId"], outer["runId"]) == (attempt, run_id)
    assert outer["data"]["duration"] == 9 * NS - 1
    assert outer["data"]["properties"] == {"n": 1}
    inner = outer["children"][0]["data"]
    assert inner["isError"]
    assert inner["events"][0]["properties"] == {"exception": {"type": "ValueError", "message": "no"}}
    orphan = root["children"][0]["children"][1]["data"]
    assert (orphan["isPartial"], orphan["isError"]) == (False, False)


async def test_what_has_not_ended_takes_the_outcome_of_its_run(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    ends: dict[str, dict[str, Any]] = {}
    for outcome in ("failed", "cancelled"):
        run_id = await executing(client, worker)
        worker.tell(run_id, a_span("open", _traces.attempt_span(run_id, 1), 5))
        if outcome == "cancelled":
            await client.post(f"/api/v2/runs/{run_id}/cancel")
        else:
            error = {"type": "BUILT_IN_ERROR", "name": "ValueError", "message": "boom"}
            worker.finish(run_id, outcome="failed", error=error, skip_retry=True)
        await ask.finished(client, run_id)
        root = (await tree(client, run_id))["rootSpan"]
        ends[outcome] = {"run": root["data"], "open": root["children"][0]["children"][0]["data"]}
    for shown in ends["failed"].values():
        assert (shown["isError"], shown["isCancelled"], shown["isPartial"]) == (True, False, False)
    for shown in ends["cancelled"].values():
        assert (shown["isError"], shown["isCancelled"], shown["isPartial"]) == (False, True, False)


async def test_children_stand_below_the_span_that_triggered_them(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run_id = await executing(client, worker)
    place = "1" * 16
    worker.tell(run_id, a_span(place, _traces.attempt_span(run_id, 1), 5, end=6))
    caller = _traces.write(_traces.trace_of(run_id, None), place)
    child = await worker.trigger(run_id, "child-task", {"data": "boom"}, caller)
    await ask.finished(client, child)
    worker.finish(run_id)
    await ask.finished(client, run_id)
    whole = await tree(client, run_id)
    assert outline(whole["rootSpan"]) == (
        "held",
        [("Attempt 1", [(place, [("child-task", ["Attempt 1"])])])],
    )
    own = await tree(client, child)
    assert own["traceId"] == whole["traceId"]
    assert own["rootSpan"]["parentId"] == place
    assert own["rootSpan"]["data"]["isError"]
    detail = (await client.get(f"/api/v1/runs/{run_id}/spans/{place}")).json()
    assert [run["runId"] for run in detail["triggeredRuns"]] == [child]
    assert detail["triggeredRuns"][0]["status"] == "FAILED"


async def test_one_span_is_shown_with_its_details(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await executing(client, worker)
    events = [{"name": "asked", "at": 7 * NS, "attributes": {"tries": 2}}]
    span = a_span("s1", "p", 5 * NS, end=8 * NS, attributes={"n": 1}, events=events)
    worker.tell(run_id, span)
    worker.finish(run_id)
    await ask.finished(client, run_id)
    shown = (await client.get(f"/api/v1/runs/{run_id}/spans/s1")).json()
    assert shown == {
        "spanId": "s1",
        "parentId": "p",
        "runId": run_id,
        "message": "s1",
        "isError": False,
        "isPartial": False,
        "isCancelled": False,
        "level": "TRACE",
        "startTime": "1970-01-01T00:00:00.005Z",
        "durationMs": 3,
        "entityType": "user",
        "properties": {"n": 1},
        "events": [{"name": "asked", "time": "1970-01-01T00:00:00.007Z", "properties": {"tries": 2}}],
    }
    root = (await client.get(f"/api/v1/runs/{run_id}/spans/{_traces.run_span(run_id)}")).json()
    assert (root["message"], root["parentId"]) == ("held", None)
    missing = await client.get(f"/api/v1/runs/{run_id}/spans/nothing")
    assert (missing.status_code, missing.json()) == (404, {"error": "Span not found"})


async def test_traces_of_root_runs_come_in_pages(client: httpx.AsyncClient, worker: ToyWorker) -> None:
    run_id = await executing(client, worker)
    start = worker.started[run_id]["attempt_started_at"] * NS
    attempt = _traces.attempt_span(run_id, 1)
    worker.tell(run_id, *(a_span(f"s{n}", attempt, start + n, end=start + 9) for n in range(3)))
    worker.finish(run_id)
    await ask.finished(client, run_id)
    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        path = f"/api/v1/runs/{run_id}/trace"
        page = (await client.get(path, params={"page[size]": "2", **after})).json()
        seen += [span["message"] for span in page["data"]]
        assert page["attemptFailures"] == []
        if "next" not in page["pagination"]:
            break
        after = {"page[after]": page["pagination"]["next"]}
    assert sorted(seen) == ["Attempt 1", "held", "s0", "s1", "s2"]
    wrong = await client.get(path, params={"page[after]": "-1"})
    assert wrong.status_code == 400
    assert "page[after]" in wrong.text
    assert (await client.get(path, params={"page[size]": "0"})).status_code == 400


async def test_a_trace_that_is_deep_or_goes_in_circles_can_be_shown(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run_id = await executing(client, worker)
    deep = [a_span(f"d{n}", f"d{n - 1}" if n else "attempt", n) for n in range(3 * sys.getrecursionlimit())]
    worker.tell(run_id, *deep, a_span("x", "y", 1), a_span("y", "x", 2))
    worker.finish(run_id)
    await ask.finished(client, run_id)
    root = (await tree(client, run_id))["rootSpan"]
    names, todo = [], [(root, 1)]
    while todo:
        span, depth = todo.pop()
        assert depth <= MAX_DEPTH + 1
        names.append(span["data"]["message"])
        todo += [(child, depth + 1) for child in span["children"]]
    assert len(names) == len(deep) + 4
    assert {"x", "y", "d0", f"d{len(deep) - 1}"} <= set(names)


async def test_events_are_spans_and_lines_in_the_order_of_time(
    client: httpx.AsyncClient, worker: ToyWorker
) -> None:
    run_id = await executing(client, worker)
    worker.tell(run_id, a_span("part", _traces.attempt_span(run_id, 1), 5 * NS, end=9 * NS))
    line = {"run": run_id, "attempt": 1, "at": 7, "stream": "log", "level": "warn", "message": "low"}
    worker.say({"t": "logs", "lines": [{**line, "span": "part", "data": {"left": 1}}]})
    worker.finish(run_id)
    await ask.finished(client, run_id)
    events = (await client.get(f"/api/v1/runs/{run_id}/events")).json()["events"]
    assert [event["message"] for event in events[:2]] == ["part", "low"]
    assert {event["message"] for event in events[2:]} == {"held", "Attempt 1"}
    part, low = events[:2]
    assert (part["level"], part["startTime"], part["duration"]) == ("TRACE", str(5 * NS), 4 * NS)
    assert (low["level"], low["parentId"], low["isError"]) == ("WARN", "part", False)
    assert (low["seq"], low["properties"], low["startTime"]) == (1, {"left": 1}, str(7 * NS))


async def test_a_traceparent_is_continued_and_a_broken_one_passed_over(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    caller = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"traceparent": caller, "tracestate": "vendor=1"}
    path, body = "/api/v1/tasks/held/trigger", {"payload": 1}
    made = (await client.post(path, json=body, headers=headers)).json()["id"]
    found = (await engine.retrieve_run(made)).run
    assert (found.traceparent, found.tracestate) == (caller, "vendor=1")
    assert (await tree(client, made))["traceId"] == "a" * 32
    assert (await tree(client, made))["rootSpan"]["parentId"] == "b" * 16
    broken = (await client.post(path, json=body, headers={"traceparent": "00-what"})).json()["id"]
    assert (await tree(client, broken))["traceId"] == _traces.trace_of(broken, None)


async def test_batches_continue_the_trace_of_the_request(client: httpx.AsyncClient, engine: Engine) -> None:
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    batch = (await client.post("/api/v3/batches", json={"runCount": 1})).json()["id"]
    line = '{"index": 0, "task": "held", "payload": "1"}'
    await client.post(f"/api/v3/batches/{batch}/items", content=line, headers=headers)
    legacy = {"items": [{"task": "held", "payload": "1"}]}
    other = (await client.post("/api/v2/tasks/batch", json=legacy, headers=headers)).json()["id"]
    for each in (batch, other):
        (run_id,) = (await engine.retrieve_batch(each)).runs
        assert (await engine.retrieve_run(run_id)).run.traceparent == headers["traceparent"]


async def test_traces_need_a_key(anonymous: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    run_id = await ask.trigger(client, "held")
    for path in ("trace", "events", "spans/x"):
        assert (await anonymous.get(f"/api/v1/runs/{run_id}/{path}")).status_code == 401
        assert (await client.get(f"/api/v1/runs/run_nobody/{path}")).status_code == 404
