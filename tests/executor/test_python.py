"""Programs beside a task: recorded as steps, parts of its trace, and ended with it."""

import asyncio
import copy
import os
from pathlib import Path
from typing import Any

from tests.executor.harness import AsyncEngine, SyncEngine, output_of
from tests.executor.test_endings import order
from tests.executor.test_spans import told
from triggerdev import ScriptError, _traces, python, task
from triggerdev.sdk.registry import Registry

COUNT = "import sys; f = open(sys.argv[1], 'a'); f.write('x'); print(f.tell())"
TRACE = "import os; print(os.environ['TRACEPARENT'], os.environ['OTEL_RESOURCE_ATTRIBUTES'])"


async def test_a_replay_gives_what_the_program_wrote_and_starts_nothing(
    registry: Registry, tmp_path: Path
) -> None:
    file = tmp_path / "count"

    @task
    async def work() -> Any:
        result = await python.run_inline(COUNT, [str(file)])
        assert isinstance(result, python.PythonResult)
        return result.stdout.strip()

    engine = AsyncEngine(registry)
    assert output_of(await engine.run("work")) == "1"
    again = AsyncEngine(registry)
    assert output_of(await again.run("work", record=copy.deepcopy(engine.record))) == "1"
    assert file.read_text() == "x"


def test_a_plain_task_records_it_as_well(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "count"

    @task
    def work() -> str:
        return python.sync.run(["-c", COUNT, str(file)]).stdout.strip()

    engine = SyncEngine(registry)
    assert output_of(engine.run("work")) == "1"
    assert [(op["kind"], op["target"]) for op in engine.record] == [("step", "python.run()")]
    assert output_of(engine.run("work", record=copy.deepcopy(engine.record))) == "1"


async def test_a_failure_that_the_task_has_caught_is_the_same_in_a_replay(registry: Registry) -> None:
    @task
    async def work() -> Any:
        try:
            await python.run_inline("raise SystemExit(4)")
        except ScriptError as error:
            return error.exit_code, str(error)

    engine = AsyncEngine(registry)
    first = output_of(await engine.run("work"))
    assert first == [4, "python.run_inline() exited with code 4 and wrote nothing."]
    again = AsyncEngine(registry)
    assert output_of(await again.run("work", record=copy.deepcopy(engine.record))) == first


async def test_the_program_is_a_part_of_the_runs_trace(registry: Registry) -> None:
    @task
    async def work() -> Any:
        streamed = [line async for line in python.stream.run_inline(TRACE)]
        return [(await python.run_inline(TRACE)).stdout.strip(), *streamed]

    engine = AsyncEngine(registry)
    recorded, streamed = output_of(await engine.run("work"))
    spans = [span for batch in engine.sent("spans") for span in batch["spans"]]
    ids = {span["kind"]: span["id"] for span in spans}
    trace = _traces.trace_of("run_1", None)
    assert recorded == f"00-{trace}-{ids['step']}-01 trigger.run_id=run_1,trigger.task_id=work"
    assert streamed.startswith(f"00-{trace}-{ids['user']}-01 ")
    assert told(engine)["python.run_inline()"]["parent"] == _traces.attempt_span("run_1", 1)


async def test_a_run_that_is_cancelled_while_a_program_starts_ends_at_once(registry: Registry) -> None:
    @task
    async def work() -> None:
        cancel = order("cancel", reason="cancelled")
        asyncio.get_running_loop().call_soon(engine.executor.handle, cancel)
        await asyncio.create_subprocess_exec(
            "sleep", "1000", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )

    engine = AsyncEngine(registry)
    engine.executor.grace_seconds = 1000
    assert (await engine.run("work"))["outcome"] == "cancelled"


async def test_a_cancelled_run_ends_its_program(registry: Registry, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = "import os, sys\nopen(sys.argv[1], 'w').write(str(os.getpid()))\nsys.stdin.read()"

    @task
    async def work() -> None:
        await python.run(["-c", f"{code}\nimport threading; threading.Event().wait()", str(fifo)])

    engine = AsyncEngine(registry)
    engine.start("work")
    pid = int(await asyncio.to_thread(fifo.read_text))
    engine.executor.handle(order("cancel", reason="cancelled"))
    assert (await engine.until("done"))["outcome"] == "cancelled"
    assert not Path(f"/proc/{pid}").exists()
