"""The database goes away: in the middle of a transaction, while a commit is under way, with everything."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
import pytest

from tests.engine.kit import EngineKit, item, manifest, task
from tests.postgres.busy import BusyWorker, Ledger
from tests.store.backends import PostgresBackend
from tests.store.postgres_server import Server
from triggerdev import errors
from triggerdev.engine.engine import Engine
from triggerdev.engine.store import postgres_connection
from triggerdev.engine.store.postgres import PostgresStore
from triggerdev.engine.store.postgres_tx import PostgresTx

Pair = tuple[EngineKit, EngineKit]
CRASHES, RUNS = 3, 900
_CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND application_name = 'triggerdev'
"""


def store_of(kit: EngineKit) -> PostgresStore:
    assert isinstance(kit.store, PostgresStore)
    return kit.store


async def test_a_commit_whose_answer_is_lost_is_not_repeated(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, _ = pair
    await kit.settled()
    send = store_of(kit)._send_commit
    lost: list[postgres_connection.Connection] = []

    def lose_the_answer(connection: postgres_connection.Connection) -> None:
        send(connection)
        if not lost:
            lost.append(connection)
            connection.close()
            raise psycopg.OperationalError("the connection was lost behind the commit")

    monkeypatch.setattr(store_of(kit), "_send_commit", lose_the_answer)
    made = await kit.engine.trigger(item("job"))
    assert len(lost) == 1
    assert kit.query("SELECT id FROM runs") == [(made.id,)]


async def test_a_commit_that_did_not_happen_is_repeated(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    kit, _ = pair
    await kit.settled()
    send = store_of(kit)._send_commit
    lost: list[postgres_connection.Connection] = []

    def lose_the_commit(connection: postgres_connection.Connection) -> None:
        if not lost:
            lost.append(connection)
            connection.close()
        send(connection)

    monkeypatch.setattr(store_of(kit), "_send_commit", lose_the_commit)
    made = await kit.engine.trigger(item("job"))
    assert len(lost) == 1
    assert kit.query("SELECT id FROM runs") == [(made.id,)]


async def test_a_cancelled_statement_is_repeated(pair: Pair, database: PostgresBackend) -> None:
    kit, _ = pair
    run = await kit.start()
    await kit.settled()
    with psycopg.connect(database.url) as holder, psycopg.connect(database.url, autocommit=True) as admin:
        holder.execute(f"LOCK TABLE {database.schema}.runs IN SHARE MODE".encode())  # as CREATE INDEX does
        ending = asyncio.create_task(kit.worker.ok(run, 42))
        for _ in range(2):
            while admin.execute(_CANCEL).fetchone() is None:
                await asyncio.sleep(0)
    await ending
    assert (await kit.run(run)).output == "42"


async def test_an_engine_that_does_not_know_of_its_commit_can_be_stopped(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, _ = pair
    await kit.settled()
    store, cut = store_of(kit), asyncio.Event()
    loop = asyncio.get_running_loop()

    def refuse() -> postgres_connection.Connection:
        loop.call_soon_threadsafe(cut.set)
        raise psycopg.OperationalError("nobody is there")

    def lose(connection: postgres_connection.Connection) -> None:
        monkeypatch.setattr(store._writer, "_connect", refuse)
        connection.close()
        raise psycopg.OperationalError("the connection was lost behind the commit")

    monkeypatch.setattr(store, "_send_commit", lose)
    call = asyncio.create_task(kit.engine.trigger(item("job")))
    await cut.wait()
    await kit.engine.stop()
    with pytest.raises(errors.StorageUnavailableError, match="nobody is there"):
        await call
    assert kit.query("SELECT count(*) FROM runs") == [(0,)]
    await kit.open()


async def test_who_waits_behind_a_commit_of_unknown_outcome_is_refused_after_a_while(
    database: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(database.url, schema=database.schema, patience=0.2)
    engine, cut = Engine(store), asyncio.Event()
    await engine.start()
    loop = asyncio.get_running_loop()

    def refuse() -> postgres_connection.Connection:
        loop.call_soon_threadsafe(cut.set)
        raise psycopg.OperationalError("nobody is there")

    def lose(connection: postgres_connection.Connection) -> None:
        monkeypatch.setattr(store._writer, "_connect", refuse)
        connection.close()
        raise psycopg.OperationalError("the connection was lost behind the commit")

    with monkeypatch.context() as broken:
        broken.setattr(store, "_send_commit", lose)
        first = asyncio.create_task(engine.tokens.create())
        await cut.wait()
    with pytest.raises(errors.StorageUnavailableError, match="does not answer"):
        await engine.tokens.create()
    assert not first.done()
    monkeypatch.setattr(store._writer, "_connect", store._connect)
    made = await first
    assert database.query("SELECT id FROM tokens") == [(made.id,)]
    await engine.stop()


async def test_a_connection_that_is_ended_in_a_transaction_costs_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, _ = pair
    await kit.settled()
    store, ended = store_of(kit), list[tuple[object, ...]]()
    commit = store._commit

    def end_connections(connection: postgres_connection.Connection, tx: PostgresTx) -> None:
        if not ended:
            ended.extend(
                kit.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'triggerdev' AND pid <> pg_backend_pid()"
                )
            )
        commit(connection, tx)

    monkeypatch.setattr(store, "_commit", end_connections)
    runs = await asyncio.gather(*(kit.trigger() for _ in range(20)))
    assert len(ended) >= 6  # a writer, a reader and a listener of each server
    assert sorted(runs) == sorted(run for (run,) in kit.query("SELECT id FROM runs"))
    for run in runs:
        assert (await kit.run(run)).id == run


async def test_a_database_that_stays_away_is_named_without_its_password(database: PostgresBackend) -> None:
    url = "postgresql://someone:hunter2@127.0.0.1:1/nowhere"
    with pytest.raises(errors.StorageUnavailableError, match=r"127\.0\.0\.1:1, database nowhere") as caught:
        await Engine(PostgresStore(url, patience=0)).start()
    assert "hunter2" not in str(caught.value)
    assert "someone" not in str(caught.value)


@contextlib.asynccontextmanager
async def serving(url: str, name: str, ledger: Ledger) -> AsyncIterator[Engine]:
    engine = Engine(PostgresStore(url))
    await engine.start()
    version = await engine.next_version()
    await engine.activate(version, manifest(task("job")))
    BusyWorker(engine, name, ledger)
    try:
        yield engine
    finally:
        await engine.stop()


async def test_crashes_of_the_database_under_load_lose_and_double_nothing(database: PostgresBackend) -> None:
    server, ledger = Server(), Ledger()
    try:
        async with serving(server.url, "a", ledger) as first, serving(server.url, "b", ledger) as second:
            calls = [
                asyncio.create_task(engine.trigger(item("job", n)))
                for n in range(RUNS // 2)
                for engine in (first, second)
            ]
            for n in range(CRASHES):
                await ledger.all_finished(RUNS // (CRASHES + 1) * n + 1)
                await asyncio.to_thread(server.crash)
                await asyncio.to_thread(server.start)
            accepted = {made.id for made in await asyncio.gather(*calls)}
            await ledger.all_finished(RUNS)
        with psycopg.connect(server.url, options="-c search_path=triggerdev") as connection:
            rows = connection.execute("SELECT id, status FROM runs").fetchall()
        assert len(accepted) == RUNS
        assert dict(rows) == dict.fromkeys(accepted, "COMPLETED_SUCCESSFULLY")
        assert set(ledger.finished.values()) == {1}
    finally:
        server.stop()
