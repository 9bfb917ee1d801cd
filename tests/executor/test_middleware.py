"""Middleware: what it is around, what it hears, what it cannot change."""

from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, output_of
from tests.executor.test_hooks import boom, both, note, run_either
from triggerdev import AbortTaskRunError, CompleteTaskWithOutput, Context, locals, task, wait
from triggerdev.errors import TaskDefinitionError
from triggerdev.sdk import registry as registries
from triggerdev.sdk.registry import Registry
from triggerdev.worker.executor.project import Project

DATABASE: locals.LocalKey[list[str]] = locals.create("database")


async def test_all_hooks_of_a_success_are_inside(registry: Registry) -> None:
    seen: list[str] = []

    async def around(init: Any, next: Any) -> None:
        assert init is None
        seen.append("open")
        assert await next() == 7
        seen.append("close")

    async def attempt_init(payload: Any) -> str:
        seen.append("init")
        return "value"

    options = {"middleware": around, **note(seen, "task")}

    @task(id="hooked", **options)
    async def hooked() -> int:
        seen.append("run")
        return 7

    assert output_of(await AsyncEngine(registry, init=attempt_init).run("hooked")) == 7
    inside = ["init", "task on_start", "task on_start_attempt", "run", "task on_success", "task on_complete"]
    assert seen == ["open", *inside, "close"]


@both
async def test_all_hooks_of_a_failure_are_inside(registry: Registry, kind: str) -> None:
    seen: list[str] = []

    async def around(next: Any) -> None:
        seen.append("open")
        try:
            await next()
        finally:
            seen.append("close")

    async def catch(error: Exception) -> None:
        seen.append(f"catch {error}")

    options = {"middleware": around, "catch_error": catch, **note(seen, "task")}
    done = await run_either(kind, registry, boom, options)
    assert (done["outcome"], done["error"]["message"]) == ("failed", "boom")
    assert seen == [
        *("open", "task on_start", "task on_start_attempt", "catch boom", "task on_failure"),
        *("task on_complete", "close"),
    ]


@both
async def test_several_are_around_each_other_the_projects_outside(registry: Registry, kind: str) -> None:
    seen: list[str] = []

    def layer(name: str) -> Any:
        async def around(next: Any) -> None:
            seen.append(name)
            await next()
            seen.append(f"/{name}")

        return around

    options = {
        "middleware": [layer("own 1"), layer("own 2")],
        "global_hooks": {"middleware": [layer("global")]},
    }
    assert output_of(await run_either(kind, registry, lambda: 7, options)) == 7
    assert seen == ["global", "own 1", "own 2", "/own 2", "/own 1", "/global"]


@both
async def test_what_it_returns_changes_nothing(registry: Registry, kind: str) -> None:
    async def around(next: Any) -> str:
        await next()
        return "another output"

    assert output_of(await run_either(kind, registry, lambda: 7, {"middleware": around})) == 7


@both
async def test_an_error_that_it_swallows_is_the_runs_all_the_same(registry: Registry, kind: str) -> None:
    seen: list[str] = []

    async def around(next: Any) -> str:
        try:
            await next()
        except ValueError as error:
            seen.append(str(error))
        return "all is well"

    done = await run_either(kind, registry, boom, {"middleware": around}, max_attempts=5)
    assert (done["outcome"], done["error"]["name"], seen) == ("failed", "ValueError", ["boom"])


async def test_an_error_of_its_own_after_that_of_the_run_is_logged(registry: Registry) -> None:
    async def around(next: Any) -> None:
        try:
            await next()
        finally:
            raise RuntimeError("cannot close")

    @task(id="hooked", middleware=around)
    async def hooked() -> None:
        boom()

    engine = AsyncEngine(registry)
    done = await engine.run("hooked")
    assert (done["error"]["name"], done["error"]["message"]) == ("ValueError", "boom")
    assert engine.lines == ["A middleware failed after the run had: RuntimeError: cannot close"]


