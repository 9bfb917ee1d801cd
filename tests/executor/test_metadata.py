"""Metadata of a run: what its own copy shows, when changes are sent, what becomes of too large ones."""

import threading
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, SyncEngine, output_of
from triggerdev import PayloadError, metadata, task, wait
from triggerdev.protocol import Message
from triggerdev.sdk.registry import Registry
from triggerdev.worker.executor.metadata import Changes

HALF = "x" * 131_070


def operations(messages: list[Message]) -> list[dict[str, Any]]:
    """The changes of the run's own metadata that were sent."""
    return [change for message in messages for change in message["args"].get("operations", ())]


async def test_the_copy_shows_each_change_and_what_it_gives_is_the_callers(registry: Registry) -> None:
    @task
    async def shape() -> Any:
        metadata.set("a", {"n": 0}).increment("$.a.n").append("$.a.list", 1).decrement("$.a.n", 3)
        metadata.set("$.a.list[0]", {"x": None})
        metadata.current()["a"]["n"] = 99
        metadata.get("a")["n"] = 99
        shown = [metadata.get("$.a.n"), metadata.get("$.a.list[0].x", 1), metadata.get("$.a.list[1]", "none")]
        metadata.remove("$.a.list", {"x": None}).remove("missing", 1).delete("$.a.n")
        return [shown, metadata.current()]

    engine = AsyncEngine(registry)
    shown, all_of_it = output_of(await engine.run("shape", metadata={"old": True}))
    assert shown == [-2, None, "none"]
    assert all_of_it == {"old": True, "a": {"list": []}}
    first, second = operations(engine.sent("op"))[:2]
    assert (first["value"], second["value"]) == ({"n": 0}, 1)  # not what later changes have made of it


async def test_a_replaced_object_begins_anew(registry: Registry) -> None:
    @task
    async def shape() -> Any:
        metadata.set("a", 1).replace({"b": 2}).set("c", 3)
        return metadata.current()

    assert output_of(await AsyncEngine(registry).run("shape", metadata={"old": 1})) == {"b": 2, "c": 3}


def test_a_plain_function_that_does_no_operation_is_seen_all_the_same(registry: Registry) -> None:
    seen = threading.Event()
    engine = SyncEngine(registry)
    engine.executor.flush_seconds = 0.01

    @task
    def plain() -> int:
        metadata.set("progress", 1).set("status", "starting")
        assert seen.wait(10)
        seen.clear()
        metadata.set("progress", 2)
        assert seen.wait(10)
        metadata.set("progress", 3)
        return 7

    send = engine.send

    def heard(message: Message) -> None:
        send(message)
        if message["t"] == "op":
            seen.set()

    engine.send = heard  # type: ignore[method-assign]  # to hear of it
    assert output_of(engine_run(engine, registry)) == 7
    first, second, last = engine.sent("op")
    assert [change["key"] for change in operations([first])] == ["progress", "status"]
    assert [change["value"] for change in operations([second, last])] == [2, 3]
    assert [message["op"] for message in (first, second, last)] == ["0:m2", "0:m3", "0:m4"]


def engine_run(engine: SyncEngine, registry: Registry) -> Message:
    """Run the one task that is registered, which was not when the engine was made."""
    engine.executor.project.tasks.update(registry.tasks)
    return engine.run("plain")


@pytest.mark.parametrize("changes", [1, 50])
def test_a_plain_functions_changes_come_once_and_in_order_whoever_sends_them(
    registry: Registry, changes: int
) -> None:
    @task
    def plain() -> None:
        for round_ in range(20):
            for n in range(changes):
                metadata.append("log", round_ * changes + n)
            wait.sync.for_(seconds=1)

    engine = SyncEngine(registry)
    engine.executor.flush_seconds = 0.000_1
    engine.run("plain")
    assert engine.metadata["log"] == list(range(20 * changes))


