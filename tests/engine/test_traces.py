"""Spans and traces: who may tell of a run, what is kept of attempts, which trace a run continues."""

from typing import Any

import pytest

from tests.engine.kit import BOOM, EngineKit, Worker, item
from triggerdev import _traces, errors
from triggerdev.engine.model import Span

CALLER = _traces.TraceContext(f"00-{'a' * 32}-{'b' * 16}-01", "vendor=1")
NS = 10**6


def a_span(name: str = "part", **fields: Any) -> dict[str, Any]:
    return {"id": name, "parent": "p", "name": name, "kind": "user", "start": 5, **fields}


async def spans(kit: EngineKit, run: str) -> list[Span]:
    return (await kit.engine.read_trace(run)).spans


async def test_spans_are_kept_under_the_token_of_the_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    stale = worker.message("spans", run, spans=[a_span("stale")]) | {"token": 0}
    own = worker.message("spans", run, spans=[a_span(), a_span("ended", end=9, error="ValueError: no")])
    await worker.say(stale, own)
    await worker.ok(run)
    await worker.say(worker.message("spans", run, spans=[a_span("late")]))
    assert [(span.id, span.attempt, span.ended_ns, span.error) for span in await spans(kit, run)] == [
        ("part", 1, None, None),
        ("ended", 1, 9, "ValueError: no"),
    ]


async def test_a_parked_run_still_tells_its_spans(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.wait_parked(run)
    await worker.say(worker.message("spans", run, spans=[a_span()]))
    assert [span.id for span in await spans(kit, run)] == ["part"]


async def test_spans_that_cannot_be_stored_do_not_stop_the_run(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    broken = worker.message("spans", run, spans=[{"id": "no name"}])
    await worker.say(broken, worker.message("spans", run, spans=[a_span("half \ud800 a pair")]))
    await worker.ok(run)
    assert (await kit.run(run)).status.public_name == "COMPLETED"
    assert [span.name for span in await spans(kit, run)] in ([], ["half \\ud800 a pair"])


async def test_each_attempt_that_is_followed_by_another_is_a_span(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, maxAttempts=2)
    begun = kit.clock.now()
    await kit.advance("2s")
    await worker.fail(run)
    await kit.advance("5s")
    await worker.started(run)
    await worker.fail(run)
    (span,) = await spans(kit, run)
    assert span.id == _traces.attempt_span(run, 1)
    assert (span.kind, span.attempt, span.parent) == ("attempt", 1, _traces.run_span(run))
    assert (span.started_ns, span.ended_ns) == (begun * NS, (begun + 2000) * NS)
    assert span.error == f"{BOOM['name']}: {BOOM['message']}"


async def test_a_run_continues_the_trace_of_its_caller_and_children_that_of_their_parent(
    kit: EngineKit, worker: Worker
) -> None:
    made = await kit.engine.trigger(item("job"), caller=CALLER)
    start = await worker.started(made.id)
    assert (start["traceparent"], start["tracestate"]) == (CALLER.traceparent, "vendor=1")
    own = _traces.write(CALLER.trace_id, "c" * 16)
    await worker.op(made.id, "0:0", "trigger", "child", options={}, traceparent=own)
    items = [{"task": "child", "options": {}}]
    await worker.op(made.id, "0:1", "batch_trigger", "child", items=items, traceparent=own)
    await worker.op(made.id, "0:2", "trigger_and_wait", "child", options={}, traceparent="nonsense")
    trace = await kit.engine.read_trace(made.id)
    assert [run.traceparent for run in trace.runs] == [CALLER.traceparent, own, own, None]
    assert [run.tracestate for run in trace.runs] == ["vendor=1", "vendor=1", "vendor=1", None]


async def test_batches_over_http_continue_the_trace_of_their_caller(kit: EngineKit, worker: Worker) -> None:
    batch = await kit.engine.create_batch(run_count=1)
    await kit.engine.add_batch_items(batch.id, [item("job", index=0)], caller=CALLER)
    (run,) = (await kit.batch(batch.id)).runs
    assert (await kit.run(run)).traceparent == CALLER.traceparent


async def test_a_replay_is_told_which_spans_are_open(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    told = [a_span("open", start=7), a_span("ended", end=8)]
    await worker.say(worker.message("spans", run, spans=told))
    await worker.lost(run)
    again = await worker.started(run)
    assert again["open_spans"] == {"open": 7}


async def test_a_trace_ends_at_a_number_of_spans(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.say(worker.message("spans", run, spans=[a_span(name) for name in "abc"]))
    cut = await kit.engine.read_trace(run, most=2)
    assert ([span.id for span in cut.spans], cut.is_cut) == (["a", "b"], True)
    assert not (await kit.engine.read_trace(run, most=3)).is_cut


async def test_the_trace_of_no_run_is_refused(kit: EngineKit) -> None:
    with pytest.raises(errors.NoSuchRunError, match="run_nobody"):
        await kit.engine.read_trace("run_nobody")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00-abc-def-01",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'g' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01" + "x" * 9,
    ],
)
def test_what_is_no_traceparent_is_passed_over(text: str | None) -> None:
    assert _traces.parse(text, "a=1") is None


def test_a_traceparent_is_read_as_the_w3c_says() -> None:
    found = _traces.parse(f" 00-{'A' * 32}-{'b' * 16}-00 ", "a=1,b=2")
    assert found is not None
    assert (found.trace_id, found.span_id, found.is_sampled) == ("a" * 32, "b" * 16, False)
    assert found.tracestate == "a=1,b=2"
    newer = _traces.parse(f"cc-{'a' * 32}-{'b' * 16}-01-what-else", "x" * 513)
    assert newer is not None
    assert (newer.traceparent, newer.tracestate) == (f"00-{'a' * 32}-{'b' * 16}-01", None)
