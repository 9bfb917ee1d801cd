"""`locals` and init functions: what belongs to one attempt, and what to one process."""

import asyncio
import threading
from typing import Any

import pytest

from tests.executor.harness import AsyncEngine, SyncEngine, output_of, start_message
from triggerdev import ContextError, PayloadError, TaskDefinitionError, locals, task, tasks, wait
from triggerdev.sdk.registry import Registry
from triggerdev.worker.executor.project import Project

NUMBER: locals.LocalKey[int] = locals.create("number")


async def test_values_are_those_of_one_attempt_and_survive_waits(registry: Registry) -> None:
    @task
    async def shape() -> Any:
        before = locals.get(NUMBER, "nothing")
        assert locals.set(NUMBER, 5) == 5
        await wait.for_(seconds=1)
        same_name: locals.LocalKey[int] = locals.create("number")

        async def branch() -> int:
            return locals.get_or_raise(NUMBER)

        return [before, await asyncio.create_task(branch()), locals.get_or_throw(same_name)]

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("shape")) == ["nothing", 5, 5]
    again = AsyncEngine(registry)
    assert output_of(await again.run("shape", record=engine.record)) == ["nothing", 5, 5]


async def test_runs_side_by_side_do_not_see_each_others_values(registry: Registry) -> None:
    met = asyncio.Barrier(20)

    @task
    async def shape(payload: int) -> Any:
        locals.set(NUMBER, payload)
        await met.wait()
        return locals.get(NUMBER)

    engine = AsyncEngine(registry)
    for number in range(20):
        engine.executor.handle(start_message("shape", number, id=f"run_{number}"))
    await engine.until("done", 20)
    assert {done["run"]: output_of(done) for done in engine.sent("done")} == {
        f"run_{number}": number for number in range(20)
    }


def test_a_plain_function_begins_with_none(registry: Registry) -> None:
    @task
    def plain(payload: int) -> Any:
        before = locals.get(NUMBER)
        locals.set(NUMBER, payload)
        wait.sync.for_(seconds=1)
        return [before, locals.get(NUMBER)]

    engine = SyncEngine(registry)
    outputs = []
    for number in range(2):
        engine._token = 1
        outputs.append(output_of(engine.run("plain", number)))
    assert outputs == [[None, 0], [None, 1]]


async def test_a_value_that_nobody_has_set_is_named(registry: Registry) -> None:
    @task
    async def shape() -> None:
        locals.get_or_raise(NUMBER)

    done = await AsyncEngine(registry).run("shape")
    assert "nothing is set for 'number' in this attempt" in done["error"]["message"]


def test_outside_of_runs_nothing_is_kept() -> None:
    assert locals.get(NUMBER) is None
    with pytest.raises(ContextError, match="nothing is set for 'number'"):
        locals.get_or_raise(NUMBER)
    with pytest.raises(ContextError, match=r"locals\.set\(\) is only possible inside a task's run"):
        locals.set(NUMBER, 1)


def test_what_is_no_key_is_named() -> None:
    wrong: Any = "number"
    for call in (locals.get, locals.get_or_raise):
        with pytest.raises(PayloadError, match="key='number' is no key of locals"):
            call(wrong)
    with pytest.raises(PayloadError, match="key=5 is no key of locals"):
        locals.set(5, 1)  # type: ignore[arg-type]  # what it must refuse
    for name in ("", 5, None):
        with pytest.raises(PayloadError, match=r"locals\.create\(name="):
            locals.create(name)  # type: ignore[arg-type]  # what it must refuse


# -- init functions