@both
@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_error_of_its_own_fails_the_attempt(registry: Registry, kind: str, when: str) -> None:
    async def around(next: Any) -> None:
        if when == "after":
            await next()
        raise OSError("no connection")

    done = await run_either(kind, registry, lambda: 7, {"middleware": around}, max_attempts=5)
    assert (done["outcome"], done["error"]["code"]) == ("failed", "TASK_MIDDLEWARE_ERROR")
    assert "OSError: no connection" in done["error"]["message"]
    assert "skip_retry" not in done


@both
async def test_without_the_rest_its_own_result_is_the_runs(registry: Registry, kind: str) -> None:
    seen: list[str] = []

    async def around(payload: Any, next: Any) -> str:
        return "from a cache"

    options = {"middleware": around, **note(seen, "task")}
    assert output_of(await run_either(kind, registry, boom, options)) == "from a cache"
    assert seen == ["task on_success", "task on_complete"]


@both
async def test_a_run_that_completes_itself_is_a_success_to_it(registry: Registry, kind: str) -> None:
    seen: list[Any] = []

    def complete() -> None:
        raise CompleteTaskWithOutput({"enough": True})

    async def around(next: Any) -> None:
        seen.append(await next())

    for place in ("run", "on_start", "on_start_attempt"):
        options: dict[str, Any] = {"middleware": around, "on_success": lambda output: seen.append(output)}
        body = complete if place == "run" else boom
        if place != "run":
            options[place] = complete
        with registries.use(Registry()) as fresh:
            done = await run_either(kind, fresh, body, options)
        assert output_of(done) == {"enough": True}
    assert seen == [{"enough": True}] * 6


@both
async def test_it_may_end_the_run_itself(registry: Registry, kind: str) -> None:
    async def completes(next: Any) -> None:
        try:
            await next()
        except ValueError:
            raise CompleteTaskWithOutput("after all") from None

    assert output_of(await run_either(kind, registry, boom, {"middleware": completes})) == "after all"


async def test_an_abort_of_it_is_final(registry: Registry) -> None:
    async def around(next: Any) -> None:
        raise AbortTaskRunError("not at this time of day")

    done = await run_either("async", registry, boom, {"middleware": around}, max_attempts=5)
    assert (done["error"]["name"], done["skip_retry"]) == ("AbortTaskRunError", True)


@both
async def test_what_it_opens_is_there_for_run_and_hooks(registry: Registry, kind: str) -> None:
    seen: list[str] = []

    async def around(next: Any) -> None:
        database = locals.set(DATABASE, ["open"])
        await next()
        database.append("closed")
        seen.extend(database)

    async def on_success() -> None:
        locals.get_or_raise(DATABASE).append("hook")

    def body() -> None:
        locals.get_or_raise(DATABASE).append("run")

    await run_either(kind, registry, body, {"middleware": around, "on_success": on_success})
    assert seen == ["open", "run", "hook", "closed"]


async def test_waits_in_it_and_inside_are_replayed(registry: Registry) -> None:
    calls: list[str] = []

    def note_(text: str) -> str:
        calls.append(text)
        return text

    async def around(ctx: Context, next: Any) -> None:
        await wait.for_(seconds=1)
        await next()
        await ctx.step("close", note_, "close")

    @task(middleware=around)
    async def shape(ctx: Context) -> str:
        await wait.for_(seconds=1)
        return await ctx.step("work", note_, "work")

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("shape")) == "work"
    for count in range(len(engine.record) + 1):
        again = AsyncEngine(registry)
        assert output_of(await again.run("shape", record=engine.record[:count])) == "work"
        assert [op["op"] for op in again.record] == [op["op"] for op in engine.record]


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        (lambda payload: None, r"test_middleware\.py:\d+: <lambda>\(\) has no parameter 'next'"),
        (lambda nxt: None, "has a parameter 'nxt' that nothing is known for"),
    ],
)
def test_a_signature_that_makes_no_sense_is_reported_once_at_its_place(
    registry: Registry, hook: Any, problem: str
) -> None:
    for name in ("one", "two"):

        @task(id=name)
        async def some() -> None: ...

    project = Project.of(registry, {"root": ""}, {"middleware": [hook]})
    ((file, line, error),) = project.check()
    assert isinstance(error, TaskDefinitionError)
    assert error.args[0].count(f"{file}:{line}") == 1
    with pytest.raises(TaskDefinitionError, match=problem):
        raise error
