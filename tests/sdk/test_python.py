"""python.run, run_script, run_inline and their streams: out of process, and what goes wrong is said."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from triggerdev import ContextError, ScriptError, UsageError, python
from triggerdev.sdk import programs

ECHO = "import sys; print('out', *sys.argv[1:]); print('err', file=sys.stderr)"
FAIL = "import sys; print('half'); print('what a pity', file=sys.stderr); sys.exit(3)"
ENDLESS = "import os, sys, threading; print(os.getpid(), flush=True); threading.Event().wait()"


@pytest.fixture(autouse=True)
def no_interpreter_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHON_BIN_PATH", raising=False)


async def test_a_program_gives_what_it_wrote() -> None:
    result = await python.run(["-c", ECHO, "a", "b"])
    assert result == python.PythonResult("out a b\n", "err\n", 0)


async def test_inline_code_has_its_arguments_and_imports_from_its_folder(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("NAME = 'Ada'\n")
    code = "import sys, helper\nif __name__ == '__main__':\n    print(helper.NAME, sys.argv[1:])"
    assert (await python.run_inline(code, ["--x"], cwd=tmp_path)).stdout == "Ada ['--x']\n"


async def test_inline_code_is_in_no_list_of_processes_and_in_no_folder_afterwards() -> None:
    code = "import sys\ncode = 'hunter2'\nprint(open('/proc/self/cmdline').read(), __file__ if 0 else '')"
    seen = (await python.run_inline(code)).stdout
    assert "hunter2" not in seen
    path = next(word for word in seen.split("\0") if word.endswith("inline.py"))
    assert not Path(path).exists()


async def test_a_script_is_found_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/echo.py").write_text(ECHO)
    assert (await python.run_script("scripts/echo.py", ["7"], cwd=tmp_path)).stdout == "out 7\n"
    with pytest.raises(
        UsageError, match=r"'scripts/none\.py'\): there is no such file in .*project's sources"
    ):
        await python.run_script("scripts/none.py", cwd=tmp_path)


async def test_input_and_variables_reach_the_program() -> None:
    code = "import os, sys; print(os.environ['COLOUR'], sys.stdin.read())"
    assert (await python.run_inline(code, env={"COLOUR": "grün"}, input="bläu")).stdout == "grün bläu\n"


def test_blocking_twins_do_the_same(tmp_path: Path) -> None:
    (tmp_path / "echo.py").write_text(ECHO)
    assert python.sync.run(["-c", ECHO]).stdout == "out\n"
    assert python.sync.run_inline(ECHO, ["x"]).stdout == "out x\n"
    assert python.sync.run_script("echo.py", ["y"], cwd=tmp_path).stdout == "out y\n"
    assert list(python.sync.stream.run(["-c", ECHO])) == ["out"]
    assert list(python.sync.stream.run_inline(ECHO, ["x"])) == ["out x"]
    assert list(python.sync.stream.run_script("echo.py", ["y"], cwd=tmp_path)) == ["out y"]


async def test_blocking_twins_are_refused_where_a_loop_runs() -> None:
    with pytest.raises(ContextError, match=r"Use the awaitable form: `await python\.run_inline"):
        python.sync.run_inline("1")
    with pytest.raises(ContextError, match=r"python\.stream\.run"):
        list(python.sync.stream.run(["-V"]))


# -- failures


def assert_failed(error: ScriptError, name: str) -> None:
    assert str(error) == f"{name} exited with code 3:\nwhat a pity"
    assert (error.exit_code, error.stderr) == (3, "what a pity\n")


async def test_another_exit_code_than_zero_is_an_error() -> None:
    with pytest.raises(ScriptError) as caught:
        await python.run_inline(FAIL)
    assert_failed(caught.value, "python.run_inline()")
    assert caught.value.stdout == "half\n"
    with pytest.raises(ScriptError, match=r"run\(\) was ended by SIGTERM and wrote nothing"):
        await python.run(["-c", "import os; os.kill(os.getpid(), 15)"])


def test_another_exit_code_than_zero_is_an_error_without_a_loop() -> None:
    with pytest.raises(ScriptError) as caught:
        python.sync.run_inline(FAIL)
    assert_failed(caught.value, "python.run_inline()")


async def test_a_stream_gives_lines_as_they_come_and_fails_at_its_end() -> None:
    code = (
        "import sys\nfor line in ('first', 'second', 'ünd'): print(line, flush=True)\nsys.stdin.read()\n"
        + FAIL
    )
    lines: list[str] = []
    with pytest.raises(ScriptError) as caught:
        async for line in python.stream.run_inline(code, input="x" * 200_000):
            lines.append(line)
    assert lines == ["first", "second", "ünd", "half"]
    assert_failed(caught.value, "python.run_inline()")


def test_a_stream_without_a_loop_fails_at_its_end_as_well() -> None:
    lines: list[str] = []
    with pytest.raises(ScriptError) as caught:
        for line in python.sync.stream.run_inline(FAIL, input="x" * 200_000):
            lines.append(line)
    assert lines == ["half"]
    assert_failed(caught.value, "python.run_inline()")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until_gone(pid: int) -> None:
    while is_running(pid) and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        os.sched_yield()


async def test_leaving_a_stream_ends_its_program() -> None:
    stream: Any = python.stream.run_inline(ENDLESS)
    pid = int(await anext(stream))
    await stream.aclose()
    assert not is_running(pid)


def test_leaving_a_stream_without_a_loop_ends_its_program() -> None:
    stream: Any = python.sync.stream.run_inline(ENDLESS)
    pid = int(next(stream))
    stream.close()
    assert not is_running(pid)


async def test_cancelling_a_call_ends_its_program(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = f"import os, threading\nopen({str(fifo)!r}, 'w').write(str(os.getpid()))\nthreading.Event().wait()"
    call = asyncio.ensure_future(python.run_inline(code))
    pid = int(await asyncio.to_thread(fifo.read_text))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not is_running(pid)


async def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(ScriptError, match=r"run_inline\(\) was ended, as it took more than 0\.05 s"):
        await python.run_inline(ENDLESS, timeout_in_ms=50)
    with pytest.raises(ScriptError, match=r"took more than 0\.5 s"):
        async for _ in python.stream.run_inline(ENDLESS, timeout_in_ms=500):
            pass


def test_a_program_that_takes_too_long_is_ended_without_a_loop() -> None:
    with pytest.raises(ScriptError, match=r"took more than 0\.05 s"):
        python.sync.run_inline(ENDLESS, timeout_in_ms=50)
    with pytest.raises(ScriptError, match=r"took more than 0\.5 s"):
        list(python.sync.stream.run_inline(ENDLESS, timeout_in_ms=500))


async def test_what_a_program_has_started_ends_with_it() -> None:
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ENDLESS!r}])"
    stream: Any = python.stream.run_inline(child)
    pid = int(await anext(stream))
    await stream.aclose()
    await asyncio.to_thread(until_gone, pid)


# -- interpreters, arguments


async def test_the_interpreter_can_be_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.write_text(f'#!/bin/sh\necho other\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    monkeypatch.setenv("PYTHON_BIN_PATH", str(other))
    assert (await python.run(["-c", "print(1)"])).stdout == "other\n1\n"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHON_BIN_PATH", "other")
    assert (await python.run(["-c", "print(2)"])).stdout == "other\n2\n"
    monkeypatch.setenv("PYTHON_BIN_PATH", str(tmp_path / "none"))
    with pytest.raises(UsageError, match=r"PYTHON_BIN_PATH is '.*/none', which is no program"):
        await python.run(["-V"])


BAD: list[tuple[Callable[[], Any], str]] = [
    (lambda: python.sync.run("-V"), "python.run: the arguments are '-V'; give a list"),
    (lambda: python.sync.run([]), r"python.run\(\[\]\) has nothing to run"),
    (lambda: python.sync.run(["-c", 3]), "python.run: argument 1 is 3; give text"),  # type: ignore[list-item]  # wrong
    (lambda: python.sync.run(["a\0b"]), "argument 0 is 'a.x00b'; give text without NUL"),
    (lambda: python.sync.run_inline("  "), r"python.run_inline\('  '\): give Python code"),
    (lambda: python.sync.run_script(""), r"python.run_script\(''\): give the path"),
    (lambda: python.sync.run(["-V"], env={"A=B": "x"}), "env has 'A=B', which is no name"),
    (lambda: python.sync.run(["-V"], env={"A": 1}), "the value of A in env is no text"),  # type: ignore[dict-item]  # wrong
    (lambda: python.sync.run(["-V"], cwd="/none"), "cwd is '/none', which is no folder"),
    (lambda: python.sync.run(["-V"], input=3), "the input is int; give text or bytes"),  # type: ignore[arg-type]  # wrong
    (lambda: python.sync.run(["-V"], timeout_in_ms=0), "timeout_in_ms is 0; use milliseconds above 0"),
    (lambda: python.sync.run(["-V"], timeout=1), r"python.run\(\) has no option 'timeout'"),  # type: ignore[call-arg]  # wrong
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message for _, message in BAD])
def test_what_cannot_be_is_refused_by_name(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_lines_are_put_together_across_chunks_and_characters() -> None:
    data = "eins\r\nzwöi\ndrüü".encode()

    def lines(size: int) -> Iterator[str]:
        splitter = programs._Lines()
        for start in range(0, len(data), size):
            yield from splitter.feed(data[start : start + size])
        yield from splitter.rest()

    for size in range(1, len(data) + 1):
        assert list(lines(size)) == ["eins", "zwöi", "drüü"]


def test_signals_without_a_name_have_their_number() -> None:
    program = programs.Program("x", [], {})
    assert str(programs.failure(program, -200, "", "")) == "x was ended by signal 200 and wrote nothing."
    assert programs.failure(program, -signal.SIGKILL, "", "").exit_code == -9
