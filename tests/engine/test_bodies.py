"""Large payloads and outputs: beside the database, and nobody who works with them notices."""

import asyncio

import pytest

from tests.engine.kit import DAY, HOUR, INLINE, EngineKit, Worker, item
from tests.engine.test_retention import cleaner
from triggerdev import _json, errors
from triggerdev.engine import dispatcher, outbox
from triggerdev.engine.model import Status, TriggerItem
from triggerdev.engine.objects.memory import MemoryObjects
from triggerdev.engine.objects.protocol import Body

BIG = "x" * (2 * INLINE)
JSON = "application/json"


class Objects(MemoryObjects):
    """Objects that can be out of reach: `trouble` is raised, a closed `open` holds up."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: Exception | None = None
        self.calls = 0
        self.open = asyncio.Event()
        self.open.set()

    async def put(self, key: str, body: Body) -> None:
        self._check()
        await super().put(key, body)

    async def get(self, key: str) -> Body | None:
        self._check()
        await self.open.wait()
        return await super().get(key)

    def _check(self) -> None:
        self.calls += 1
        if self.trouble is not None:
            raise self.trouble


@pytest.fixture
async def objects(kit: EngineKit) -> Objects:
    """The kit's engine, anew, with an object store."""
    kit.objects = made = Objects()
    await kit.restart()
    return made


@pytest.fixture
def worker(kit: EngineKit, objects: Objects) -> Worker:
    return kit.worker


def stored(objects: Objects) -> list[str]:
    """The texts of all bodies."""
    return [body.data.decode() for body in objects.bodies.values()]


