"""`[telemetry]`: what runs do is sent to a collector, with what instrumented libraries do in them."""

import asyncio
from pathlib import Path
from typing import Any

from tests.dev.collector import Collector, collecting
from tests.dev.kit import Api, start
from triggerdev import _traces

CALLER = f"00-{'a' * 32}-{'b' * 16}-01"
TASKS = """
import logging

import httpx
from opentelemetry import trace

from triggerdev import logger, task, wait


@task(id="child")
def child(payload: str) -> None:
    with logger.trace("in the child"):
        logger.warn("low", {"left": 1})


@task(id="parent")
async def parent(payload: str) -> None:
    async with logger.trace("fetching", {"n": 1}) as span:
        async with httpx.AsyncClient() as client:
            await client.get(payload)
        trace.get_current_span().set_attribute("by", "opentelemetry")
    with trace.get_tracer("mine").start_as_current_span("own"):
        with logger.trace("inside"):
            pass
    await child.trigger_and_wait(payload)
    logging.getLogger("app").error("record %d", 7, extra={"user": "Ada"})
    with logger.trace("failing"):
        raise ValueError("boom")
"""


def project(folder: Path, config: str) -> Path:
    (folder / "trigger").mkdir()
    (folder / "trigger" / "tasks.py").write_text(TASKS)
    retries = "[retries]\nenabled_in_dev = false\n"
    (folder / "trigger.config.toml").write_text(f'project = "p"\n{retries}{config}')
    return folder


async def result(api: Api, payload: str) -> Any:
    headers = {"traceparent": CALLER}
    made = await api.http.post("/api/v1/tasks/parent/trigger", json={"payload": payload}, headers=headers)
    return await api.result(made.json()["id"])


def outline(span: dict[str, Any]) -> Any:
    below = [outline(each) for each in span["children"]]
    return (span["data"]["message"], below) if below else span["data"]["message"]


async def test_runs_are_exported_with_what_libraries_do_in_them(tmp_path: Path) -> None:
    config = """
[telemetry]
instrumentations = ["opentelemetry.instrumentation.httpx:HTTPXClientInstrumentor"]
resource = { "service.name" = "billing" }
[telemetry.otlp]
endpoint = "${COLLECTOR}"
headers = { authorization = "Bearer ${TOKEN}" }
"""
    with collecting() as collector:
        env = {"COLLECTOR": collector.url, "TOKEN": "secret-7"}
        async with start(project(tmp_path, config), env=env) as dev:
            api = dev.api()
            run = await result(api, f"{collector.url}/page")
            assert run["error"]["message"] == "boom"
            wanted = {"parent", "failing", "child", "in the child"}
            await asyncio.to_thread(collector.until, lambda it: wanted <= it.names() and len(it.lines) >= 2)
            trace = (await api.call("GET", f"/api/v1/runs/{run['id']}/trace"))["trace"]
            lines = "".join(str(line) for line in dev.lines) + dev.errors
        check_exported(collector, run)
        check_stored(trace)
        assert "secret-7" not in lines


def check_exported(collector: Collector, run: Any) -> None:
    find = collector.find
    assert {span.trace for span in collector.spans} == {"a" * 32}
    assert len({span.id for span in collector.spans}) == len(collector.spans)
    parent, waiting = find("parent"), find("trigger_and_wait child")
    assert (parent.id, parent.parent) == (_traces.attempt_span(run["id"], 1), "b" * 16)
    assert parent.attributes["trigger.run.id"] == run["id"]
    assert parent.error == "ValueError: boom"
    assert (find("GET").parent, find("fetching").parent) == (find("fetching").id, parent.id)
    assert find("fetching").attributes == {"n": 1, "by": "opentelemetry"}
    assert (find("own").parent, find("inside").parent) == (parent.id, find("own").id)
    assert (find("child").parent, find("in the child").parent) == (waiting.id, find("child").id)
    assert find("failing").error == "ValueError: boom"
    assert {span.resource["service.name"] for span in collector.spans} == {"billing"}
    (page,) = collector.fetched
    assert page["traceparent"] == _traces.write("a" * 32, find("GET").id)
    assert {headers["authorization"] for headers in collector.headers} == {"Bearer secret-7"}
    assert set(collector.lines) == {
        ("low", "WARN", find("in the child").id),
        ("record 7", "ERROR", parent.id),
    }


def check_stored(trace: Any) -> None:
    assert trace["traceId"] == "a" * 32
    (attempt,) = trace["rootSpan"]["children"]
    assert [outline(span) for span in attempt["children"]] == [
        ("fetching", ["GET"]),
        ("own", ["inside"]),
        ("trigger_and_wait child", [("child", [("Attempt 1", ["in the child"])])]),
        "failing",
    ]
    fetching = attempt["children"][0]["data"]
    assert (fetching["properties"], fetching["entityType"]) == ({"n": 1, "by": "opentelemetry"}, "user")
    assert attempt["children"][3]["data"]["isError"]


async def test_an_exporter_that_cannot_be_made_is_told_and_left_out(tmp_path: Path) -> None:
    config = """
[telemetry]
exporters = [{ use = "opentelemetry.sdk.trace.export:ConsoleSpanExporter", options = { colour = 1 } }]
"""
    async with start(project(tmp_path, config)) as dev:
        api = dev.api()
        run = await result(api, "http://127.0.0.1:9/")
        assert run["status"] == "FAILED"
        told = await dev.line("process_output", lambda line: "is left out" in line["text"])
    assert told["text"].startswith(
        "telemetry.exporters = 'opentelemetry.sdk.trace.export:ConsoleSpanExporter'"
    )
    assert "colour" in told["text"]


async def test_what_cannot_be_imported_is_a_problem_of_the_project(tmp_path: Path) -> None:
    config = '[telemetry]\ninstrumentations = ["no_such_package:Instrumentor"]\n'
    async with start(project(tmp_path, config), ready=False) as dev:
        (problem,) = (await dev.line("load_failed"))["problems"]
    setting = "telemetry.instrumentations = 'no_such_package:Instrumentor' cannot be used"
    assert setting in problem["message"]
    assert problem["file"] == "trigger.config.toml"
