"""Idempotency keys: what they are made of, and what is none."""

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.sdk.server import Server, answer
from triggerdev import NotFoundError, PayloadError, idempotency_keys, tasks, wait


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_outside_of_runs_a_key_is_its_text_in_every_scope() -> None:
    for scope in ("run", "attempt", "global"):
        key = await idempotency_keys.create(["a", "b"], scope=scope)
        assert (key, key.key, key.scope) == (sha("a-b"), "a-b", scope)


def test_the_blocking_twins_do_the_same() -> None:
    server = Server(answer({"id": "x"}))
    key = idempotency_keys.sync.create("a-b")
    assert key == sha("a-b")
    idempotency_keys.sync.reset("t", key)
    assert server.calls == [f"POST /api/v1/idempotencyKeys/{key}/reset"]


async def test_a_finished_key_is_sent_as_it_is() -> None:
    server = Server(answer({"id": "run_9"}))
    key = await idempotency_keys.create("a", scope="global")
    await tasks.trigger("t", idempotency_key=key)
    assert server.body()["options"]["idempotencyKeyOptions"] == {"key": "a", "scope": "global"}
    await tasks.trigger("t", idempotency_key=sha("a"))
    assert server.body()["options"] == {"payloadType": "application/json", "idempotencyKey": sha("a")}


async def test_freeing_sends_the_key_and_the_task() -> None:
    server = Server(answer({"id": "x"}))
    await idempotency_keys.reset("a/b", await idempotency_keys.create("k"))
    assert server.calls == [f"POST /api/v1/idempotencyKeys/{sha('k')}/reset"]
    assert server.body() == {"taskIdentifier": "a/b"}
    for given, expected in (
        ({"key": "k"}, "k"),
        ({"key": sha("k")}, None),
        ({"key": sha("k"), "scope": "global"}, sha("k")),
        ({"key": ["k", "l"], "scope": "global", "parent_run_id": "run_1"}, "k-l"),
        ({"key": "k", "parent_run_id": "run_1"}, "k-run_1"),
        ({"key": "k", "parent_run_id": "run_1", "scope": "attempt", "attempt_number": 2}, "k-run_1-2"),
        ({"key": "k", "parent_run_id": "run_1", "scope": "attempt"}, "k-run_1-1"),
    ):
        await idempotency_keys.reset("t", **given)
        wanted = sha("k") if expected is None else sha(expected)
        assert server.calls[-1] == f"POST /api/v1/idempotencyKeys/{wanted}/reset", given


async def test_a_key_that_nobody_has_is_an_error() -> None:
    Server(answer({"error": "Idempotency key not found"}, 404))
    with pytest.raises(NotFoundError, match="Idempotency key not found"):
        await idempotency_keys.reset("t", "k")


Keyed = Callable[[Any], Coroutine[Any, Any, Any]]
CALLS: dict[str, Keyed] = {
    "key": idempotency_keys.create,
    "idempotency_key": lambda key: tasks.trigger("t", idempotency_key=key),
    "items[0]: idempotency_key": lambda key: tasks.batch_trigger(
        "t", [{"options": {"idempotency_key": key}}]
    ),
    "idempotency_key ": lambda key: tasks.batch_trigger("t", [{}], idempotency_key=key),
    "idempotency_key  ": lambda key: wait.create_token(idempotency_key=key),
    "name": wait.create_token,
    "key ": lambda key: idempotency_keys.reset("t", key),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "has 0 characters; an idempotency key has 1 to 2,048"),
        ("x" * 2049, "has 2,049 characters; an idempotency key has 1 to 2,048"),
        (5, "=5 is no key: use text"),
        ({"a": 1}, "={'a': 1} is no key: use text"),
        (["a", None], "=['a', None] is no key: use text"),
    ],
)
async def test_what_is_no_key_is_named_with_its_argument(name: str, key: Any, problem: str) -> None:
    with pytest.raises(PayloadError) as caught:
        await CALLS[name](key)
    assert str(caught.value).startswith(name.strip())
    assert problem in str(caught.value)


async def test_what_is_no_scope_is_named() -> None:
    bad: Any = "task"
    for call in (
        idempotency_keys.create("k", scope=bad),
        idempotency_keys.reset("t", "k", scope=bad),
        idempotency_keys.reset("t", "k", scope=bad, parent_run_id="run_1"),
    ):
        with pytest.raises(PayloadError, match=r"scope='task' is no scope .*'run', 'attempt' or 'global'"):
            await call


@pytest.mark.parametrize("ttl", ["soon", -1, "1x"])
async def test_what_is_no_lifetime_is_named(ttl: Any) -> None:
    for call in (
        tasks.trigger("t", idempotency_key="k", idempotency_key_ttl=ttl),
        tasks.batch_trigger("t", [{}], idempotency_key="k", idempotency_key_ttl=ttl),
        wait.create_token("n", idempotency_key_ttl=ttl),
    ):
        with pytest.raises(PayloadError, match="idempotency_key_ttl="):
            await call
