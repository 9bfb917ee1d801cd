"""Every kind of command once, in an order in which each succeeds."""

from tests.model.comparison import TOKENS
from tests.model.machine import DEBOUNCES, StoreMachine

EVERY_KIND = {
    *("activate", "trigger", "replay", "reschedule", "cancel", "add_tags", "change_metadata", "count_up"),
    "reset_key",
    *("create_batch", "add_items", "create_token", "complete_token", "claim", "tick"),
    *("recover", "sweep", "clean"),
    *("create_schedule", "update_schedule", "set_active", "delete_schedule", "list_schedules"),
    *("pause_queue", "override_queue", "list_queues", "retrieve_queue"),
    *("park", "evicted", "lost", "stale", "logs", "spans", "done crashed"),
    *(f"done {outcome}" for outcome in ("ok", "failed", "timed_out", "cancelled")),
    *(f"{kind} accepted" for kind in ("wait", "wait_token", "create_token", "complete_token", "trigger")),
    *(f"{kind} accepted" for kind in ("trigger_and_wait", "batch_trigger", "batch_trigger_and_wait")),
    *(f"{kind} accepted" for kind in ("tags", "metadata", "step", "reset_key")),
    *("list_runs", "list_tokens", "children", "retrieve_batch", "find_token"),
}


def tour(machine: StoreMachine) -> None:
    """Do everything once in an order in which it succeeds."""
    own = [{"type": "set", "key": "x", "value": 1}]
    machine.begin(version=0)
    machine.activate(version=1)
    machine.trigger(name="job", options={"idempotencyKey": "k1"}, value=1)
    for debounce in DEBOUNCES:
        machine.trigger(name="job", options={"debounce": debounce, "maxAttempts": 2}, value=2)
    machine.reset_key(pick=1, name="job", key="k1", from_run=False)
    machine.trigger(name="job", options={"idempotencyKey": "k1"}, value=1)
    for paused in (True, False):
        machine.pause_queue(name="task/job", paused=paused)
    machine.override_queue(name="shared", limit=3)
    machine.claim(worker="w2", room=4, sync_room=1)
    machine.reset_key(pick=1, name="job", key="k1", from_run=True)
    machine.trigger(name="job", options={"idempotencyKey": "k1"}, value=1)
    machine.create_token(timeout="2m", name="payment", ttl=None, tags=["a"])
    for name in TOKENS:
        machine.wait_for_token(pick=1, name=name, timeout=None, parks=False)
        machine.complete_token(name=name, value="yes")
    for completes in (False, True):
        machine.token_operation(pick=1, name="payment", completes=completes)
    machine.trigger_child(pick=1, child="child", options={}, parks=False)
    for waits in (False, True):
        machine.trigger_batch(pick=1, tasks=["job", "child"], options={}, key=None, waits=waits, parks=False)
    machine.describe(pick=1, tags=["b"], own=own, root=own)
    machine.step(pick=1, name="charge", value={"amount": 1}, own=own * 2)
    machine.add_tags(pick=1, tags=["c"])
    machine.change_metadata(pick=1, own=own, scope="operations")
    machine.wait(pick=1, seconds=30, until=False, parks=True, key="k1")
    machine.wait(pick=1, seconds=90, until=True, parks=False, key="k1")
    machine.evict(pick=1)
    machine.pass_time(seconds=60)
    machine.complete(pick=1, value=1)
    machine.crash(pick=1)
    machine.lose(pick=1)
    for outcome in ("failed", "timed_out", "cancelled"):
        machine.end(pick=1, skip=False, outcome=outcome)
    machine.say_something_stale(pick=1, kind="done", worker="w1")
    machine.log(pick=1, text="a", data=True)
    machine.tell_spans(pick=1, name="a", start=1, ends=True)
    machine.create_batch(count=2, key="k1", ttl=None)
    batch = machine.both.names.batches[-1]
    machine.both.do("add_items", batch=batch, items=[(0, "job", {}), (1, "nope", {})])
    machine.both.ask("retrieve_batch", batch_id=batch)
    machine.reschedule(pick=1, delay="1h")
    machine.replay(pick=1, options={})
    machine.cancel(pick=1)
    machine.sweep(alive=["w1"])
    machine.list_runs(pick=1, status=[], task=[], tag=[], is_test=None, size=2, direction="after")
    machine.list_tokens(pick=1, status="COMPLETED", tags=[], name="payment")
    machine.clean(runs=1_000, logs=0, limit=2, ends=1)
    machine.activate(version=0)
    machine.create_schedule(task="job", cron="* * * * *", key="k1", pick=0)
    for action in ("deactivate", "activate", "update", "delete"):
        for pick in range(9):  # the declarative one refuses some of it
            machine.change_schedule(pick=pick, cron="*/2 * * * *", action=action)
    machine.restart()
