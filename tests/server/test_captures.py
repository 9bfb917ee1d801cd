"""Requests that the official clients sent, sent again: same status, same fields."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.server import ask
from tests.server.conftest import KEY
from tests.server.toy_worker import MANIFEST, ToyWorker
from triggerdev.engine.engine import Engine
from triggerdev.protocol import Manifest, QueueInfo, TaskInfo

GROUPS = json.loads(Path(__file__).with_name("captures.json").read_text())["groups"]
EXTRA_TASKS = ("one", "two", "x", "my-task", "a/b")
EXTRA_QUEUE = QueueInfo(name="my-queue", concurrency_limit=5)
# The stand-in server of the recording gave a run's payload and output in every answer.
NOT_ALWAYS = {"payload", "output"}


@pytest.fixture
async def ids(client: httpx.AsyncClient, engine: Engine, worker: ToyWorker) -> dict[str, str]:
    """One real thing for each kind of id in the recording."""
    extra = [
        TaskInfo(
            id=name,
            file="trigger/extra.py",
            kind="async",
            queue={"name": f"task/{name}", "concurrency_limit": 5},
        )
        for name in EXTRA_TASKS
    ]
    queues = [*MANIFEST["queues"], EXTRA_QUEUE]
    manifest = Manifest(**{**MANIFEST, "tasks": [*MANIFEST["tasks"], *extra], "queues": queues})
    await engine.activate("20261123.2", manifest)
    run_id = await ask.trigger(client, options={"tags": ["user_123"]})
    await ask.finished(client, run_id)
    return {
        "run": run_id,
        "delayed": await ask.trigger(client, options={"delay": "1h"}),
        "batch": (await client.post("/api/v3/batches", json={"runCount": 2})).json()["id"],
        "waitpoint": (await client.post("/api/v1/waitpoints/tokens")).json()["id"],
        "queue": (await client.get("/api/v1/queues")).json()["data"][0]["id"],
        "sched": (await client.get("/api/v1/schedules")).json()["data"][0]["id"],
    }


def path_of(request: dict[str, Any], ids: dict[str, str], group: str) -> str:
    run = ids["delayed"] if "reschedule" in group else ids["run"]
    path = re.sub(r"run_fake\d+", run, request["path"])
    for kind in ("batch", "waitpoint", "sched", "queue"):
        path = re.sub(rf"/{kind}_\w+", f"/{ids[kind]}", path)
    return path


def headers_of(request: dict[str, Any], ids: dict[str, str]) -> dict[str, str]:
    headers = dict(request["headers"])
    who = headers.pop("authorization")
    if who == "token":
        scopes = [f"read:runs:{ids['run']}", "trigger:tasks:process-data", "trigger:tasks:my-task"]
        scopes.append(f"write:waitpoints:{ids['waitpoint']}")
        headers["authorization"] = f"Bearer {token(scopes)}"
    elif who == "key":
        headers["authorization"] = f"Bearer {KEY}"
    return headers


def token(scopes: list[str]) -> str:
    now = int(time.time())
    claims = {"sub": "env_dev", "pub": True, "scopes": scopes, "iat": now, "exp": now + 60}
    issuer = {"iss": "https://id.trigger.dev", "aud": "https://api.trigger.dev"}
    return jwt.encode({**claims, **issuer}, KEY, algorithm="HS256")


def assert_same_shape(ours: Any, recorded: Any, where: str = "answer") -> None:
    """Every recorded field is there, with a value of the recorded kind."""
    if isinstance(recorded, dict):
        for name, value in recorded.items():
            if name not in NOT_ALWAYS and name not in ("next", "nextRun"):
                assert name in ours, f"{where}.{name} is missing"
                assert_same_shape(ours[name], value, f"{where}.{name}")
    elif isinstance(recorded, list):
        assert isinstance(ours, list), where
        for mine, theirs in zip(ours, recorded, strict=False):
            assert_same_shape(mine, theirs, where)
    elif recorded is not None:
        assert type(ours) is type(recorded), where


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["name"])
async def test_recorded_requests_are_understood(
    anonymous: httpx.AsyncClient, ids: dict[str, str], group: dict[str, Any]
) -> None:
    for call in group["calls"]:
        request, recorded = call["request"], call["response"]
        path = path_of(request, ids, group["name"])
        body = request["body"]
        content = body if isinstance(body, str) else json.dumps(body)
        answer = await anonymous.request(
            request["method"], path, headers=headers_of(request, ids), content=content
        )
        assert answer.status_code == recorded["status"], answer.text
        if recorded["status"] < 300:
            assert_same_shape(answer.json(), recorded["body"])
