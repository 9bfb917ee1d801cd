"""`idempotency_keys`: keys that make a second trigger give the first run."""

from typing import Any
from urllib.parse import quote

from triggerdev import protocol
from triggerdev.errors import NoSuchRunError, NotFoundError
from triggerdev.sdk import http, keys, session
from triggerdev.sdk.calls import operation
from triggerdev.sdk.keys import IdempotencyKey, Key, Scope

__all__ = ["IdempotencyKey", "create", "reset", "sync"]


@operation("idempotency_keys.create")
async def create(key: Key, *, scope: Scope = "run") -> IdempotencyKey:
    """Make a key that is unique in this run with its retries, in this attempt, or everywhere ("global").

    Of a list, the texts are joined. Outside of runs every key is unique everywhere. Raises PayloadError.
    """
    return keys.make(key, scope)


@operation("idempotency_keys.reset")
async def reset(
    task: Any,
    key: Key,
    *,
    scope: Scope | None = None,
    parent_run_id: str | None = None,
    attempt_number: int | None = None,
) -> None:
    """Free a key of a task, given by id or as a Task, so that the next trigger with it makes a new run.

    The key is what `create` gave, or what it was made of, with its `scope` ("run") and, for a key of another
    run, that run's id and the number of its attempt. Raises NotFoundError if the task has no such key.
    """
    task_id = task if isinstance(task, str) else str(task.id)
    wanted = _wanted(key, scope, parent_run_id, attempt_number)
    running = session.current()
    if running is not None:
        try:
            await running.operate(protocol.RESET_KEY, task_id, {"key": str(wanted)})
        except NoSuchRunError as error:
            raise NotFoundError(404, str(error)) from None
        return
    path = f"/api/v1/idempotencyKeys/{quote(wanted, safe='')}/reset"
    await http.request("POST", path, json={"taskIdentifier": task_id})


def _wanted(key: Key, scope: Scope | None, run_id: str | None, attempt: int | None) -> str:
    finished = keys.hashed(key)
    if finished is not None and scope is None:
        return finished
    if run_id is None:
        return keys.make(key, scope or "run")
    keys.check_scope(scope or "run")
    running = session.current()
    number = running.context.attempt.number if attempt is None and running is not None else attempt
    owners = {"run": (run_id,), "attempt": (run_id, str(number or 1)), "global": ()}[scope or "run"]
    return keys.make_for(key, scope or "run", owners)


class _Sync:
    """The same calls for code without an event loop."""

    create = staticmethod(create.blocking)
    reset = staticmethod(reset.blocking)


sync = _Sync()
