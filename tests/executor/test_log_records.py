"""Python's logging inside runs: level and extra are kept, the console gets nothing twice."""

import io
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.executor.harness import ROOT, AsyncEngine, capture
from triggerdev import logger, task
from triggerdev.sdk.registry import Registry
from triggerdev.worker.executor.log_records import capture_logging


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger of its own, whose records runs get."""
    original = logging.Logger.callHandlers
    capture_logging()
    found = logging.getLogger("tests.app")
    found.setLevel(logging.DEBUG)
    found.propagate = False
    yield found
    logging.Logger.callHandlers = original  # type: ignore[method-assign]  # put back
    found.handlers.clear()


async def lines_of(engine: AsyncEngine, name: str) -> list[dict[str, Any]]:
    with capture():
        await engine.run(name)
    return [line for batch in engine.sent("logs") for line in batch["lines"]]


async def test_records_keep_their_order_level_and_extra(registry: Registry, log: logging.Logger) -> None:
    @task
    async def work() -> None:
        print("one")
        log.debug("two")
        log.info("three %d", 3, extra={"user": "Ada"})
        print("four", file=sys.stderr)
        log.warning("five")
        logger.error("six", {"n": 6})
        try:
            raise ValueError("no")
        except ValueError:
            log.exception("seven")
        log.critical("eight")

    engine = AsyncEngine(registry, {"root": ROOT, "log_level": "debug"})
    lines = await lines_of(engine, "work")
    shown = [(line["message"].splitlines()[0], line["stream"], line.get("level")) for line in lines]
    assert shown == [
        ("one", "stdout", None),
        ("two", "log", "debug"),
        ("three 3", "log", "info"),
        ("four", "stderr", None),
        ("five", "log", "warn"),
        ("six", "log", "error"),
        ("seven", "log", "error"),
        ("eight", "log", "error"),
    ]
    assert lines[2]["data"] == {"logger": "tests.app", "user": "Ada"}
    assert lines[6]["message"].endswith("ValueError: no")


async def test_handlers_that_write_to_the_console_are_passed_over_and_others_called(
    registry: Registry, log: logging.Logger
) -> None:
    file = io.StringIO()

    @task
    async def work() -> None:
        log.addHandler(logging.StreamHandler())  # as basicConfig does in a task
        log.addHandler(logging.StreamHandler(file))
        log.warning("once")

    lines = await lines_of(AsyncEngine(registry), "work")
    assert [line["message"] for line in lines] == ["once"]
    assert file.getvalue() == "once\n"


async def test_a_record_that_cannot_be_formatted_is_told(registry: Registry, log: logging.Logger) -> None:
    @task
    async def work() -> None:
        log.warning("%d", "no number")

    (line,) = await lines_of(AsyncEngine(registry), "work")
    assert line["message"].startswith("A record of logger 'tests.app' cannot be shown: TypeError")


def test_outside_of_runs_records_go_where_they_always_go(log: logging.Logger) -> None:
    file = io.StringIO()
    log.addHandler(logging.StreamHandler(file))
    log.info("outside")
    assert file.getvalue() == "outside\n"
