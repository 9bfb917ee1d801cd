"""Tags, metadata, logs, replays: what hangs on a run."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.kit import START, EngineKit, Worker, task
from triggerdev import errors
from triggerdev.engine import metadata
from triggerdev.engine.model import Status

# -- tags


async def test_tags_are_added_once_and_limited_to_ten(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start("job", None, tags=["a", "b", "a", " "])
    assert (await kit.run(run)).tags == ["a", "b"]
    assert await kit.engine.add_tags(run, ["b", "c", ""]) == 1
    reply = await worker.op(run, "0:0", "tags", None, tags=[f"t{n}" for n in range(7)])
    assert len(reply["result"]["tags"]) == 10
    with pytest.raises(
        errors.InvalidOptionError, match="Runs can only have 10 tags, you're trying to set 12"
    ):
        await kit.engine.add_tags(run, ["x", "y"])
    reply = await worker.op(run, "0:1", "tags", None, tags=["x"])
    assert "Runs can only have 10 tags" in reply["error"]
    assert len((await kit.run(run)).tags) == 10


@pytest.mark.parametrize("tags", [["x" * 129], [1], {"a": 1}, 5, [f"t{n}" for n in range(11)]])
async def test_tags_that_cannot_be_are_refused(kit: EngineKit, tags: object) -> None:
    with pytest.raises(errors.InvalidOptionError, match="tags"):
        await kit.trigger("job", None, tags=tags)


async def test_a_change_shows_in_the_time_of_the_last_one(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    kit.clock.advance(5)
    await kit.engine.add_tags(run, ["x"])
    assert (await kit.run(run)).updated_at == START + 5


# -- metadata


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ({}, {"type": "set", "key": "a", "value": 1}, {"a": 1}),
        ({"a": 1}, {"type": "delete", "key": "a"}, {}),
        ({"a": 1}, {"type": "delete", "key": "b"}, {"a": 1}),
        ({}, {"type": "append", "key": "a", "value": 1}, {"a": [1]}),
        ({"a": [1]}, {"type": "append", "key": "a", "value": 2}, {"a": [1, 2]}),
        ({"a": 1}, {"type": "append", "key": "a", "value": 2}, {"a": [1, 2]}),
        ({"a": [1, 2, 1]}, {"type": "remove", "key": "a", "value": 1}, {"a": [2]}),
        ({}, {"type": "increment", "key": "a", "value": 2}, {"a": 2}),
        ({"a": 1.5}, {"type": "increment", "key": "a", "value": 2}, {"a": 3.5}),
        ({"a": 5}, {"type": "decrement", "key": "a", "value": 2}, {"a": 3}),
        ({"a": 1}, {"type": "update", "value": {"b": 2}}, {"b": 2}),
        ({}, {"type": "set", "key": "$.a.b[0].c", "value": 1}, {"a": {"b": [{"c": 1}]}}),
        ({"a": {"b": [1, 2]}}, {"type": "set", "key": "$.a.b[1]", "value": 9}, {"a": {"b": [1, 9]}}),
        ({"a": {"b": [1, 2]}}, {"type": "delete", "key": "$.a.b[0]"}, {"a": {"b": [2]}}),
        ({}, {"type": "set", "key": "a.b", "value": 1}, {"a.b": 1}),
    ],
)
def test_operations_on_metadata(before: Any, operation: Any, after: Any) -> None:
    kept = repr(before)
    assert metadata.apply(before, [operation]) == after
    assert repr(before) == kept


WRONG: list[dict[str, Any]] = [
    {"type": "fly", "key": "a"},
    {"type": "set", "value": 1},
    {"type": "set", "key": "$", "value": 1},
    {"type": "set", "key": "$.", "value": 1},
    {"type": "set", "key": "$.a..b", "value": 1},
    {"type": "set", "key": "$.a[x]", "value": 1},
    {"type": "set", "key": "__proto__", "value": 1},
    {"type": "set", "key": "$.a.constructor", "value": 1},
    {"type": "set", "key": "$" + ".a" * 101, "value": 1},
    {"type": "increment", "key": "a", "value": "1"},
    {"type": "increment", "key": "a", "value": True},
    {"type": "decrement", "key": "a", "value": "1"},
    {"type": "decrement", "key": "a"},
    {"type": "update", "value": [1]},
    {},
]


@pytest.mark.parametrize("operation", WRONG)
async def test_operations_that_make_no_sense_change_nothing(
    kit: EngineKit, worker: Worker, operation: dict[str, Any]
) -> None:
    run = await kit.start("job", None, metadata={"a": 1})
    good = {"type": "set", "key": "b", "value": 2}
    reply = await worker.op(run, "0:0", "metadata", None, operations=[good, operation])
    assert (reply["error_kind"], reply["error"][:9]) == ("InvalidOptionError", "metadata:")
    with pytest.raises(errors.InvalidOptionError):
        await kit.engine.update_metadata(run, {"operations": [good, operation]})
    assert (await kit.run(run)).metadata == {"a": 1}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
operations: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    type=st.sampled_from(["set", "delete", "append", "remove", "increment", "decrement", "update", "x"]),
    key=st.sampled_from(["a", "b", "$.a", "$.a.b", "$.a[0]", "$.a[99].b", "$.a[0].b.c", "$x", "$.é"])
    | st.text(max_size=8),
    value=json_values,
)


@given(before=st.dictionaries(st.sampled_from("ab"), json_values, max_size=2), what=st.lists(operations))
def test_any_operation_is_applied_or_refused(before: dict[str, Any], what: list[Any]) -> None:
    try:
        after = metadata.apply(before, what)
    except errors.InvalidOptionError:
        return
    assert isinstance(after, dict)


async def test_a_child_changes_its_parent_s_and_root_s_metadata(kit: EngineKit, worker: Worker) -> None:
    root = await kit.start()
    middle = (await worker.op(root, "0:0", "trigger", "child"))["result"]["id"]
    await worker.started(middle)
    leaf = (await worker.op(middle, "0:0", "trigger", "other"))["result"]["id"]
    await worker.started(leaf)
    add = {"type": "increment", "key": "n", "value": 1}
    for n in range(2):
        reply = await worker.op(
            leaf, f"0:{n}", "metadata", None, operations=[add], parent_operations=[add], root_operations=[add]
        )
    assert reply["result"]["metadata"] == {"n": 2}
    for run in (root, middle, leaf):
        assert (await kit.run(run)).metadata == {"n": 2}
    await worker.op(root, "0:1", "metadata", None, parent_operations=[add], root_operations=[add])
    assert (await kit.run(root)).metadata == {"n": 4}  # without a parent it is its own


async def test_what_a_parent_refuses_does_not_concern_the_run_itself(kit: EngineKit, worker: Worker) -> None:
    root = await kit.start()
    child = (await worker.op(root, "0:0", "trigger", "child"))["result"]["id"]
    await worker.started(child)
    good, bad = {"type": "set", "key": "a", "value": 1}, {"type": "increment", "key": "a", "value": "x"}
    reply = await worker.op(child, "0:0", "metadata", None, operations=[good], parent_operations=[bad])
    assert "no number to add" in reply["error"]
    assert (await kit.run(child)).metadata == {"a": 1}
    assert (await kit.run(root)).metadata is None
    with pytest.raises(errors.InvalidOptionError):  # over HTTP it is all or nothing
        await kit.engine.update_metadata(child, {"metadata": {"b": 2}, "parentOperations": [bad]})
    assert (await kit.run(child)).metadata == {"a": 1}


def test_applying_operations_changes_neither_argument() -> None:
    before = {"b": [1]}
    operations: list[dict[str, Any]] = [
        {"type": "set", "key": "a", "value": {"n": 0}},
        {"type": "increment", "key": "$.a.n", "value": 1},
        {"type": "append", "key": "b", "value": 2},
    ]
    first = metadata.apply(before, operations)
    assert metadata.apply(before, operations) == first == {"a": {"n": 1}, "b": [1, 2]}


async def test_metadata_is_limited_to_256_kilobytes(kit: EngineKit, worker: Worker) -> None:
    large = {"a": "x" * 262_144}
    with pytest.raises(errors.InvalidOptionError, match="262144 are allowed"):
        await kit.trigger("job", None, metadata=large)
    run = await kit.start()
    with pytest.raises(errors.InvalidOptionError, match="262144 are allowed"):
        await kit.engine.update_metadata(run, {"metadata": large})
    assert await kit.engine.update_metadata(run, {"metadata": {"a": 1}}) == {"a": 1}
    deep: Any = {}
    for _ in range(500):
        deep = {"a": deep}
    for value in ("{", "[1]", 5, deep, {"a": "\ud800"}):
        with pytest.raises(errors.InvalidOptionError, match="metadata"):
            await kit.trigger("job", None, metadata=value)


# -- logs


async def test_logs_are_read_in_order_and_from_a_place_on(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    lines: list[dict[str, Any]] = [{"run": run, "attempt": 1, "message": f"line {n}"} for n in range(5)]
    lines[2].update(stream="log", level="warn", data={"k": [1]}, at=START + 9)
    await worker.say({"t": "logs", "lines": lines})
    entries = await kit.engine.read_logs(run)
    assert [entry.message for entry in entries] == [f"line {n}" for n in range(5)]
    assert (entries[2].stream, entries[2].level, entries[2].data, entries[2].at) == (
        "log",
        "warn",
        {"k": [1]},
        START + 9,
    )
    assert (entries[0].stream, entries[0].level, entries[0].at) == ("stdout", "info", START)
    rest = await kit.engine.read_logs(run, after_seq=entries[1].seq, limit=2)
    assert [entry.message for entry in rest] == ["line 2", "line 3"]
    assert await kit.engine.read_logs("run_other") == []


async def test_whoever_waits_for_logs_gets_the_next_ones(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    waiting = asyncio.create_task(kit.engine.wait_logs(run, after_seq=0, timeout=10))
    await worker.say({"t": "logs", "lines": [{"run": run, "message": "hello"}]})
    assert [entry.message for entry in await waiting] == ["hello"]
    assert len(await kit.engine.wait_logs(run, after_seq=0, timeout=10)) == 1
    assert await kit.engine.wait_logs(run, after_seq=99, timeout=0.001) == []


async def test_a_long_line_is_cut(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    await worker.say({"t": "logs", "lines": [{"run": run, "message": "x" * 100_000}]})
    assert len((await kit.engine.read_logs(run))[0].message) == 65_536


# -- replays


async def test_a_replay_is_a_new_run_like_the_old_one(kit: EngineKit, worker: Worker) -> None:
    old = await kit.start(
        "job", {"n": 1}, tags=["a"], metadata={"k": 1}, queue={"name": "q", "concurrencyLimit": 9},
        concurrencyKey="c", machine="micro",
        idempotencyKey="i", ttl="1m", maxAttempts=7, test=True,
    )  # fmt: skip
    await worker.ok(old, 5)
    result = await kit.engine.replay_run(old, {})
    assert result.id != old and not result.is_cached
    new = await kit.run(result.id)
    copied = ("task", "payload", "payload_type", "tags", "metadata", "queue", "concurrency_key", "machine",
              "max_attempts", "is_test")  # fmt: skip
    before = await kit.run(old)
    for name in copied:
        assert getattr(new, name) == getattr(before, name), name
    assert (new.idempotency_key, new.ttl_ms, new.parent_id, new.output) == (None, None, None, None)
    assert (await worker.started(new.id))["is_replay"] is True
    assert (await kit.run(old)).status is Status.COMPLETED


async def test_a_replay_may_differ(kit: EngineKit, worker: Worker) -> None:
    old = await kit.start("job", {"n": 1}, tags=["a"])
    result = await kit.engine.replay_run(old, {"payload": '{"n":2}', "tags": ["b"], "priority": 3})
    new = await kit.run(result.id)
    assert (new.payload, new.tags, new.priority) == ('{"n":2}', ["b"], 3)
    empty = await kit.run((await kit.engine.replay_run(old, {"payload": None})).id)
    assert empty.payload is None


async def test_a_replay_takes_the_task_s_present_max_duration(kit: EngineKit, worker: Worker) -> None:
    await kit.activate(task("job", max_duration=0.5))
    old = await kit.start()
    assert (await kit.run(old)).max_duration_ms == 500
    await kit.activate(task("job", max_duration=60))
    new = (await kit.engine.replay_run(old, {})).id
    assert (await kit.run(new)).max_duration_ms == 60_000


async def test_a_run_whose_task_is_gone_cannot_be_replayed(kit: EngineKit, worker: Worker) -> None:
    old = await kit.start()
    await kit.activate(task("jobs"))
    with pytest.raises(errors.UnknownTaskError) as caught:
        await kit.engine.replay_run(old, {})
    assert caught.value.nearest == "jobs"


@pytest.mark.parametrize(
    "options",
    [
        {"maxAttempts": 0}, {"maxAttempts": 1.5}, {"maxAttempts": 10**12}, {"maxDuration": 0.5},
        {"maxDuration": "long"}, {"maxDuration": 1e300}, {"machine": "huge"}, {"machine": {"preset": "x"}},
        {"ttl": "soon"}, {"ttl": -1}, {"ttl": 10**30}, {"ttl": "9" * 60 + "w"}, {"concurrencyKey": "x" * 129},
        {"concurrencyKey": ["a"]}, {"idempotencyKey": "k", "idempotencyKeyTTL": "9" * 60 + "w"},
    ],
)  # fmt: skip
async def test_options_that_cannot_be_are_refused_by_name(kit: EngineKit, options: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidOptionError, match=list(options)[-1]):
        await kit.trigger("job", None, **options)
    assert kit.query("SELECT count(*) FROM runs") == [(0,)]


async def test_a_refused_change_of_metadata_is_in_the_runs_log_once(kit: EngineKit, worker: Worker) -> None:
    run = await kit.start()
    bad = {"type": "set", "key": "a", "value": "x" * 262_144}
    for _ in range(2):
        assert (
            "262144 are allowed"
            in (await worker.op(run, "0:m1", "metadata", None, operations=[bad]))["error"]
        )
    (entry,) = await kit.engine.read_logs(run)
    assert (entry.stream, entry.level) == ("log", "error")
    assert entry.message.startswith("A change of metadata was refused. metadata: 262")
