"""A stand-in for engine and supervisor: it answers operations by their meaning and keeps the record."""

import asyncio
import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from triggerdev.protocol import Message, OpRecord, WorkerSettings, is_refusal
from triggerdev.sdk.registry import Registry
from triggerdev.worker.executor.async_executor import AsyncExecutor
from triggerdev.worker.executor.capture import install_capture
from triggerdev.worker.executor.project import Project
from triggerdev.worker.executor.sync_executor import SyncExecutor

ROOT = __file__.rpartition("/")[0]
Child = Callable[[Any], dict[str, Any]]


def ok(output: Any, run: str = "run_child", task: str = "child") -> dict[str, Any]:
    """A child's success, as the engine tells it."""
    return {
        "ok": True,
        "id": run,
        "task": task,
        "output": json.dumps(output),
        "output_type": "application/json",
    }


def failed(message: str, run: str = "run_child", task: str = "child") -> dict[str, Any]:
    """A child's failure, as the engine tells it."""
    error = {"type": "BUILT_IN_ERROR", "name": "ValueError", "message": message}
    return {"ok": False, "id": run, "task": task, "error": error}


class Engine:
    """Performs operations; `held` names kinds whose waits a test completes itself."""

    def __init__(self) -> None:
        self.record: list[OpRecord] = []
        self.messages: list[Message] = []
        self.metadata: dict[str, Any] = {}
        self.held: set[str] = set()
        self.children: dict[str, Child] = {}
        self.refuse: dict[str, tuple[str, str]] = {}
        self._made = ""

    def sent(self, kind: str) -> list[Message]:
        return [message for message in self.messages if message["t"] == kind]

    @property
    def lines(self) -> list[str]:
        return [line["message"] for batch in self.sent("logs") for line in batch["lines"]]

    def find(self, op: str) -> OpRecord:
        return next(record for record in self.record if record["op"] == op)

    def reply_to(self, message: Message) -> Message:
        """Do an operation once and answer it."""
        reply: Message = {key: message[key] for key in ("id", "run", "token")} | {"t": "reply"}
        if self.refuse.get(message["kind"], ("",))[0] == "stale":
            return reply | {"error": "not yours", "error_kind": "stale"}
        known = [record for record in self.record if record["op"] == message["op"]]
        record = known[0] if known else self._perform(message)
        if not record["done"]:
            return reply | {"pending": True}
        return reply | (record["result"] if is_refusal(record["result"]) else {"result": record["result"]})

    def _perform(self, message: Message) -> OpRecord:
        kind, target = message["kind"], message["target"]
        record: OpRecord = {"op": message["op"], "kind": kind, "target": target, "done": True}
        if "heard" in message:
            record["heard"] = message["heard"]
        if kind in ("wait", "wait_token", "trigger_and_wait", "batch_trigger_and_wait"):
            record["done"] = False
        self._made = message["op"]
        record["result"] = self._result(kind, target, message["args"])
        if kind in self.refuse:
            record["done"] = True
            record["result"] = {"error": self.refuse[kind][1], "error_kind": self.refuse[kind][0]}
        self.record.append(record)
        return record

    def _result(self, kind: str, target: str | None, args: dict[str, Any]) -> Any:
        match kind:
            case "wait":
                return None
            case "wait_token":
                return {"ok": True, "output": '"approved"', "output_type": "application/json"}
            case "trigger_and_wait":
                return self._child(str(target), args)
            case "batch_trigger" | "batch_trigger_and_wait":
                return self._batch(kind, args["items"])
            case "metadata":
                for change in args.get("operations", ()):
                    self._change(change)
                base = {"base": args["base"]} if "base" in args else {}
                return {"metadata": dict(self.metadata), **base}
            case "step":
                return dict(args)
            case "tags":
                return {"tags": args["tags"]}
            case "trigger" | "create_token":
                return {"id": f"{kind} {self._made}", "is_cached": False}
            case _:
                return {"ok": True}

    def _batch(self, kind: str, items: list[dict[str, Any]]) -> Any:
        batch = f"batch {self._made}"
        if kind == "batch_trigger_and_wait":
            return {"id": batch, "runs": [self._child(item["task"], item) for item in items]}
        ids = [f"run {index} of {batch}" for index, _ in enumerate(items)]
        return {"id": batch, "run_count": len(ids), "runs": ids, "is_cached": False}

    def _child(self, task: str, args: dict[str, Any]) -> dict[str, Any]:
        payload = json.loads(args["payload"]) if args["payload"] else None
        return self.children.get(task, ok)(payload)

    def _change(self, change: dict[str, Any]) -> None:
        old = self.metadata.get(change["key"])
        match change["type"]:
            case "set":
                self.metadata[change["key"]] = change["value"]
            case "increment":
                self.metadata[change["key"]] = (old or 0) + change["value"]
            case "append":
                self.metadata[change["key"]] = [*(old or []), change["value"]]

    def complete_waits(self) -> list[OpRecord]:
        """Complete all waits but the held kinds; gives them."""
        done = [record for record in self.record if not record["done"] and record["kind"] not in self.held]
        for record in done:
            record["done"] = True
        return done


