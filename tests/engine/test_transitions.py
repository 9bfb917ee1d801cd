"""The state machine: its table, and the engine under random operations."""

import asyncio
import random
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.engine.kit import MINUTE, EngineKit, crash, task
from tests.store.backends import SqliteBackend
from triggerdev import errors
from triggerdev.engine import transitions
from triggerdev.engine.model import FINAL, Run, Status
from triggerdev.engine.transitions import TABLE, Event

ENDS = {Event.COMPLETE, Event.FAIL, Event.CRASH, Event.BREAK, Event.TIME_OUT, Event.CANCEL, Event.EXPIRE}


def a_run(status: Status) -> Run:
    return Run(1, "run_1", "job", status, "task/job", 0, 0)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("event", Event)
def test_each_step_is_in_the_table_or_refused(status: Status, event: Event) -> None:
    run = a_run(status)
    if (status, event) in TABLE:
        transitions.move(run, event, 7)
        assert (run.status, run.updated_at) == (TABLE[status, event], 7)
    else:
        with pytest.raises(errors.EngineError, match="it cannot"):
            transitions.move(run, event, 7)
        assert (run.status, run.updated_at) == (status, 0)


def test_nothing_leads_out_of_a_final_status_and_each_is_reached() -> None:
    assert not [pair for pair in TABLE if pair[0] in FINAL]
    assert {target for target in TABLE.values() if target.is_final} == FINAL
    assert {event for (_, event), target in TABLE.items() if target.is_final} == ENDS


def test_every_status_that_is_not_final_can_be_cancelled_and_left() -> None:
    for status in set(Status) - FINAL:
        assert TABLE[status, Event.CANCEL] is Status.CANCELED
        assert [event for (source, event) in TABLE if source is status and event not in ENDS]


LIMIT = 2
TASKS = (
    task("job", retry={"max_attempts": 2, "randomize": False}),
    task("child", queue={"name": "narrow", "concurrency_limit": LIMIT}),
    task("plain", kind="sync", queue={"name": "narrow"}),
)
MEMORY = Path("/dev/shm")  # a disk in memory, where there is one: thousands of commits, none to be kept
seeds = st.integers(0, 2**16)


