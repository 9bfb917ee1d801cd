"""A server that stood still for longer than its lease: what it had goes on elsewhere, and it learns of it."""

import psycopg
import pytest

from tests.engine.kit import DAY, MINUTE, SECOND, EngineKit
from tests.postgres.conftest import LEASES
from tests.postgres.test_servers import without_room
from tests.store.backends import SCHEMA
from triggerdev import errors
from triggerdev.engine import sharing
from triggerdev.engine.commands import timers
from triggerdev.engine.leases import Leases
from triggerdev.engine.model import Status
from triggerdev.engine.sharing import Sharing
from triggerdev.engine.store import postgres_connection

Pair = tuple[EngineKit, EngineKit]
LEASE_MS = LEASES.length_ms


async def lose_lease(loser: EngineKit, taker: EngineKit) -> None:
    """Let time pass in which one server does nothing, and the other does what is its part."""
    loser.clock.advance(LEASE_MS - SECOND)
    await taker.engine.sweep()
    loser.clock.advance(2 * SECOND)
    await taker.engine.sweep()
    await taker.settled()


async def test_its_worker_is_told_and_gets_new_runs_afterwards(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    executing, parked = await first.start(), await first.start()
    await first.worker.wait_parked(parked, ms=MINUTE)
    await without_room(first)
    await lose_lease(first, second)
    assert first.query("SELECT id FROM workers") == [("wb",)]
    await first.engine.sweep()
    await first.settled()
    assert [message["t"] for message in first.worker.heard()] == ["lease_lost"]
    assert first.query("SELECT id FROM workers ORDER BY id") == [("wa",), ("wb",)]
    first.worker.room["async"] = 100
    first.engine.pump()
    for run in (executing, parked):  # by now, the wait is over too
        assert (await first.worker.started(run))["token"] > 1


async def test_it_gets_no_run_before_it_has_a_lease_again(pair: Pair) -> None:
    first, second = pair
    await without_room(*pair)
    await lose_lease(first, second)
    first.worker.room["async"] = 100
    run = await first.trigger()
    assert (await first.worker.started(run))["token"] == 1
    kinds = [message["t"] for message in first.worker.inbox]
    assert kinds == ["lease_lost"]  # before the start, which was taken above
    assert ("wa",) in first.query("SELECT id FROM workers")


async def test_nothing_that_it_still_says_is_accepted(pair: Pair) -> None:
    first, second = pair
    await without_room(second)
    runs = [await first.start() for _ in range(3)]
    await without_room(first)
    await lose_lease(first, second)
    old = dict(first.worker.tokens)
    second.worker.room["async"] = 100
    second.engine.pump()
    for run in runs:
        await second.worker.started(run)
    reply = await first.worker.op(runs[0], "0:0", "trigger", "child", options={})
    assert reply["error_kind"] == "stale"
    await first.worker.op(runs[0], "0:1", "metadata", operations=[{"type": "set", "key": "a", "value": 1}])
    await first.worker.op(runs[0], "0:2", "tags", tags=["old"])
    await first.worker.ok(runs[1], "old")
    await first.worker.park(runs[2])
    line = {"run": runs[0], "attempt": 1, "stream": "stdout", "message": "old"}
    await first.worker.say({"t": "logs", "lines": [line]})
    assert first.worker.tokens == old
    assert first.query("SELECT count(*) FROM logs") == [(0,)]
    assert first.query("SELECT count(*) FROM ops") == [(0,)]
    assert first.query("SELECT count(*) FROM runs") == [(3,)]
    for run in runs:
        found = await second.run(run)
        assert (found.status, found.metadata, found.tags) == (Status.EXECUTING, None, [])
        await second.worker.ok(run, "new")


async def test_what_is_taken_over_page_by_page_cannot_be_kept(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    await without_room(second)
    for _ in range(5):
        await first.start()
    await without_room(first)
    monkeypatch.setattr(timers, "_PAGE", 2)
    take_expired = timers.take_expired
    left: list[object] = []

    def taken(*args: object) -> bool:
        more = take_expired(*args)  # type: ignore[arg-type]  # passed on as they came
        left.extend(second.query("SELECT lease_until FROM workers WHERE id = 'wa'"))
        return more

    monkeypatch.setattr(timers, "take_expired", taken)
    await lose_lease(first, second)
    assert first.query("SELECT count(*) FROM runs WHERE status = 'EXECUTING'") == [(0,)]
    assert (timers.LOST,) in left


async def test_one_that_had_no_database_gives_the_others_time_to_show_that_they_live(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair
    await without_room(second)
    run = await first.start()
    first.clock.advance(LEASE_MS + SECOND)
    assert isinstance(second.engine._sharing, Sharing)
    second.engine._sharing._renewed_at -= LEASES.length
    await second.engine.sweep()
    assert await second.status(run) is Status.EXECUTING
    await first.engine.sweep()  # late, but nobody has taken anything
    await second.engine.sweep()
    assert await second.status(run) is Status.EXECUTING
    assert first.worker.heard() == []


async def test_a_transaction_that_stands_still_in_a_pipeline_is_ended_with_its_locks(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    first, second = pair
    await without_room(second)
    await first.start()
    await without_room(first)
    connection = psycopg.connect(postgres_url, application_name="triggerdev", autocommit=True)
    stands_still = connection.pgconn
    stands_still.enter_pipeline_mode()
    query = f"SELECT id FROM {SCHEMA}.workers WHERE id = 'wa' FOR KEY SHARE"
    for each in ("BEGIN", query):
        stands_still.send_query_params(each.encode(), None)
    stands_still.send_flush_request()
    stands_still.flush()
    for _ in ("BEGIN", None, query):
        stands_still.get_result()
    first.clock.advance(LEASE_MS + SECOND)
    await second.engine.sweep()
    assert ("wa",) in first.query("SELECT id FROM workers")
    monkeypatch.setattr(sharing, "STALLED_SECONDS", 0.0)
    while ("wa",) in first.query("SELECT id FROM workers"):
        await second.engine.sweep()
    connection.close()


def test_a_heartbeat_is_at_most_a_third_of_the_lease() -> None:
    assert Leases(0.9, 0.3).length_ms == 900
    with pytest.raises(errors.UsageError, match="at most 10 s, not 11 s"):
        Leases(30, 11)


@pytest.mark.parametrize("jump", [365 * DAY, -365 * DAY])
async def test_no_lease_ends_because_the_database_s_clock_was_set(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    first, second = pair
    await without_room(second)
    run = await first.start()
    await without_room(first)
    first.clock.advance(jump)
    monkeypatch.setattr(second.store, "clock_was_set", lambda within: within == LEASES.length)
    await second.engine.sweep()
    assert (await first.run(run)).worker == "wa"
    monkeypatch.undo()
    first.clock.advance(LEASE_MS + SECOND)
    await second.engine.sweep()
    assert (await first.run(run)).status is Status.PENDING


def test_a_jump_of_the_database_s_clock_is_seen() -> None:
    clock, ahead = postgres_connection.DatabaseClock(), 5e9

    class Connection:
        def execute(self, _query: str) -> "Connection":
            return self

        def fetchone(self) -> tuple[float]:
            return (postgres_connection.steady() * 1000 + ahead,)

    clock.measure(Connection(), "")  # type: ignore[arg-type]  # of a connection, only this is used
    ahead += 300
    clock.measure(Connection(), "")  # type: ignore[arg-type]  # of a connection, only this is used
    assert not clock.was_set(60)
    ahead += 3_600_000
    clock.measure(Connection(), "")  # type: ignore[arg-type]  # of a connection, only this is used
    assert clock.was_set(60)
    assert not clock.was_set(0)
