"""A worker within the test's process: it speaks the worker protocol to the engine and runs toy tasks."""

import asyncio
from collections.abc import Collection
from typing import Any

from triggerdev import _json
from triggerdev.engine.engine import Engine
from triggerdev.protocol import Manifest, Message, TaskInfo

CRON_TASK = "daily-report"
MANIFEST = Manifest(
    tasks=[
        TaskInfo(
            id="process-data", file="trigger/basic.py", line=21, kind="async", retry={"max_attempts": 1}
        ),
        TaskInfo(id="child-task", file="trigger/basic.py", line=60, kind="async", retry={"max_attempts": 1}),
        TaskInfo(id="held", file="trigger/basic.py", line=90, kind="async"),
        TaskInfo(id="a/b c", file="trigger/odd.py", line=1, kind="sync", description="An odd name"),
        TaskInfo(
            id=CRON_TASK,
            file="trigger/basic.py",
            line=50,
            kind="async",
            schedule={"cron": "0 9 * * *", "timezone": "America/New_York"},
        ),
    ],
    queues=[{"name": "q1", "concurrency_limit": 5}],
    files=["trigger/basic.py"],
    packages=[],
    threads=[],
    hash="0",
)


def plain(payload: str | None, payload_type: str) -> Any:
    if payload is None or payload_type == "text/plain":
        return payload
    value = _json.loads(payload)
    return value["json"] if payload_type == "application/super+json" else value


class ToyWorker:
    """Runs `process-data` and `child-task` as the seed project does; tasks in `held` end when told to."""

    def __init__(self, engine: Engine, held: Collection[str] = ("held",)) -> None:
        self._held = held
        self.started: dict[str, Message] = {}
        self.news = asyncio.Event()
        self._session = engine.connect("toy", self._deliver, lambda: {"async": 100, "sync": 100})

    async def executing(self, run_id: str) -> None:
        """Wait until a run has started."""
        while run_id not in self.started:
            self.news.clear()
            await self.news.wait()

    def log(self, run_id: str, *messages: str) -> None:
        lines = [{"run": run_id, "attempt": 1, "stream": "stdout", "message": text} for text in messages]
        self._session.receive([{"t": "logs", "lines": lines}])

    def say(self, *messages: Message) -> None:
        self._session.receive(list(messages))

    def tell(self, run_id: str, *spans: Message) -> None:
        """Tell spans of a run."""
        self.say({"t": "spans", "run": run_id, "token": self.started[run_id]["token"], "spans": list(spans)})

    async def trigger(self, run_id: str, task: str, payload: Any, traceparent: str) -> str:
        """Have a run trigger another one in a span; gives that one's id."""
        args = {"payload": _json.dumps(payload), "options": {}, "traceparent": traceparent}
        op = {"t": "op", "id": 1, "op": "0:0", "kind": "trigger", "target": task, "args": args}
        self._reply = asyncio.get_running_loop().create_future()
        self.say({**op, "run": run_id, "token": self.started[run_id]["token"]})
        found: str = (await self._reply)["result"]["id"]
        return found

    def finish(self, run_id: str, **outcome: Any) -> None:
        """End a run's attempt; by default with the output null."""
        token = self.started[run_id]["token"]
        done = {"outcome": "ok", "output": "null", "output_type": "application/json", **outcome}
        self._session.receive([{"t": "done", "run": run_id, "token": token, "usage_ms": 3, **done}])

    def _deliver(self, messages: list[Message]) -> None:
        for message in messages:
            if message["t"] == "start":
                self._start(message["run"])
            elif message["t"] == "reply":
                self._reply.set_result(message)
            elif message["t"] == "cancel":
                self.finish(message["run"], outcome="cancelled")

    def _start(self, run: Message) -> None:
        self.started[run["id"]] = run
        self.news.set()
        if run["task"] in self._held:
            return
        try:
            payload = plain(run["payload"], run["payload_type"])
            output = self._execute(run["task"], payload)
        except Exception as error:
            shown = {"type": "BUILT_IN_ERROR", "name": type(error).__name__, "message": str(error)}
            self.finish(run["id"], outcome="failed", error=shown)
            return
        self.log(run["id"], f"ran {run['task']}")
        self.finish(run["id"], output=_json.dumps(output))

    def _execute(self, task: str, payload: Any) -> Any:
        if task == "process-data":
            return {"processed": len(payload["data"])} if isinstance(payload, dict) else payload
        if task == "child-task" and payload["data"] == "boom":
            raise ValueError("boom")
        return {"processed": payload["data"]} if task == "child-task" else payload
