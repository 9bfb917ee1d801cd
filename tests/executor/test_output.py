"""What runs print and log, and what they raise."""

import asyncio
import sys
import threading
from typing import Any

import pytest

from tests.executor.harness import ROOT, AsyncEngine, capture
from triggerdev import logger, task, wait
from triggerdev.sdk.registry import Registry


async def test_lines_belong_to_the_run_that_printed_them(registry: Registry) -> None:
    @task
    async def talk(payload: str) -> None:
        for number in range(3):
            print(payload, number)
            await asyncio.sleep(0)
        await asyncio.to_thread(print, payload, "from a thread")
        print(payload, "no newline", end="", file=sys.stderr)

    engine = AsyncEngine(registry)
    with capture():
        for run in ("a", "b"):
            start = {"id": f"run_{run}", "token": 1, "task": "talk", "attempt": 2, "payload": f'"{run}"'}
            engine.executor.handle({"t": "start", "run": start})
        await engine.until("done", 2)
    lines = [line for batch in engine.sent("logs") for line in batch["lines"]]
    for run in ("a", "b"):
        own = [line for line in lines if line["run"] == f"run_{run}"]
        expected = [f"{run} {number}" for number in range(3)] + [f"{run} from a thread", f"{run} no newline"]
        assert [line["message"] for line in own] == expected
        assert [line["stream"] for line in own] == ["stdout"] * 4 + ["stderr"]
        assert {line["attempt"] for line in own} == {2}


async def test_lines_travel_in_batches_and_before_the_end(registry: Registry) -> None:
    @task
    async def talk() -> None:
        for number in range(150):
            print(number)

    engine = AsyncEngine(registry)
    with capture():
        await engine.run("talk")
    assert [len(batch["lines"]) for batch in engine.sent("logs")] == [64, 64, 22]
    assert engine.messages[-1]["t"] == "done"


def test_text_outside_of_runs_passes_through(capsys: pytest.CaptureFixture[str]) -> None:
    with capture():
        print("from outside")
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        sys.stderr.writelines(["no run\n"])
    shown = capsys.readouterr()
    assert shown.out == "from outside\nfrom a thread\n"
    assert shown.err == "no run\n"


async def test_the_logger_sends_levels_and_properties(registry: Registry) -> None:
    @task
    async def talk() -> None:
        logger.debug("hidden at level info")
        logger.info("started", {"user": 1})
        logger.error("wrong")

    engine = AsyncEngine(registry)
    await engine.run("talk")
    lines: list[dict[str, Any]] = [line for batch in engine.sent("logs") for line in batch["lines"]]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "started"),
        ("error", "wrong"),
    ]
    assert lines[0]["data"] == {"user": 1}


async def test_the_log_level_is_the_projects(registry: Registry) -> None:
    @task
    async def talk() -> None:
        logger.debug("debug")
        logger.warn("warn")

    engine = AsyncEngine(registry, {"root": ROOT, "log_level": "debug"})
    await engine.run("talk")
    assert engine.lines == ["debug", "warn"]


class CustomError(Exception):
    pass


def helper() -> None:
    raise CustomError("deep")


async def test_an_error_shows_the_users_frames_first(registry: Registry) -> None:
    @task
    async def fails() -> None:
        try:
            helper()
        except CustomError as error:
            raise ValueError("outer") from error

    error = (await AsyncEngine(registry).run("fails"))["error"]
    assert (error["type"], error["name"], error["message"]) == ("BUILT_IN_ERROR", "ValueError", "outer")
    stack = error["stackTrace"].splitlines()
    assert stack[0] == "ValueError: outer"
    assert stack[1].startswith('  File "test_output.py", line ')
    assert stack[-1].endswith("frames of triggerdev)")
    assert error["location"].startswith("test_output.py:")
    assert error["sourceLine"] == 'raise ValueError("outer") from error'
    (cause,) = error["causes"]
    assert (cause["name"], cause["message"]) == ("CustomError", "deep")
    assert "helper" in cause["stackTrace"]


async def test_an_error_of_a_task_group_names_what_is_inside(registry: Registry) -> None:
    @task
    async def fails() -> None:
        async def child() -> None:
            await wait.for_(seconds=1)
            helper()

        async with asyncio.TaskGroup() as group:
            group.create_task(child())

    error = (await AsyncEngine(registry).run("fails"))["error"]
    assert error["name"] == "ExceptionGroup"
    assert "CustomError: deep" in error["message"]
    assert error["location"].startswith("test_output.py:")


async def test_long_and_hostile_errors_are_bounded(registry: Registry) -> None:
    class Nasty(Exception):  # noqa: N818 - a user's class
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @task
    async def nasty() -> None:
        raise Nasty

    @task
    async def long() -> None:
        raise ValueError("x" * 100_000)

    @task
    async def deep() -> None:
        def down(level: int) -> None:
            if level:
                down(level - 1)
            raise ValueError("bottom")

        down(200)

    engine = AsyncEngine(registry)
    assert "no message" in (await engine.run("nasty"))["error"]["message"]
    engine.messages.clear()
    assert len((await engine.run("long"))["error"]["message"]) == 1000
    engine.messages.clear()
    assert (await engine.run("deep"))["error"]["stackTrace"].count("  File ") == 50


async def test_a_refused_operation_raises_the_engines_error(registry: Registry) -> None:
    from triggerdev import UnknownTaskError, tasks

    @task
    async def hopeful() -> str:
        try:
            await tasks.trigger("missing")
        except UnknownTaskError as error:
            return str(error)
        return "?"

    engine = AsyncEngine(registry)
    engine.refuse["trigger"] = ("UnknownTaskError", "Task 'missing' not found.")
    assert (await engine.run("hopeful"))["output"] == "\"Task 'missing' not found.\""
