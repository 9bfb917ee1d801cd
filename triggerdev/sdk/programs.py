"""Programs in processes of their own: started, fed, read and ended, with an event loop and without one."""

import codecs
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from triggerdev.errors import ScriptError

if TYPE_CHECKING:
    import asyncio

_CHUNK = 65_536
_KEPT = 16_384  # characters of an output's end that errors have


@dataclass(frozen=True, slots=True)
class Program:
    """What to start: `name` is for people; `env` is all of its environment, `timeout` is in seconds."""

    name: str
    command: list[str]
    env: dict[str, str] = field(repr=False)
    cwd: str | None = None
    stdin: bytes | None = field(default=None, repr=False)
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it wrote."""

    exit_code: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)


def failure(program: Program, exit_code: int, stdout: str, stderr: str) -> ScriptError:
    """Make the error of a program that failed; its message ends with the end of what it wrote."""
    how = f"exited with code {exit_code}" if exit_code >= 0 else f"was ended by {_signal_name(-exit_code)}"
    said = stderr.strip() or stdout.strip()
    tail = f":\n{said[-_KEPT // 4 :]}" if said else " and wrote nothing."
    return ScriptError(f"{program.name} {how}{tail}", exit_code, stdout[-_KEPT:], stderr[-_KEPT:])


def _too_slow(program: Program) -> ScriptError:
    return ScriptError(f"{program.name} was ended, as it took more than {program.timeout:g} s.")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# -- without an event loop


def run_blocking(program: Program) -> Ended:
    """Run a program to its end. Raises ScriptError if it fails or takes too long."""
    process = _open(program, subprocess.PIPE if program.stdin is not None else subprocess.DEVNULL)
    with process:
        try:
            out, err = process.communicate(program.stdin, program.timeout)
        except subprocess.TimeoutExpired:
            raise _too_slow(program) from None
        finally:
            _kill(process)
    return _checked(program, process.returncode, out, err)


def lines_blocking(program: Program) -> Iterator[str]:
    """Yield what a program writes, line by line. Raises ScriptError at its end if it fails."""
    process = _open(program, subprocess.PIPE if program.stdin is not None else subprocess.DEVNULL)
    assert process.stdout is not None
    tail: deque[bytes] = deque(maxlen=4)
    helpers = [
        threading.Thread(target=_drain, args=(process, tail), daemon=True),
        threading.Thread(target=_feed, args=(process, program.stdin), daemon=True),
    ]
    clock = None if program.timeout is None else threading.Timer(program.timeout, _kill, [process])
    with process:
        for helper in helpers:
            helper.start()
        if clock is not None:
            clock.start()
        try:
            splitter = _Lines()
            while chunk := os.read(process.stdout.fileno(), _CHUNK):
                yield from splitter.feed(chunk)
            yield from splitter.rest()
            exit_code = process.wait()
        finally:
            is_late = clock is not None and not clock.is_alive()
            if clock is not None:
                clock.cancel()
            _kill(process)
            for helper in helpers:
                helper.join()
    if is_late:
        raise _too_slow(program)
    if exit_code != 0:
        raise failure(program, exit_code, "", _text(b"".join(tail)))


def _open(program: Program, stdin: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        program.command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=program.env,
        cwd=program.cwd,
        start_new_session=True,
    )


def _drain(process: "subprocess.Popen[bytes]", tail: deque[bytes]) -> None:
    assert process.stderr is not None
    while chunk := os.read(process.stderr.fileno(), _CHUNK):
        tail.append(chunk)


def _feed(process: "subprocess.Popen[bytes]", data: bytes | None) -> None:
    if process.stdin is not None:
        try:
            process.stdin.write(data or b"")
            process.stdin.close()
        except (BrokenPipeError, ValueError):
            pass  # it does not read all of its input; that is its own affair


def _kill(process: "subprocess.Popen[bytes] | asyncio.subprocess.Process") -> None:
    """End a program, and what it has started, if it still runs."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended by itself


# -- with an event loop


async def run_async(program: Program) -> Ended:
    """Run a program to its end; whoever cancels this ends it. Raises ScriptError."""
    import asyncio

    process = await _open_async(program)
    try:
        async with asyncio.timeout(program.timeout):
            out, err = await process.communicate(program.stdin)
    except TimeoutError:
        raise _too_slow(program) from None
    finally:
        await _end(process)
    assert process.returncode is not None
    return _checked(program, process.returncode, out, err)


async def lines_async(program: Program) -> AsyncGenerator[str]:
    """Yield what a program writes, line by line. Raises ScriptError at its end if it fails."""
    import asyncio

    process = await _open_async(program)
    assert process.stdout is not None
    tail: deque[bytes] = deque(maxlen=4)
    helpers = [asyncio.ensure_future(_drain_async(process, tail))]
    helpers.append(asyncio.ensure_future(_feed_async(process, program.stdin)))
    loop = asyncio.get_running_loop()
    until = None if program.timeout is None else loop.time() + program.timeout
    try:
        splitter = _Lines()
        while True:
            async with asyncio.timeout_at(until):
                chunk = await process.stdout.read(_CHUNK)
            if not chunk:
                break
            for line in splitter.feed(chunk):
                yield line
        for line in splitter.rest():
            yield line
        async with asyncio.timeout_at(until):
            exit_code = await process.wait()
            await asyncio.gather(*helpers)
    except TimeoutError:
        raise _too_slow(program) from None
    finally:
        for helper in helpers:
            helper.cancel()
        await _end(process)
    if exit_code != 0:
        raise failure(program, exit_code, "", _text(b"".join(tail)))


async def _open_async(program: Program) -> "asyncio.subprocess.Process":
    import asyncio

    return await asyncio.create_subprocess_exec(
        *program.command,
        stdin=subprocess.PIPE if program.stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=program.env,
        cwd=program.cwd,
        start_new_session=True,
    )


async def _drain_async(process: "asyncio.subprocess.Process", tail: deque[bytes]) -> None:
    assert process.stderr is not None
    while chunk := await process.stderr.read(_CHUNK):
        tail.append(chunk)


async def _feed_async(process: "asyncio.subprocess.Process", data: bytes | None) -> None:
    if process.stdin is not None:
        try:
            process.stdin.write(data or b"")
            await process.stdin.drain()
            process.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it does not read all of its input; that is its own affair


async def _end(process: "asyncio.subprocess.Process") -> None:
    if process.returncode is None:
        _kill(process)
        await process.wait()


# -- outputs


def _checked(program: Program, exit_code: int, out: bytes, err: bytes) -> Ended:
    ended = Ended(exit_code, _text(out), _text(err))
    if exit_code != 0:
        raise failure(program, exit_code, ended.stdout, ended.stderr)
    return ended


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class _Lines:
    """Makes lines of chunks of UTF-8; what is no UTF-8 is replaced, line ends are left out."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""

    def feed(self, chunk: bytes) -> list[str]:
        """Take a chunk and give the lines that it completes."""
        *lines, self._open = (self._open + self._decoder.decode(chunk)).split("\n")
        return [line.removesuffix("\r") for line in lines]

    def rest(self) -> list[str]:
        """Give the last line, if it did not end."""
        last = self._open + self._decoder.decode(b"", final=True)
        return [last] if last else []