async def test_a_large_payload_is_stored_and_comes_with_the_run(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    run = await kit.trigger("job", BIG)
    ((payload, kind),) = kit.query("SELECT payload, payload_type FROM runs")
    assert kind == "application/store"
    assert list(objects.bodies) == [payload]
    assert (await worker.started(run))["payload"] == _json.dumps(BIG)
    small = await kit.start("job", "x" * (INLINE - 2))
    assert kit.query("SELECT payload_type FROM runs WHERE id = ?", small) == [(JSON,)]
    assert len(objects.bodies) == 1


async def test_bytes_count_not_characters(kit: EngineKit, objects: Objects) -> None:
    await kit.trigger("job", "ü" * (INLINE // 2 - 1))
    assert not objects.bodies
    await kit.trigger("job", "ü" * (INLINE // 2))
    assert len(objects.bodies) == 1


async def test_the_type_of_a_payload_is_kept(kit: EngineKit, objects: Objects, worker: Worker) -> None:
    await kit.engine.trigger(TriggerItem("job", BIG, "text/plain"))
    message = await worker.started()
    assert (message["payload"], message["payload_type"]) == (BIG, "text/plain")


async def test_a_large_output_is_stored(kit: EngineKit, objects: Objects, worker: Worker) -> None:
    run = await kit.start()
    await worker.ok(run, BIG)
    found = await kit.run(run)
    assert (found.status, found.output_type) == (Status.COMPLETED, "application/store")
    assert kit.engine.bodies is not None
    assert await kit.engine.bodies.get(found.output or "") == (_json.dumps(BIG), JSON)


async def test_a_parent_gets_the_large_output_of_its_child(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    parent = await kit.start()
    await worker.op(parent, "0:0", "trigger_and_wait", "child", payload=_json.dumps(BIG))
    child = await worker.started()
    assert child["payload"] == _json.dumps(BIG)
    await worker.ok(child["id"], BIG + "!")
    await kit.settled()
    message = await worker.next("op_done", parent)
    assert message["result"]["output"] == _json.dumps(BIG + "!")
    assert message["result"]["output_type"] == JSON


async def test_a_parked_parent_goes_on_with_all_of_a_batch(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    parent = await kit.start()
    items = [{"task": "child", "payload": _json.dumps(BIG + str(n))} for n in range(3)]
    await worker.op(parent, "0:0", "batch_trigger_and_wait", "child", items=items)
    await worker.park(parent, "0:0")
    for _ in range(3):
        child = await worker.started()
        await worker.ok(child["id"], _json.loads(child["payload"]))
    resumed = await worker.next("resume", parent)
    (op,) = resumed["ops"]
    assert [each["output"] for each in op["result"]["runs"]] == [_json.dumps(BIG + str(n)) for n in range(3)]


async def test_a_replay_of_the_record_has_the_outputs(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    parent = await kit.start()
    await worker.op(parent, "0:0", "step", "think", output=_json.dumps(BIG), output_type=JSON)
    await worker.lost(parent)
    message = await worker.started(parent)
    (op,) = message["record"]
    assert op["result"] == {"output": _json.dumps(BIG), "output_type": JSON}
    assert "x" * 100 not in str(kit.query("SELECT result FROM ops"))


@pytest.mark.parametrize("inside", [True, False])
async def test_a_token_can_have_a_large_output(
    kit: EngineKit, objects: Objects, worker: Worker, inside: bool
) -> None:
    run = await kit.start()
    await worker.op(run, "0:0", "wait_token", "approval", timeout_ms=None, is_name=True)
    if inside:
        other = await kit.start()
        text = _json.dumps(BIG)
        await worker.op(other, "0:0", "complete_token", "approval", output=text, output_type=JSON)
    else:
        await kit.engine.tokens.complete("approval", _json.dumps(BIG), JSON)
    message = await worker.next("op_done", run)
    assert message["result"] == {"ok": True, "output": _json.dumps(BIG), "output_type": JSON}
    assert kit.query("SELECT output_type FROM tokens") == [("application/store",)]


async def test_a_batch_over_http_and_a_replay_of_a_run(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    batch = await kit.engine.create_batch(run_count=2)
    await kit.engine.add_batch_items(batch.id, [item("job", BIG + str(n), index=n) for n in range(2)])
    first, second = [await worker.started() for _ in range(2)]
    assert (_json.loads(first["payload"]), _json.loads(second["payload"])) == (BIG + "0", BIG + "1")
    await kit.engine.replay_run(first["id"], {})
    assert _json.loads((await worker.started())["payload"]) == BIG + "0"
    await kit.engine.replay_run(first["id"], {"payload": _json.dumps(BIG + "2"), "payloadType": JSON})
    assert _json.loads((await worker.started())["payload"]) == BIG + "2"
    assert len(objects.bodies) == 3


async def test_messages_of_a_run_stay_in_order_behind_a_body(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    slow = await kit.trigger("job", BIG)
    objects.open.clear()
    await kit.restart()
    other = await kit.start("job", "small")  # others do not wait
    await kit.engine.cancel_run(slow)
    await kit.worker.op(other, "0:0", "trigger", "job")
    assert not [m for m in kit.worker.inbox if slow in str(m)]
    objects.open.set()
    await kit.settled()
    kinds = [m["t"] for m in kit.worker.inbox if slow in str(m)]
    assert kinds == ["start", "cancel"]


async def test_a_worker_gets_no_more_runs_than_it_has_room_for(kit: EngineKit, objects: Objects) -> None:
    kit.worker.room["async"] = 0
    runs = [await kit.trigger("job", BIG) for _ in range(5)]
    objects.open.clear()
    kit.worker.room["async"] = 2
    for _ in range(3):
        kit.engine.pump()
        await kit.engine._committer.submit(lambda _: None)
    assert [await kit.status(run) for run in runs].count(Status.EXECUTING) == 2
    objects.open.set()
    await kit.settled()
    assert len(kit.worker.executing) == 2


async def test_a_run_whose_payload_is_gone_fails_and_says_so(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    worker.room["async"] = 0
    run = await kit.trigger("job", BIG)
    objects.bodies.clear()
    worker.room["async"] = 9
    kit.engine.pump()
    detail = await kit.engine.wait_run(run, since_rev=2**40, timeout=10)
    assert detail.run.status is Status.FAILED
    assert (detail.run.error or {})["code"] == "TASK_INPUT_ERROR"
    assert "payload: The stored body 'bodies/" in (detail.run.error or {})["message"]
    assert (detail.run.attempt, worker.heard("start")) == (1, [])


async def test_a_result_that_is_gone_is_refused_to_the_code(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    parent = await kit.start()
    await worker.op(parent, "0:0", "step", "think", output=_json.dumps(BIG), output_type=JSON)
    objects.bodies.clear()
    await worker.lost(parent)
    (op,) = (await worker.started(parent))["record"]
    assert op["result"]["error_kind"] == "MissingBodyError"
    assert "is gone" in op["result"]["error"]


async def test_while_the_store_is_out_of_reach_runs_wait_and_callers_hear_of_it(
    kit: EngineKit, objects: Objects, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dispatcher, outbox):
        monkeypatch.setattr(module, "_RETRY_SECONDS", 0)
    waiting = await kit.trigger("job", BIG)
    run = await kit.start()
    await worker.started(waiting)
    objects.trouble = errors.StorageUnavailableError("no answer")
    with pytest.raises(errors.StorageUnavailableError, match="no answer"):
        await kit.trigger("job", BIG)
    saying = asyncio.ensure_future(worker.ok(run, BIG))
    before = objects.calls
    while objects.calls < before + 3:
        await asyncio.sleep(0)
    assert await kit.status(run) is Status.EXECUTING
    objects.trouble = None
    await saying
    assert await kit.status(run) is Status.COMPLETED


async def test_a_full_disk_refuses_the_caller(kit: EngineKit, objects: Objects) -> None:
    objects.trouble = errors.StorageFullError("full")
    with pytest.raises(errors.StorageFullError):
        await kit.trigger("job", BIG)
    assert kit.query("SELECT count(*) FROM runs") == [(0,)]


# -- what goes


async def sweep_later(kit: EngineKit, span: int = DAY + HOUR) -> int:
    await kit.advance(span)
    return await kit.engine.sweep_bodies()


async def test_what_a_row_names_stays_and_goes_with_it(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    run = await kit.start("job", BIG)
    await worker.ok(run, BIG)
    waiting = await kit.start()
    await worker.op(waiting, "0:0", "step", "think", output=_json.dumps(BIG), output_type=JSON)
    await kit.engine.tokens.create(idempotency_key="t")
    await kit.engine.tokens.complete("t", _json.dumps(BIG), JSON)
    assert await sweep_later(kit, 40 * DAY) == 0
    assert len(objects.bodies) == 4
    await cleaner(kit).clean()  # the run, and the token
    assert await sweep_later(kit) == 3
    await worker.ok(waiting)
    assert await sweep_later(kit) == 1
    assert not objects.bodies


async def test_a_replay_keeps_the_payload_of_a_run_that_is_gone(
    kit: EngineKit, objects: Objects, worker: Worker
) -> None:
    run = await kit.start("job", BIG)
    await worker.ok(run)
    again = await kit.engine.replay_run(run, {})
    await kit.advance(40 * DAY)
    await cleaner(kit).clean()
    with pytest.raises(errors.NoSuchRunError):
        await kit.run(run)
    assert await kit.engine.sweep_bodies() == 0
    assert (await worker.started(again.id))["payload"] == _json.dumps(BIG)


async def test_an_orphan_goes_after_a_day(kit: EngineKit, objects: Objects) -> None:
    with pytest.raises(errors.UnknownTaskError):
        await kit.trigger("nope", BIG)  # stored before it is known that there is no such task
    assert stored(objects) == [_json.dumps(BIG)]
    assert await sweep_later(kit, 23 * HOUR) == 0
    assert await sweep_later(kit, 2 * HOUR) == 1
    assert not objects.bodies


async def test_what_lies_there_and_is_not_the_engines_is_left_alone(kit: EngineKit, objects: Objects) -> None:
    await objects.put("bodies/readme", Body("text/plain", b"hands off"))
    await objects.put("elsewhere/0-x", Body("text/plain", b"hands off"))
    assert await sweep_later(kit) == 0
    assert len(objects.bodies) == 2