async def test_an_init_function_is_called_once_for_all_runs_of_a_process(registry: Registry) -> None:
    calls: list[str] = []
    may_go_on = asyncio.Event()

    @tasks.init
    async def connect() -> dict[str, int]:
        calls.append("async")
        await may_go_on.wait()
        return {"connections": len(calls)}

    tasks.init("plain one", lambda: calls.append("plain"))

    @task
    async def shape(payload: int, init: Any) -> Any:
        return [payload, init]

    engine = AsyncEngine(registry)
    for number in range(10):
        engine.executor.handle(start_message("shape", number, id=f"run_{number}"))
    await asyncio.sleep(0)
    assert engine.sent("done") == []
    may_go_on.set()
    await engine.until("done", 10)
    assert sorted(map(output_of, engine.sent("done"))) == [[n, {"connections": 1}] for n in range(10)]
    engine.start("shape", 10)
    assert output_of(await engine.until("done", 11)) == [10, {"connections": 1}]
    assert calls == ["async", "plain"]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_one_that_fails_fails_the_attempt_and_is_tried_again(registry: Registry, kind: str) -> None:
    calls: list[int] = []

    @tasks.init
    async def connect() -> str:
        calls.append(len(calls))
        if len(calls) < 2:
            raise ConnectionError("no database")
        return "open"

    if kind == "async":

        @task(id="shape")
        async def of_coroutine(init: Any) -> Any:
            return init

        engine = AsyncEngine(registry)
        failed = await engine.run("shape")
        assert (failed["outcome"], failed["error"]["message"]) == ("failed", "no database")
        engine.messages.clear()
        ended = [output_of(await engine.run("shape"))]
        engine.messages.clear()
        ended.append(output_of(await engine.run("shape")))
    else:

        @task(id="shape")
        def of_function(init: Any) -> Any:
            return init

        blocking = SyncEngine(registry)
        failed = await asyncio.to_thread(blocking.run, "shape")
        assert (failed["outcome"], failed["error"]["message"]) == ("failed", "no database")
        ended = [output_of(await asyncio.to_thread(blocking.run, "shape")) for _ in range(2)]
    assert ended == ["open", "open"]
    assert calls == [0, 1]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_it_belongs_to_no_run(registry: Registry, kind: str) -> None:
    problems: list[str] = []

    @tasks.init
    async def connect() -> None:
        try:
            await tasks.trigger_and_wait("child")
        except ContextError as error:
            problems.append(str(error))

    if kind == "async":

        @task(id="shape")
        async def of_coroutine() -> None: ...

        async_engine = AsyncEngine(registry)
        await async_engine.run("shape")
        assert async_engine.sent("op") == []
    else:

        @task(id="shape")
        def of_function() -> None: ...

        blocking = SyncEngine(registry)
        await asyncio.to_thread(blocking.run, "shape")
        assert blocking.sent("op") == []
    assert "only possible inside a task's run" in problems[0]


async def test_the_configs_init_is_of_the_process_unless_it_takes_payload_or_ctx(registry: Registry) -> None:
    calls: list[str] = []

    @task
    async def shape(init: Any) -> Any:
        return init

    def of_process() -> str:
        calls.append("process")
        return "process"

    def of_attempt(payload: Any) -> str:
        calls.append("attempt")
        return "attempt"

    for init in (of_process, of_attempt):
        engine = AsyncEngine(registry, init=init)
        for _ in range(2):
            engine.messages.clear()
            assert output_of(await engine.run("shape")) == init.__name__.removeprefix("of_")
    assert calls == ["process", "attempt", "attempt"]


def test_an_init_that_wants_a_run_is_reported(registry: Registry) -> None:
    tasks.init(lambda ctx: None)
    ((_, _, error),) = Project.of(registry, {"root": ""}).check()
    assert "has a parameter 'ctx', but tasks.init functions are called once in a process" in str(error)


def test_plain_functions_in_threads_share_one_init(registry: Registry) -> None:
    calls: list[int] = []
    tasks.init(lambda: calls.append(threading.get_ident()))

    @task
    def plain() -> None: ...

    project = SyncEngine(registry).executor.project
    engines = [SyncEngine(registry) for _ in range(8)]
    for engine in engines:
        engine.executor.project = project
    threads = [threading.Thread(target=engine.run, args=("plain",)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


# -- registering hooks for all tasks


def test_hooks_are_registered_with_and_without_names(registry: Registry) -> None:
    def one() -> None: ...

    def two() -> None: ...

    assert tasks.on_start(one) is one
    assert tasks.on_start("log", one) is one
    assert tasks.on_start("log")(two) is two
    assert tasks.on_start("other")(one) is one
    assert registry.hooks == {"on_start": [one, two, one]}


@pytest.mark.parametrize("register", [tasks.on_start, tasks.middleware, tasks.catch_error, tasks.init])
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("", print), "name=''"),
        ((5, print), "name=5"),
        ((None,), "name=None"),
        (("name", "print"), "'print' is no function"),
    ],
)
def test_what_is_no_hook_or_name_is_named(
    registry: Registry, register: Any, arguments: Any, problem: str
) -> None:
    with pytest.raises(TaskDefinitionError, match=problem) as caught:
        register(*arguments)
    assert str(caught.value).startswith("tasks.")
    assert registry.hooks == {}