def in_any_order(record: list[OpRecord]) -> list[str]:
    """A record without its order, which branches may change."""
    return sorted(str(sorted({**op, "heard": None}.items())) for op in record)


def start_message(task: str, payload: Any = None, **fields: Any) -> Message:
    """The start of a run "run_1" under token 1; `fields` change it."""
    run = {
        "id": "run_1",
        "token": 1,
        "task": task,
        "attempt": 1,
        "max_attempts": 1,
        "payload": None if payload is None else json.dumps(payload),
        "payload_type": "application/json",
        "version": "v1",
        "record": [],
    }
    return {"t": "start", "run": run | fields}


class AsyncEngine(Engine):
    """An engine around an AsyncExecutor on the running loop."""

    def __init__(self, registry: Registry, settings: WorkerSettings | None = None, **options: Any) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.project = Project.of(registry, settings or {"root": ROOT}, **options)
        self.executor = AsyncExecutor(self.project, self)
        self.executor.flush_seconds = 0.001
        self.auto_resume = True
        self._token = 1
        self._changed = asyncio.Event()

    def send(self, message: Message) -> None:
        self.loop.call_soon_threadsafe(self._take, message)

    def _take(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()
        if message["t"] == "op":
            self.executor.handle(self.reply_to(message))
        elif message["t"] == "park" and self.auto_resume:
            self.resume()

    def resume(self, ops: list[OpRecord] | None = None) -> None:
        """Complete the waits that are not held, and let the run go on under a new token."""
        woken = ops is not None
        ops = self.complete_waits() if ops is None else ops
        if ops or woken:
            self._token += 1
            old = self._token - 1
            message = {"t": "resume", "run": "run_1", "old": old, "token": self._token, "ops": ops}
            self.executor.handle(message)

    def start(self, task: str, payload: Any = None, **fields: Any) -> None:
        self.record = list(fields.get("record", []))
        self.executor.handle(start_message(task, payload, **fields))

    async def until(self, kind: str, count: int = 1) -> Message:
        """Wait for a message of a kind, and give the latest of them."""
        async with asyncio.timeout(5):
            while len(self.sent(kind)) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.sent(kind)[-1]

    async def run(self, task: str, payload: Any = None, **fields: Any) -> Message:
        """Start a run and give its done message."""
        self.start(task, payload, **fields)
        return await self.until("done")


class SyncEngine(Engine):
    """An engine around a SyncExecutor: receiving gives the answers to what was sent."""

    def __init__(self, registry: Registry, settings: WorkerSettings | None = None, **options: Any) -> None:
        super().__init__()
        self.executor = SyncExecutor(Project.of(registry, settings or {"root": ROOT}, **options), self)
        self.on_park: Callable[[], None] = self.resume
        self._token = 1
        self.inbox: deque[Message] = deque()

    def send(self, message: Message) -> None:
        self.messages.append(message)
        if message["t"] == "op":
            self.inbox.append(self.reply_to(message))
        elif message["t"] == "park":
            self.on_park()

    def receive(self) -> Message:
        return self.inbox.popleft()

    def resume(self) -> None:
        self._token += 1
        ops = self.complete_waits()
        old = self._token - 1
        self.inbox.append({"t": "resume", "run": "run_1", "old": old, "token": self._token, "ops": ops})

    def run(self, task: str, payload: Any = None, **fields: Any) -> Message:
        """Execute a run and give its done message."""
        self.record = list(fields.get("record", []))
        self.executor.execute(start_message(task, payload, **fields))
        return self.messages[-1]


@contextmanager
def capture() -> Iterator[None]:
    """Have the streams captured, as in a worker; pytest puts its own in place before each test."""
    real = sys.stdout, sys.stderr
    install_capture()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = real


def output_of(done: Message) -> Any:
    """The output of a successful run."""
    assert done["outcome"] == "ok", done
    return None if done["output"] is None else json.loads(done["output"])
