"""The tasks that are measured."""

from typing import Any

from triggerdev import task

EDITION = 0


@task(id="noop")
async def noop(payload: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True}


@task(id="edition")
async def edition(payload: dict[str, Any]) -> int:
    return EDITION