async def test_metadata_that_would_be_too_large_is_refused_at_the_call(registry: Registry) -> None:
    @task
    async def shape() -> Any:
        metadata.set("first", HALF).set("n", 0)
        with pytest.raises(PayloadError, match=r"metadata 'second': .* would be 262,\d\d\d bytes .* 262,144"):
            metadata.set("second", HALF)
        with pytest.raises(PayloadError, match="metadata 'list'"):
            metadata.set("list", []).append("list", HALF)
        with pytest.raises(PayloadError, match="metadata 'replace'"):
            metadata.replace({"a": HALF, "b": HALF})
        metadata.increment("n").remove("list", 5).delete("first").set("second", HALF).set("first", 1)
        return sorted(metadata.current().items(), key=str)

    engine = AsyncEngine(registry)
    shown = output_of(await engine.run("shape"))
    assert shown == [["first", 1], ["list", []], ["n", 1], ["second", HALF]]
    assert [change["key"] for change in operations(engine.sent("op"))] == [
        *("first", "n", "list", "list", "first", "second", "first")
    ]


async def test_a_change_that_was_refused_is_refused_in_a_replay_as_well(registry: Registry) -> None:
    refused: list[bool] = []

    @task
    async def shape() -> Any:
        metadata.set("first", HALF)
        try:
            metadata.set("second", HALF)
        except PayloadError:
            refused.append(True)
        metadata.increment("n")
        await wait.for_(seconds=1)
        metadata.increment("n")
        await wait.for_(seconds=1)
        return [metadata.get("n"), metadata.get("second")]

    engine = AsyncEngine(registry)
    expected = output_of(await engine.run("shape"))
    assert expected == [2, None]
    for count in range(1, len(engine.record) + 1):
        record = engine.record[:count]
        again = AsyncEngine(registry)
        states = [op["result"]["metadata"] for op in record if op["kind"] == "metadata"]
        again.metadata = dict(states[-1]) if states else {}
        assert output_of(await again.run("shape", record=record, metadata=again.metadata)) == expected
        assert again.metadata["n"] == 2
    assert len(refused) == 1 + len(engine.record)


def test_changes_of_one_name_in_a_row_are_one() -> None:
    changes = Changes()
    for n in range(1000):
        for change in (
            {"type": "set", "key": "progress", "value": n},
            {"type": "increment", "key": "count", "value": 1},
            {"type": "append", "key": "log", "value": n},
        ):
            changes.add("0", n, "run", change)
    ((op_id, args),) = changes.take()
    assert op_id == "0:m999"
    sent = args["operations"]
    assert [change for change in sent if change["type"] != "append"] == [
        {"type": "set", "key": "progress", "value": 999},
        {"type": "increment", "key": "count", "value": 1000},
    ]
    assert [change["value"] for change in sent if change["type"] == "append"] == list(range(1000))


@pytest.mark.parametrize(
    "given",
    [
        [("set", "a", [1]), ("append", "a", 2), ("set", "a", [3])],
        [("set", "a", {}), ("set", "$.a.b", 1), ("set", "a", {}), ("set", "$.a.c", 2)],
        [("increment", "a", 0.1), ("increment", "a", 0.2), ("increment", "a", 1)],
        [("set", "a", True), ("increment", "a", 1)],
        [("set", "a", 1), ("delete", "a", None), ("increment", "a", 1)],
        [("set", "a", 1), ("update", None, {"b": 1}), ("increment", "a", 1), ("set", "b", 2)],
        [
            ("increment", "a", 1),
            ("set", "b", 1),
            ("increment", "a", 2),
            ("set", "a", 5),
            ("increment", "a", 1),
        ],
    ],
)
def test_fewer_changes_do_the_same(given: list[tuple[str, str | None, Any]]) -> None:
    from triggerdev.engine import metadata as stored

    made = [{"type": kind, "key": key, "value": value} for kind, key, value in given]
    every = [change if change["key"] else {"type": "update", "value": change["value"]} for change in made]
    changes = Changes()
    for number, change in enumerate(every):
        changes.add("0", number, "run", change)
    ((_, args),) = changes.take()
    assert stored.apply({"a": 1, "z": 0}, args["operations"]) == stored.apply({"a": 1, "z": 0}, every)
