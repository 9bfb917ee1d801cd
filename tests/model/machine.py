"""Random commands on the store in memory and on others, side by side: answers and states must be equal."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model.comparison import KEYS, TASKS, TOKENS, Comparison
from triggerdev import _json
from triggerdev.engine.model import Run, RunFilter, Status, TokenFilter
from triggerdev.protocol import Manifest, TaskInfo

SECOND, MINUTE = 1_000, 60_000
BOOM = {"type": "BUILT_IN_ERROR", "name": "ValueError", "message": "boom", "stackTrace": ""}
KILLED = {"type": "INTERNAL_ERROR", "code": "TASK_PROCESS_SIGSEGV", "message": "it is gone"}
TAGS = ["a", "b", "c"]
DEBOUNCES = [
    {"key": "d", "delay": "1m"},
    {"key": "d", "delay": "2m", "mode": "trailing"},
    {"key": "d", "delay": "2m", "maxDelay": "3m"},
]


def a_task(name: str, **fields: Any) -> TaskInfo:
    info: dict[str, Any] = {"id": name, "file": "trigger/t.py", "line": 1, "kind": "async", **fields}
    return info  # type: ignore[return-value]  # a TypedDict of freely chosen fields


def a_manifest(*tasks: TaskInfo) -> Manifest:
    return Manifest(tasks=list(tasks), queues=[], files=[], packages=[], threads=[], hash="")


VERSIONS = (
    a_manifest(
        a_task("job", retry={"max_attempts": 2}, schedule={"cron": "*/5 * * * *", "timezone": "UTC"}),
        a_task("child"),
        a_task("narrow", queue={"name": "shared", "concurrency_limit": 2}),
        a_task("plain", kind="sync", queue={"name": "shared"}, ttl_ms=2 * MINUTE),
    ),
    a_manifest(
        a_task("job", schedule={"cron": "0 9 * * 1", "timezone": "Europe/Berlin"}),
        a_task("child", retry={"max_attempts": 4, "factor": 3.0}),
        a_task("narrow", queue={"name": "shared", "concurrency_limit": 1}),
        a_task("plain", kind="sync", queue={"name": "shared"}),
    ),
)
picks = st.integers(0, 2**16)
workers = st.sampled_from(["w1", "w2"])
names = st.sampled_from(TOKENS)
queue_names = st.sampled_from(["shared", "task/job", "task/child", "nope"])
limits = st.sampled_from([None, None, None, 1, 3, 6])
values = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text('aä\U0001f600"\\\n', max_size=3))
tag_lists = st.lists(st.sampled_from(TAGS), max_size=2)
wire_options = st.fixed_dictionaries(
    {},
    optional={
        "delay": st.sampled_from(["1m", "1m", "3m", "3m", "never"]),
        "ttl": st.sampled_from(["2m", 90, "1h"]),
        "priority": st.sampled_from([-5, 0.5, 10]),
        "tags": tag_lists,
        "metadata": st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2),
        "queue": st.sampled_from([{"name": "shared"}, {"name": "own", "concurrencyLimit": 1}]),
        "concurrencyKey": st.sampled_from(["one", "two"]),
        "idempotencyKey": st.sampled_from(KEYS),
        "idempotencyKeyTTL": st.sampled_from(["30s", "10m"]),
        "idempotencyKeyOptions": st.just({"key": "k", "scope": "attempt"}),
        "machine": st.sampled_from(["micro", "medium-1x"]),
        "maxAttempts": st.integers(1, 3),
        "test": st.booleans(),
        "debounce": st.sampled_from(DEBOUNCES),
    },
)
crons = st.sampled_from(["* * * * *", "*/2 * * * *", "0 0 1 1 *", "never"])
changes = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["set", "increment", "append", "remove", "delete"]),
            "key": st.sampled_from(["x", "y", "$.deep.list[0]"]),
            "value": st.integers(0, 3),
        }
    ),
    min_size=1,
    max_size=2,
)


def has_runs(machine: "StoreMachine") -> bool:
    return bool(machine.both.runs())


class StoreMachine(RuleBasedStateMachine):
    """Anything may be asked in any order; `pick` chooses among the runs to which it can happen."""

    stores: Sequence[str] = ("sqlite",)
    succeeded: Counter[str] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.both = Comparison(0, self.stores, self.succeeded)
        self.ops = 0
        self.paused: set[str] = set()

    def teardown(self) -> None:
        self.both.close()

    def pick(self, pick: int, *statuses: Status) -> Run:
        return random.Random(pick).choice(self.both.runs(*statuses))

    def executing(self, pick: int) -> Run:
        """Choose a run that executes; where there is none, start one."""
        if not self.both.runs(Status.EXECUTING):
            self.pause_queue(name="task/job", paused=False)
            self.both.do("override_queue", name="task/job", limit=None)
            self.both.do("trigger", task="job", payload=None, options={"priority": 1000})
            self.both.do("claim", worker="w1", room=1, sync_room=0)
        return self.pick(pick, Status.EXECUTING)

    @initialize(version=st.sampled_from([0, 1]))
    def begin(self, version: int) -> None:
        self.both.do("activate", version="1", manifest=VERSIONS[version])

    # -- from outside

    @rule(version=st.sampled_from([0, 1]))
    def activate(self, version: int) -> None:
        self.both.do("activate", version=str(version), manifest=VERSIONS[version])
        self.both.do("count_up", name="version")

    @rule(name=st.sampled_from([*TASKS, *TASKS, "nope"]), options=wire_options, value=values)
    def trigger(self, name: str, options: dict[str, Any], value: Any) -> None:
        self.both.do("trigger", task=name, payload=_json.dumps(value), options=options)

    @precondition(has_runs)
    @rule(pick=picks, options=wire_options)
    def replay(self, pick: int, options: dict[str, Any]) -> None:
        self.both.do("replay", run_id=self.pick(pick).id, overrides=options)

    @precondition(has_runs)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        self.both.do("cancel", run_id=self.pick(pick).id)

    @rule(pick=picks, delay=st.sampled_from(["1m", "1h"]))
    def reschedule(self, pick: int, delay: str) -> None:
        if not self.both.runs(Status.DELAYED):
            self.both.do("trigger", task="child", payload=None, options={"delay": "2m"})
        self.both.do("reschedule", run_id=self.pick(pick, Status.DELAYED).id, delay=delay)

    @precondition(has_runs)
    @rule(pick=picks, tags=tag_lists)
    def add_tags(self, pick: int, tags: list[str]) -> None:
        self.both.do("add_tags", run=self.pick(pick).id, tags=tags)

    @precondition(has_runs)
    @rule(pick=picks, own=changes, scope=st.sampled_from(["operations", "parent_operations"]))
    def change_metadata(self, pick: int, own: list[dict[str, Any]], scope: str) -> None:
        self.both.do("change_metadata", run=self.pick(pick).id, args={scope: own})

    @rule(pick=picks, name=st.sampled_from(TASKS), key=st.sampled_from(KEYS), from_run=st.booleans())
    def reset_key(self, pick: int, name: str, key: str, from_run: bool) -> None:
        if from_run:
            self.operate(pick, "reset_key", name, key=key)
        else:
            self.both.do("reset_key", task=name, key=key)

    @rule(
        timeout=st.sampled_from([None, "2m"]), name=names, ttl=st.sampled_from([None, MINUTE]), tags=tag_lists
    )
    def create_token(self, timeout: Any, name: str, ttl: int | None, tags: list[str]) -> None:
        self.both.do("create_token", timeout=timeout, name=name, ttl_ms=ttl, tags=tags)

    @rule(name=names, value=values)
    def complete_token(self, name: str, value: Any) -> None:
        args = {"id_or_name": name, "output": _json.dumps(value), "output_type": "application/json"}
        self.both.do("complete_token", **args)

    @rule(
        task=st.sampled_from(["job", "job", "child"]),
        cron=crons,
        key=st.sampled_from([None, *KEYS]),
        pick=picks,
    )
    def create_schedule(self, task: str, cron: str, key: str | None, pick: int) -> None:
        self.both.do("create_schedule", task=task, cron=cron, key=key)
        self.both.ask("list_schedules", size=2, offset=pick % 3, key=KEYS[0])

    @rule(
        pick=picks,
        cron=crons,
        action=st.sampled_from(["update", "activate", "deactivate", "delete", "delete"]),
    )
    def change_schedule(self, pick: int, cron: str, action: str) -> None:
        with self.both.model.store.read() as tx:
            known = [schedule.id for schedule in tx.schedules()]
        schedule = random.Random(pick).choice([*known, "sched_none"])
        if action == "update":
            self.both.do("update_schedule", schedule=schedule, task="job", cron=cron)
        elif action == "delete":
            self.both.do("delete_schedule", schedule_id=schedule)
        else:
            self.both.do("set_active", schedule_id=schedule, active=action == "activate")

    @rule(count=st.integers(0, 3), key=st.sampled_from([None, *KEYS]), ttl=st.sampled_from([None, MINUTE]))
    def create_batch(self, count: int, key: str | None, ttl: int | None) -> None:
        made = self.both.do("create_batch", count=count, key=key, ttl_ms=ttl, parent=None)
        if made is not None:
            self.note_batch(made[0].id)

    @precondition(lambda self: self.both.names.batches)
    @rule(
        pick=picks,
        items=st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from([*TASKS, "nope"]), wire_options), max_size=3
        ),
    )
    def add_items(self, pick: int, items: list[tuple[int, str, dict[str, Any]]]) -> None:
        batch = random.Random(pick).choice(self.both.names.batches)
        self.both.do("add_items", batch=batch, items=items)
        self.both.ask("retrieve_batch", batch_id=batch)

    def note_batch(self, batch: str) -> None:
        if batch not in self.both.names.batches:
            self.both.names.batches.append(batch)

    # -- workers

    @rule(worker=workers, room=st.integers(0, 4), sync_room=st.integers(0, 2), limit=limits)
    def claim(self, worker: str, room: int, sync_room: int, limit: int | None = None) -> None:
        before = {run.id for run in self.both.runs(Status.EXECUTING)}
        self.both.do("claim", worker=worker, room=room, sync_room=sync_room, limit=limit)
        after = self.both.runs(Status.EXECUTING)
        given = [run for run in after if run.id not in before]
        assert not given or limit is None or len(after) <= limit
        assert not {run.queue for run in given} & self.paused, "nothing is given out of a paused queue"

    # -- queues

    @rule(name=queue_names, paused=st.booleans())
    def pause_queue(self, name: str, paused: bool) -> None:
        if self.both.do("pause_queue", name=name, paused=paused) is not None:
            (self.paused.add if paused else self.paused.discard)(name)
        self.both.ask("retrieve_queue", name=name)

    @rule(name=queue_names, limit=st.sampled_from([None, 0, 1, 3, -1]))
    def override_queue(self, name: str, limit: int | None) -> None:
        self.both.do("override_queue", name=name, limit=limit)
        self.both.ask("list_queues", number=1, size=3, limit=limit)

    def say(self, label: str, run: Run, worker: str | None = None, **message: Any) -> Any:
        frame = [{"run": run.id, "token": run.token, **message}]
        return self.both.do("say", label, worker=worker or run.worker or "w1", frame=frame)

    def operate(self, pick: int, kind: str, target: str | None, parks: bool = False, **args: Any) -> None:
        """Have an executing run do an operation and, if it must wait for it, park."""
        run = self.executing(pick)
        self.ops += 1
        op = f"0:{self.ops}"
        done = self.say(kind, run, t="op", id=self.ops, op=op, kind=kind, target=target, args=args)
        replies = [m for out in done[1]["messages"].values() for _, m in out if m["t"] == "reply"]
        self.both.succeeded[f"{kind} accepted"] += "error" not in replies[-1]
        if "id" in (result := replies[-1].get("result") or {}) and kind.startswith("batch"):
            self.note_batch(result["id"])
        if parks and replies[-1].get("pending"):
            self.say("park", run, t="park", ops=[op], usage_ms=self.ops)

    @rule(
        pick=picks,
        seconds=st.sampled_from([0, 30, 90]),
        until=st.booleans(),
        parks=st.booleans(),
        key=st.sampled_from([None, None, *KEYS]),
    )
    def wait(self, pick: int, seconds: int, until: bool, parks: bool, key: str | None = None) -> None:
        ms = seconds * SECOND
        args: dict[str, Any] = {"until": self.both.model.now + ms} if until else {"for_ms": ms}
        if key is not None:
            args |= {"idempotency_key": key, "idempotency_ttl_ms": 5 * MINUTE}
        self.operate(pick, "wait", None, parks, **args)

    @rule(pick=picks, name=names, timeout=st.sampled_from([None, MINUTE]), parks=st.booleans())
    def wait_for_token(self, pick: int, name: str, timeout: int | None, parks: bool) -> None:
        self.operate(pick, "wait_token", name, parks, timeout_ms=timeout, is_name=True)

    @rule(pick=picks, name=st.sampled_from([None, *TOKENS]), completes=st.booleans())
    def token_operation(self, pick: int, name: str | None, completes: bool) -> None:
        if completes:
            self.operate(pick, "complete_token", name or "approval", output="1")
        else:
            self.operate(pick, "create_token", name, timeout_ms=MINUTE, tags=["a"])

    @rule(pick=picks, child=st.sampled_from(TASKS), options=wire_options, parks=st.booleans())
    def trigger_child(self, pick: int, child: str, options: dict[str, Any], parks: bool) -> None:
        self.operate(pick, "trigger", child, payload="1", options=options)
        self.operate(pick, "trigger_and_wait", child, parks, payload="1", options=options)

    @rule(
        pick=picks,
        tasks=st.lists(st.sampled_from([*TASKS, "nope"]), min_size=1, max_size=3),
        options=wire_options,
        key=st.sampled_from([None, "b1"]),
        waits=st.booleans(),
        parks=st.booleans(),
    )
    def trigger_batch(
        self,
        pick: int,
        tasks: Sequence[str],
        options: dict[str, Any],
        key: str | None,
        waits: bool,
        parks: bool,
    ) -> None:
        items = [{"task": name, "payload": "2", "options": options} for name in tasks]
        kind = "batch_trigger_and_wait" if waits else "batch_trigger"
        target = ",".join(sorted(set(tasks)))
        self.operate(pick, kind, target, parks, items=items, idempotency_key=key)

    @rule(pick=picks, tags=tag_lists, own=changes, root=changes)
    def describe(self, pick: int, tags: list[str], own: list[Any], root: list[Any]) -> None:
        self.operate(pick, "tags", None, tags=tags)
        self.operate(pick, "metadata", None, operations=own, root_operations=root)

    @rule(pick=picks, name=st.sampled_from(["charge", "send"]), value=values, own=changes)
    def step(self, pick: int, name: str, value: Any, own: list[Any]) -> None:
        text = None if value is None else _json.dumps(value)
        more: dict[str, Any] = {"metadata": {"x": own}, "tags": ["a"]} if len(own) > 1 else {}
        self.operate(pick, "step", name, output=text, output_type="application/json", **more)

    @rule(pick=picks, value=values)
    def complete(self, pick: int, value: Any) -> None:
        run = self.executing(pick)
        self.say(
            "done ok",
            run,
            t="done",
            outcome="ok",
            output=_json.dumps(value),
            usage_ms=7,
            peak_memory=self.ops,
        )

    @rule(pick=picks, skip=st.booleans(), outcome=st.sampled_from(["failed", "timed_out", "cancelled"]))
    def end(self, pick: int, skip: bool, outcome: str) -> None:
        run = self.executing(pick)
        self.say(f"done {outcome}", run, t="done", outcome=outcome, error=BOOM, skip_retry=skip)

    @rule(pick=picks)
    def crash(self, pick: int) -> None:
        run = self.executing(pick)
        self.say("done crashed", run, t="done", outcome="crashed", error=KILLED)

    @precondition(has_runs)
    @rule(pick=picks, kind=st.sampled_from(["done", "park", "evicted"]), worker=workers)
    def say_something_stale(self, pick: int, kind: str, worker: str) -> None:
        run = self.pick(pick)
        run = replace(run, token=run.token - 1)
        self.say("stale", run, worker, t=kind, outcome="ok", output="1", ops=["0:0"])

    @rule(pick=picks)
    def lose(self, pick: int) -> None:
        run = self.executing(pick)
        self.both.do("say", "lost", worker="w1", frame=[{"t": "lost", "runs": [[run.id, run.token]]}])

    @rule(pick=picks)
    def evict(self, pick: int) -> None:
        if not self.both.runs(Status.WAITING):
            self.operate(pick, "wait", None, True, for_ms=MINUTE)
        if self.both.runs(Status.WAITING):  # one that is being cancelled does not park
            self.say("evicted", self.pick(pick, Status.WAITING), t="evicted")

    @precondition(has_runs)
    @rule(pick=picks, text=st.text("a\x00ä\u2028", max_size=4), data=st.booleans())
    def log(self, pick: int, text: str, data: bool) -> None:
        line = {"run": self.pick(pick).id, "at": 5, "message": text, "data": {"n": 1} if data else None}
        self.both.do("say", "logs", worker="w1", frame=[{"t": "logs", "lines": [line, line]}])

    @rule(pick=picks, name=st.sampled_from("abc"), start=st.integers(1, 3), ends=st.booleans())
    def tell_spans(self, pick: int, name: str, start: int, ends: bool) -> None:
        run = self.executing(pick)
        span = {"id": name, "parent": "p", "name": f"{name}\x00", "kind": "user", "start": start}
        ended = {**span, "end": 9, "error": "a: b", "attributes": {"n": start}} if ends else span
        self.say("spans", run, t="spans", spans=[span, ended])

    # -- time

    @rule(seconds=st.sampled_from([1, 30, 60, 60, 300]))
    def pass_time(self, seconds: int) -> None:
        self.both.pass_time(seconds * SECOND)
        while (done := self.both.do("tick")) is not None and done[0]:
            pass

    @rule(alive=st.lists(workers, unique=True))
    def sweep(self, alive: list[str]) -> None:
        self.both.do("sweep", alive=alive)

    @rule(
        runs=st.sampled_from([SECOND, SECOND, MINUTE, 20 * MINUTE]),
        logs=st.sampled_from([0, 60 * MINUTE]),
        limit=st.integers(1, 5),
        ends=st.sampled_from([0, 1, 3, 9]),
    )
    def clean(self, runs: int, logs: int, limit: int, ends: int) -> None:
        self.both.do("claim", worker="w1", room=ends, sync_room=1)
        for run in self.both.runs(Status.EXECUTING)[:ends]:
            self.say("done ok", run, t="done", outcome="ok", output="1")
        self.pass_time(seconds=2)
        self.both.do("clean", runs_ms=runs, logs_ms=logs, limit=limit)

    @rule()
    def restart(self) -> None:
        self.both.restart()
        self.both.do("recover")

    # -- looking

    @precondition(has_runs)
    @rule(
        pick=picks,
        status=st.lists(st.sampled_from([s.public_name for s in Status]), max_size=2),
        task=st.lists(st.sampled_from(TASKS), max_size=2),
        tag=tag_lists,
        is_test=st.sampled_from([None, None, True, False]),
        size=st.integers(1, 4),
        direction=st.sampled_from(["first", "after", "before"]),
    )
    def list_runs(
        self,
        pick: int,
        status: list[str],
        task: list[str],
        tag: list[str],
        is_test: bool | None,
        size: int,
        direction: str,
    ) -> None:
        run = self.pick(pick)
        where = RunFilter(status=status, task=task, tag=tag, is_test=is_test)
        where.batch = run.batch_id if pick % 3 == 0 else None
        where.queue = [run.queue] if pick % 5 == 0 else []
        where.created_from = run.created_at if pick % 7 == 0 else None
        after = run.id if direction == "after" else None
        before = run.id if direction == "before" else None
        self.both.ask("list_runs", where=where, size=size, after=after, before=before)
        self.both.ask("children", run=run.id)

    @rule(
        pick=picks, status=st.sampled_from(["WAITING", "COMPLETED", "TIMED_OUT"]), tags=tag_lists, name=names
    )
    def list_tokens(self, pick: int, status: str, tags: list[str], name: str) -> None:
        where = TokenFilter(status=[status], tags=tags, idempotency_key=name if pick % 2 else None)
        self.both.ask("list_tokens", where=where, size=pick % 4 + 1, after=None, before=None)
        self.both.ask("list_tokens", where=TokenFilter(), size=2, after=None, before="waitpoint_1")
        self.both.ask("find_token", id_or_name=name)

    # -- what must hold of the model itself

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        with self.both.model.store.read() as tx:
            scheduled = any(each.active for each in tx.schedules() if each.task == "job")
            assert not scheduled or tx.next_due(scheduled=["job"]) is not None
        shared = [run for run in self.both.runs(Status.EXECUTING) if run.queue == "own"]
        counts = Counter(run.concurrency_key for run in shared)
        assert all(count <= 1 for count in counts.values())
