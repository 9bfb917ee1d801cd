"""What tests ask a server, in few words."""

from typing import Any

import httpx


async def trigger(client: httpx.AsyncClient, task: str = "process-data", **body: Any) -> str:
    body.setdefault("payload", {"data": [1, 2]})
    answer = await client.post(f"/api/v1/tasks/{task}/trigger", json=body)
    assert answer.status_code == 200, answer.text
    run_id: str = answer.json()["id"]
    return run_id


async def run(client: httpx.AsyncClient, run_id: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/v3/runs/{run_id}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def finished(client: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    """The run, once it is final."""
    found = await run(client, run_id, wait=20)
    assert found["isCompleted"], found
    return found
