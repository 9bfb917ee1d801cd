"""A request that is sent again makes nothing twice, also over a restart of the engine."""

from tests.engine.kit import EngineKit, Worker, item
from triggerdev.engine.model import BatchCreated, TriggerResult

KEY = "/api/v1/tasks/job/trigger 9c1f"


async def test_a_repeated_trigger_finds_its_run(kit: EngineKit) -> None:
    first = await kit.engine.trigger(item("job"), request=KEY)
    await kit.restart()
    assert await kit.engine.trigger(item("job"), request=KEY) == first
    assert await kit.engine.trigger(item("job"), request=KEY + "0") != first
    assert kit.query("SELECT count(*) FROM runs") == [(2,)]


async def test_a_request_is_remembered_for_an_hour(kit: EngineKit, worker: Worker) -> None:
    worker.room["async"] = 0
    first = await kit.engine.trigger(item("job"), request=KEY)
    await kit.advance("59m")
    assert await kit.engine.trigger(item("job"), request=KEY) == first
    await kit.advance("1m")
    assert await kit.engine.trigger(item("job"), request=KEY) != first


async def test_what_an_idempotency_key_found_is_found_again(kit: EngineKit) -> None:
    first = await kit.trigger("job", None, idempotencyKey="k")
    for _ in range(2):
        again = await kit.engine.trigger(item("job", None, idempotencyKey="k"), request=KEY)
        assert again == TriggerResult(first, is_cached=True)


async def test_a_repeated_replay_makes_one_run(kit: EngineKit) -> None:
    old = await kit.trigger()
    first = await kit.engine.replay_run(old, {}, request=KEY)
    await kit.restart()
    assert await kit.engine.replay_run(old, {}, request=KEY) == first
    assert first.id != old


async def test_a_repeated_batch_can_be_filled_again(kit: EngineKit) -> None:
    first = await kit.engine.create_batch(run_count=2, request=KEY)
    await kit.engine.add_batch_items(first.id, [item("job", 0, index=0)])
    await kit.restart()
    again = await kit.engine.create_batch(run_count=2, request=KEY)
    assert again == BatchCreated(first.id, 2, is_cached=False)
    accepted = await kit.engine.add_batch_items(again.id, [item("job", n, index=n) for n in range(2)])
    assert (accepted.accepted, accepted.deduplicated, accepted.sealed) == (1, 1, True)


async def test_a_repeated_token_is_one(kit: EngineKit) -> None:
    first = await kit.engine.tokens.create(request=KEY)
    await kit.restart()
    assert await kit.engine.tokens.create(request=KEY) == first
