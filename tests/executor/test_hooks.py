"""Lifecycle hooks: order, retries, errors."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, SyncEngine, output_of
from triggerdev import AbortTaskRunError, Retry, task
from triggerdev.protocol import Message
from triggerdev.sdk.registry import Registry

NAMES = ["on_start", "on_start_attempt", "on_success", "on_failure", "on_complete"]


def note(seen: list[str], who: str) -> dict[str, Any]:
    def hook(name: str) -> Any:
        async def call(payload: Any, **rest: Any) -> None:
            seen.append(f"{who} {name}")

        return call

    return {name: hook(name) for name in NAMES}


async def run_either(kind: str, registry: Registry, body: Any, options: Any, **fields: Any) -> Message:
    """Run a body as a coroutine or as a plain function, with the same hooks."""
    hooks = options.pop("global_hooks", {})
    if kind == "async":

        @task(id="hooked", **options)
        async def of_coroutine(payload: Any = None) -> Any:
            return body()

        return await AsyncEngine(registry, hooks=hooks).run("hooked", {"n": 1}, **fields)

    @task(id="hooked", **options)
    def of_function(payload: Any = None) -> Any:
        return body()

    def execute() -> Message:
        return SyncEngine(registry, hooks=hooks).run("hooked", {"n": 1}, **fields)

    return await asyncio.to_thread(execute)


both = pytest.mark.parametrize("kind", ["async", "sync"])


def boom() -> None:
    raise ValueError("boom")


@both
async def test_hooks_of_the_project_come_before_those_of_the_task(registry: Registry, kind: str) -> None:
    seen: list[str] = []
    common = {name: [hook] for name, hook in note(seen, "global").items()}

    async def middleware(payload: Any, next: Any) -> None:
        seen.append("middleware before")
        await next()
        seen.append("middleware after")

    def run() -> int:
        seen.append("run")
        return 7

    options = {"global_hooks": common, "middleware": middleware, **note(seen, "task")}
    done = await run_either(kind, registry, run, options)
    assert output_of(done) == 7
    assert seen == [
        "middleware before",
        *["global on_start", "task on_start", "global on_start_attempt", "task on_start_attempt"],
        "run",
        *["global on_success", "task on_success", "global on_complete", "task on_complete"],
        "middleware after",
    ]


@both
async def test_on_start_is_for_the_first_attempt_and_those_of_the_end_are_for_the_last(
    registry: Registry, kind: str
) -> None:
    seen: list[str] = []
    await run_either(kind, registry, boom, note(seen, "task"), attempt=2, max_attempts=3)
    assert seen == ["task on_start_attempt"]


async def test_on_failure_runs_when_no_retry_is_left(registry: Registry) -> None:
    seen: list[str] = []
    await run_either("async", registry, boom, note(seen, "task"), attempt=3, max_attempts=3)
    assert seen == ["task on_start_attempt", "task on_failure", "task on_complete"]


@both
async def test_plain_middleware_works_too(registry: Registry, kind: str) -> None:
    def middleware(next: Any) -> Any:
        return next()

    assert output_of(await run_either(kind, registry, lambda: 7, {"middleware": middleware})) == 7


@both
async def test_an_error_passes_through_middleware(registry: Registry, kind: str) -> None:
    seen: list[str] = []

    async def middleware(next: Any) -> None:
        try:
            await next()
        finally:
            seen.append("cleaned up")

    done = await run_either(kind, registry, boom, {"middleware": middleware})
    assert (done["error"]["name"], done["error"]["message"], seen) == ("ValueError", "boom", ["cleaned up"])


async def test_a_middleware_of_its_own_error_is_named(registry: Registry) -> None:
    done = await run_either("async", registry, lambda: 7, {"middleware": lambda next: 1 / 0})
    assert done["error"]["code"] == "TASK_MIDDLEWARE_ERROR"
    assert "ZeroDivisionError" in done["error"]["message"]


@pytest.mark.parametrize("name", ["on_start", "on_start_attempt"])
async def test_an_error_before_the_run_fails_the_attempt(registry: Registry, name: str) -> None:
    done = await run_either("async", registry, lambda: 7, {name: boom})
    assert (done["outcome"], done["error"]["name"]) == ("failed", "ValueError")


@pytest.mark.parametrize("name", ["on_success", "on_complete"])
async def test_an_error_after_the_run_is_logged_and_ignored(registry: Registry, name: str) -> None:
    options: Any = {name: boom}

    @task(id="hooked", **options)
    async def hooked() -> int:
        return 7

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("hooked")) == 7
    (line,) = engine.lines
    assert line.startswith(f"{name} hook failed and is ignored: ValueError: boom (test_hooks.py:")


MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"skip_retrying": True}, {"skip_retry": True}),
        ({"skipRetrying": True}, {"skip_retry": True}),
        ({"retry_at": MOMENT}, {"retry_at": round(MOMENT.timestamp() * 1000)}),
        ({"retryAt": MOMENT}, {"retry_at": round(MOMENT.timestamp() * 1000)}),
        ({"retry_delay_in_ms": 50}, {"retry_delay_ms": 50}),
        ({"retry": Retry(max_attempts=7)}, {"retry": Retry(max_attempts=7).info()}),
        ({"retry": {"maxAttempts": 7}}, {"retry": Retry(max_attempts=7).info()}),
        (None, {}),
    ],
)
async def test_catch_error_decides_about_the_retry(
    registry: Registry, answer: Any, expected: dict[str, Any]
) -> None:
    done = await run_either("async", registry, boom, {"catch_error": lambda error: answer})
    assert {key: done[key] for key in done.keys() & _DECISIONS} == expected


_DECISIONS = {"skip_retry", "retry_at", "retry_delay_ms", "retry"}


async def test_the_tasks_own_catch_error_is_asked_first(registry: Registry) -> None:
    options = {
        "catch_error": lambda error: {"retry_delay_in_ms": 1},
        "global_hooks": {"catch_error": [lambda error: {"retry_delay_in_ms": 2}]},
    }
    assert (await run_either("async", registry, boom, options))["retry_delay_ms"] == 1


async def test_abort_raised_in_catch_error_fails_without_retry(registry: Registry) -> None:
    async def catch(payload: Any, error: Exception) -> None:
        raise AbortTaskRunError("Cannot retry this error") from error

    done = await run_either("async", registry, boom, {"catch_error": catch}, max_attempts=5)
    assert (done["skip_retry"], done["error"]["name"]) == (True, "AbortTaskRunError")
    assert done["error"]["causes"][0]["message"] == "boom"


@pytest.mark.parametrize(
    ("catch", "message"),
    [
        (lambda error: 1 / 0, "ZeroDivisionError"),
        (lambda error: "yes", "returned 'yes'"),
        (lambda error: {"retyr": 1}, "unknown key 'retyr'"),
        (lambda error: {"retry_delay_in_ms": -1}, "retry_delay_in_ms=-1"),
        (lambda error: {"retry_delay_in_ms": "1s"}, "retry_delay_in_ms='1s'"),
        (lambda error: {"retry_at": True}, "retry_at=True"),
        (lambda error: {"retry_at": float("nan")}, "retry_at=nan"),
        (lambda error: {"retry_at": "tomorrow"}, "retry_at='tomorrow'"),
        (lambda error: {"retry": {"max_attempts": 0}}, "max_attempts=0"),
        (lambda error: {"error": "text"}, "error='text'"),
    ],
)
async def test_a_broken_catch_error_is_named_and_final(registry: Registry, catch: Any, message: str) -> None:
    done = await run_either("async", registry, boom, {"catch_error": catch})
    assert (done["error"]["code"], done["skip_retry"]) == ("HANDLE_ERROR_ERROR", True)
    assert message in done["error"]["message"]


@both
@pytest.mark.parametrize("answer", [LookupError("better"), {"error": LookupError("better")}])
async def test_catch_error_may_give_another_error(registry: Registry, kind: str, answer: Any) -> None:
    heard: list[str] = []
    options: Any = {
        "catch_error": lambda error: answer,
        "on_complete": lambda error: heard.append(str(error)),
    }
    done = await run_either(kind, registry, boom, options)
    assert (done["error"]["name"], done["error"]["message"], heard) == ("LookupError", "better", ["better"])
    assert "skip_retry" not in done


async def test_an_abort_as_the_other_error_ends_the_run(registry: Registry) -> None:
    done = await run_either("async", registry, boom, {"catch_error": lambda: AbortTaskRunError("no")})
    assert (done["error"]["name"], done["skip_retry"]) == ("AbortTaskRunError", True)


async def test_abort_in_the_run_skips_retries(registry: Registry) -> None:
    def abort() -> None:
        raise AbortTaskRunError("enough")

    done = await run_either("async", registry, abort, {}, max_attempts=5)
    assert done["skip_retry"] is True


async def test_init_gives_a_value_to_the_run_and_the_hooks(registry: Registry) -> None:
    @task(id="with-init", on_success=lambda init, output: seen.append((init, output)))
    async def with_init(payload: Any, init: Any) -> str:
        return f"{init['db']} {payload}"

    seen: list[Any] = []
    engine = AsyncEngine(registry, init=lambda payload: {"db": "open"})
    assert output_of(await engine.run("with-init", 1)) == "open 1"
    assert seen == [({"db": "open"}, "open 1")]