class EngineMachine(RuleBasedStateMachine):
    """Anything may happen in any order; `pick` chooses among the runs to which it can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.kit = EngineKit(SqliteBackend(Path(self.folder.name)), TASKS, (), seed=0)
        self.runs: list[str] = []
        self.ops = 0
        self.finals: dict[str, str] = {}
        self.do(self.kit.open())

    def do(self, call: Coroutine[Any, Any, Any]) -> Any:
        async def step() -> Any:
            result = await call
            await self.kit.settled()
            return result

        return self.loop.run_until_complete(step())

    def teardown(self) -> None:
        self.do_all_to_the_end()
        self.loop.run_until_complete(self.kit.close())
        self.loop.close()
        self.folder.cleanup()

    def pick(self, seed: int) -> str:
        """One of the runs that execute here; it has a token and holds a slot."""
        return random.Random(seed).choice(self.kit.worker.executing)

    def has_executing(self) -> bool:
        return bool(self.kit.worker.executing)

    # -- what may happen

    @rule(name=st.sampled_from(["job", "child", "plain"]), delay=st.sampled_from([None, "1m"]),
          ttl=st.sampled_from([None, "2m"]), key=st.sampled_from([None, None, "k1", "k2"]))  # fmt: skip
    def trigger(self, name: str, delay: str | None, ttl: str | None, key: str | None) -> None:
        options = {"delay": delay, "ttl": ttl, "idempotencyKey": key}
        self.runs.append(self.do(self.kit.trigger(name, None, **options)))

    @rule(room=st.integers(0, 4), sync_room=st.integers(0, 2))
    def change_room(self, room: int, sync_room: int) -> None:
        self.kit.worker.room.update({"async": room, "sync": sync_room})
        self.kit.engine.pump()
        self.do(self.kit.settled())

    @precondition(has_executing)
    @rule(seed=seeds)
    def complete(self, seed: int) -> None:
        self.do(self.kit.worker.ok(self.pick(seed)))

    @precondition(has_executing)
    @rule(seed=seeds, skip=st.booleans())
    def fail(self, seed: int, skip: bool) -> None:
        self.do(self.kit.worker.fail(self.pick(seed), skip_retry=skip))

    @precondition(has_executing)
    @rule(seed=seeds)
    def crash(self, seed: int) -> None:
        error = crash("TASK_PROCESS_SIGSEGV")
        self.do(self.kit.worker.done(self.pick(seed), "crashed", error=error))

    @precondition(has_executing)
    @rule(seed=seeds, minutes=st.integers(0, 3), parks=st.booleans())
    def wait(self, seed: int, minutes: int, parks: bool) -> None:
        self.wait_for(self.pick(seed), parks, "wait", None, for_ms=minutes * MINUTE)

    @precondition(has_executing)
    @rule(seed=seeds, parks=st.booleans(), key=st.sampled_from([None, "k1"]))
    def trigger_and_wait(self, seed: int, parks: bool, key: str | None) -> None:
        options = {"idempotencyKey": key} if key else {}
        self.wait_for(self.pick(seed), parks, "trigger_and_wait", "child", options=options)

    @precondition(has_executing)
    @rule(seed=seeds, parks=st.booleans(), size=st.integers(1, 3))
    def batch_trigger_and_wait(self, seed: int, parks: bool, size: int) -> None:
        items = [{"task": name} for name in ("job", "child", "nope")[:size]]
        self.wait_for(self.pick(seed), parks, "batch_trigger_and_wait", "b", items=items)

    @precondition(has_executing)
    @rule(seed=seeds, parks=st.booleans())
    def wait_for_token(self, seed: int, parks: bool) -> None:
        self.wait_for(self.pick(seed), parks, "wait_token", "approval", timeout_ms=2 * MINUTE, is_name=True)

    def wait_for(self, run: str, parks: bool, kind: str, target: str | None, **args: Any) -> None:
        self.ops += 1
        op = f"0:{self.ops}"
        reply = self.do(self.kit.worker.op(run, op, kind, target, **args))
        if parks and reply.get("pending") and run in self.kit.worker.executing:
            self.do(self.kit.worker.park(run, op))

    @rule()
    def complete_token(self) -> None:
        try:
            self.do(self.kit.engine.tokens.complete("approval", "1", "application/json"))
        except errors.NoSuchRunError:
            assert self.kit.query("SELECT count(*) FROM tokens") == [(0,)]

    @precondition(has_executing)
    @rule(seed=seeds)
    def lose(self, seed: int) -> None:
        self.do(self.kit.worker.lost(self.pick(seed)))

    @precondition(lambda self: self.runs)
    @rule(seed=seeds)
    def evict(self, seed: int) -> None:
        run = random.Random(seed).choice(self.runs)
        if run in self.kit.worker.tokens and run not in self.kit.worker.executing:
            self.do(self.kit.worker.evicted(run))

    @precondition(lambda self: self.runs)
    @rule(seed=seeds)
    def cancel(self, seed: int) -> None:
        self.do(self.kit.engine.cancel_run(random.Random(seed).choice(self.runs)))

    @precondition(lambda self: self.kit.worker.tokens)
    @rule(seed=seeds, outcome=st.sampled_from(["ok", "failed"]))
    def say_something_stale(self, seed: int, outcome: str) -> None:
        run = random.Random(seed).choice(list(self.kit.worker.tokens))
        before = self.kit.query("SELECT * FROM runs")
        token = self.kit.worker.tokens[run] - 1
        message = {"t": "done", "run": run, "token": token, "outcome": outcome, "output": "1", "error": {}}
        self.do(self.send(message))
        assert self.kit.query("SELECT * FROM runs") == before

    async def send(self, message: dict[str, Any]) -> None:
        self.kit.worker.session.receive([message])
        await self.kit.worker.session.flushed()

    @rule(minutes=st.integers(0, 2))
    def pass_time(self, minutes: int) -> None:
        self.do(self.kit.advance(minutes * MINUTE))

    @rule()
    def restart(self) -> None:
        room = self.kit.worker.room
        self.do(self.kit.restart())
        self.kit.worker.room.update(room)

    # -- what must hold

    @invariant()
    def the_rows_make_sense(self) -> None:
        for run, status, finished_at, ready, due_at, worker in self.kit.query(
            "SELECT id, status, finished_at, ready, due_at, worker FROM runs"
        ):
            is_final = Status(status).is_final
            assert (finished_at is not None) == is_final, (run, status)
            assert not (is_final and (ready or due_at is not None or worker)), (run, status)
            assert not (ready and status not in ("PENDING", "RETRYING_AFTER_FAILURE")), (run, status)
            assert not (status == "EXECUTING" and worker is None), run
            assert not (status == "PENDING" and not ready), run
            assert self.finals.setdefault(run, status) == status if is_final else run not in self.finals

    @invariant()
    def what_waits_has_something_to_wait_for(self) -> None:
        waiting = "SELECT id FROM runs WHERE status = 'WAITING_TO_RESUME'"
        pending = (
            "SELECT run_id FROM ops JOIN runs ON id = run_id WHERE done = 0 AND ops.attempt = runs.attempt"
        )
        assert self.kit.query(f"{waiting} EXCEPT {pending}") == []
        left_over = "SELECT count(*) FROM ops JOIN runs ON id = run_id WHERE finished_at IS NOT NULL"
        assert self.kit.query(left_over) == [(0,)]

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        executing = "SELECT count(*) FROM runs WHERE status = 'EXECUTING'"
        assert self.kit.query(f"{executing} AND queue = 'narrow'")[0][0] <= LIMIT
        here = self.kit.query("SELECT id FROM runs WHERE status = 'EXECUTING' ORDER BY 1")
        assert [run for (run,) in here] == sorted(self.kit.worker.executing)

    @invariant()
    def batches_count_their_runs(self) -> None:
        for batch, remaining, status in self.kit.query("SELECT id, remaining, status FROM batches"):
            open_runs = self.kit.query(
                "SELECT count(*) FROM batch_items JOIN runs ON id = run_id"
                " WHERE batch_items.batch_id = ? AND finished_at IS NULL",
                batch,
            )
            assert open_runs == [(remaining,)], batch
            assert (status == "PROCESSING") == (remaining > 0), batch

    def do_all_to_the_end(self) -> None:
        """Whatever has happened: with room and time, every run reaches its end."""
        self.change_room(1000, 1000)
        for _ in range(100):
            self.pass_time(5)
            for run in self.kit.worker.executing:
                self.do(self.kit.worker.ok(run))
            if self.kit.query("SELECT count(*) FROM runs WHERE finished_at IS NULL") == [(0,)]:
                break
        self.the_rows_make_sense()
        self.batches_count_their_runs()
        assert self.kit.query("SELECT DISTINCT id FROM runs WHERE finished_at IS NULL") == []
        assert self.kit.query("SELECT count(*) FROM ops") == [(0,)]
        finished = [event.run for event in self.kit.events if event.kind == "finished"]
        assert len(finished) == len(set(finished)) == len(self.finals)


EngineMachine.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestEngineMachine = EngineMachine.TestCase
