"""`python`: scripts and code in a Python process beside the task's, with what they write as the result.

The interpreter is that of PYTHON_BIN_PATH, which the build extension `python` sets, else the task's own.
Inside a run each call is recorded as a step: a replay gives what the first execution gave and starts nothing.
Streams are not recorded.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from triggerdev.errors import UsageError
from triggerdev.sdk import programs, session
from triggerdev.sdk.calls import operation, refuse_loop, running_loop
from triggerdev.sdk.programs import Program
from triggerdev.sdk.spans import Span

__all__ = ["PythonResult", "run", "run_inline", "run_script", "stream", "sync"]

INTERPRETER = "PYTHON_BIN_PATH"
_MAX_NAME = 200
# What runs inline code: a file, so that it is in no list of processes, as if it were given by -c.
_INLINE = "import sys; f = sys.argv.pop(1); exec(compile(open(f, encoding='utf-8').read(), f, 'exec'))"


class ProgramOptions(TypedDict, total=False):
    """How a program is started.

    `env` is added to this process's environment; `cwd` is the folder that it runs in; `input` is what it
    reads; after `timeout_in_ms` it is ended.
    """

    env: Mapping[str, str]
    cwd: str | os.PathLike[str]
    input: str | bytes
    timeout_in_ms: float


@dataclass(frozen=True, slots=True)
class PythonResult:
    """What a program wrote, and its exit code, which is 0: others are errors."""

    stdout: str
    stderr: str
    exit_code: int


class _Work:
    """One program to start, and the files that it needs for as long as it runs."""

    def __init__(self, call: str, detail: str, arguments: Sequence[str], options: ProgramOptions) -> None:
        self.name = _cut(f"python.{call}({detail})")
        self.call = call
        self.arguments = _words(call, arguments)
        self.code: str | None = None
        self._env = _variables(call, options.get("env"))
        self._cwd = _folder(call, options.get("cwd"))
        self._input = _input(call, options.get("input"))
        self._timeout = _seconds(call, options.get("timeout_in_ms"))
        unknown = sorted(set(options) - ProgramOptions.__annotations__.keys())
        if unknown:
            raise UsageError(
                f"python.{call}() has no option {unknown[0]!r}; it takes env, cwd, input, timeout_in_ms."
            )

    def program(self, files: ExitStack) -> Program:
        """Describe the process, in the span that this code is in; `files` deletes what it needed."""
        arguments = self.arguments
        if self.code is not None:
            folder = files.enter_context(tempfile.TemporaryDirectory(prefix="trigger-python-"))
            path = Path(folder) / "inline.py"
            path.write_text(self.code, encoding="utf-8")
            arguments = ["-c", _INLINE, str(path), *arguments]
        return Program(
            self.name,
            [_interpreter(), *arguments],
            {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1", **_trace(), **self._env},
            self._cwd,
            self._input,
            self._timeout,
        )

    async def run(self) -> PythonResult:
        """Run it, as a step of the run if there is one."""
        running = session.current()
        if running is None:
            with Span(self.name):
                return PythonResult(**await self._once())
        return PythonResult(**await running.step(self.name, self._start))

    def _start(self) -> Any:
        return self._once() if running_loop() is not None else self._blocking()

    async def _once(self) -> dict[str, Any]:
        if running_loop() is None:
            return self._blocking()
        with ExitStack() as files:
            return _as_result(await programs.run_async(self.program(files)))

    def _blocking(self) -> dict[str, Any]:
        with ExitStack() as files:
            return _as_result(programs.run_blocking(self.program(files)))

    async def lines(self) -> AsyncIterator[str]:
        """Run it and yield its lines."""
        with Span(self.name), ExitStack() as files:
            async with aclosing(programs.lines_async(self.program(files))) as lines:
                async for line in lines:
                    yield line

    def lines_blocking(self) -> Iterator[str]:
        """Run it and yield its lines, without an event loop."""
        refuse_loop(f"python.stream.{self.call}")
        with Span(self.name), ExitStack() as files:
            yield from programs.lines_blocking(self.program(files))


def _as_result(ended: programs.Ended) -> dict[str, Any]:
    return asdict(ended)


# -- the calls


def _run(arguments: Sequence[str], options: ProgramOptions) -> _Work:
    work = _Work("run", "", arguments, options)
    if not work.arguments:
        raise UsageError('python.run([]) has nothing to run: give arguments, such as ["-m", "my_module"].')
    return work


def _script(path: str | os.PathLike[str], arguments: Sequence[str], options: ProgramOptions) -> _Work:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise UsageError(f"python.run_script({path!r:.60}): give the path of a script.")
    name = os.fspath(path)
    work = _Work("run_script", name, arguments, options)
    folder = options.get("cwd") or "."
    if not (Path(folder) / name).is_file():
        raise UsageError(
            f"python.run_script({name!r}): there is no such file in {Path(folder).absolute()}. An image has "
            "the project's sources, and what is in `scripts` of [build.extensions.python]."
        )
    work.arguments = [name, *work.arguments]
    return work


def _inline(code: str, arguments: Sequence[str], options: ProgramOptions) -> _Work:
    if not isinstance(code, str) or not code.strip():
        raise UsageError(f"python.run_inline({code!r:.60}): give Python code as text.")
    work = _Work("run_inline", "", arguments, options)
    work.code = code
    return work


@operation("python.run")
async def run(arguments: Sequence[str], **options: Unpack[ProgramOptions]) -> PythonResult:
    """Run the interpreter with arguments: `await python.run(["-m", "report", "--year", "2026"])`.

    Raises ScriptError, with the end of what it wrote, for an exit code other than 0 and beyond
    `timeout_in_ms`; UsageError for arguments that cannot be. Cancelling the call ends the program.
    """
    return await _run(arguments, options).run()


@operation("python.run_script")
async def run_script(
    path: str | os.PathLike[str], arguments: Sequence[str] = (), **options: Unpack[ProgramOptions]
) -> PythonResult:
    """Run a script by its path, relative to `cwd`: `await python.run_script("scripts/report.py", ["2026"])`.

    Raises what `run` does.
    """
    return await _script(path, arguments, options).run()


@operation("python.run_inline")
async def run_inline(
    code: str, arguments: Sequence[str] = (), **options: Unpack[ProgramOptions]
) -> PythonResult:
    """Run Python code given as text; it imports from `cwd`, and has the arguments in sys.argv[1:].

    Raises what `run` does.
    """
    return await _inline(code, arguments, options).run()


class _Stream:
    """The same programs, whose lines come as they are written: `async for line in python.stream.run([...])`.

    At its end ScriptError is raised if the program failed. Leaving the loop ends the program.
    """

    __slots__ = ()

    def run(self, arguments: Sequence[str], **options: Unpack[ProgramOptions]) -> AsyncIterator[str]:
        """Run the interpreter with arguments and yield the lines of its output."""
        return _run(arguments, options).lines()

    def run_script(
        self, path: str | os.PathLike[str], arguments: Sequence[str] = (), **options: Unpack[ProgramOptions]
    ) -> AsyncIterator[str]:
        """Run a script and yield the lines of its output."""
        return _script(path, arguments, options).lines()

    def run_inline(
        self, code: str, arguments: Sequence[str] = (), **options: Unpack[ProgramOptions]
    ) -> AsyncIterator[str]:
        """Run code given as text and yield the lines of its output."""
        return _inline(code, arguments, options).lines()


class _BlockingStream:
    """The same for code without an event loop: `for line in python.sync.stream.run([...])`."""

    __slots__ = ()

    def run(self, arguments: Sequence[str], **options: Unpack[ProgramOptions]) -> Iterator[str]:
        """Run the interpreter with arguments and yield the lines of its output."""
        return _run(arguments, options).lines_blocking()

    def run_script(
        self, path: str | os.PathLike[str], arguments: Sequence[str] = (), **options: Unpack[ProgramOptions]
    ) -> Iterator[str]:
        """Run a script and yield the lines of its output."""
        return _script(path, arguments, options).lines_blocking()

    def run_inline(
        self, code: str, arguments: Sequence[str] = (), **options: Unpack[ProgramOptions]
    ) -> Iterator[str]:
        """Run code given as text and yield the lines of its output."""
        return _inline(code, arguments, options).lines_blocking()


class _Sync:
    """The same calls for code without an event loop."""

    run = staticmethod(run.blocking)
    run_script = staticmethod(run_script.blocking)
    run_inline = staticmethod(run_inline.blocking)
    stream = _BlockingStream()


stream = _Stream()
sync = _Sync()


# -- what calls are given


def _interpreter() -> str:
    """Give the interpreter, by path or by name. Raises UsageError if the one that is set is not there."""
    chosen = os.environ.get(INTERPRETER)
    if not chosen:
        return sys.executable
    found = shutil.which(chosen)
    if found is None:
        raise UsageError(
            f"{INTERPRETER} is {chosen!r}, which is no program. It is set by [build.extensions.python] or by "
            "you; without it scripts run in the task's own Python."
        )
    return found


def _trace() -> dict[str, str]:
    """Give the variables by which the program's own spans become parts of this trace."""
    running = session.speaker()
    if running is not None:
        context = running.context
        told = {"trigger.run_id": context.run.id, "trigger.task_id": context.task.id}
        named = ",".join(f"{name}={_percent(value)}" for name, value in told.items())
        known = os.environ.get("OTEL_RESOURCE_ATTRIBUTES")
        return {
            "TRACEPARENT": running.traceparent(),
            "OTEL_RESOURCE_ATTRIBUTES": f"{known},{named}" if known else named,
        }
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return {name.upper(): value for name, value in carrier.items()}
    return {}


def _percent(value: str) -> str:
    from urllib.parse import quote

    return quote(value, safe="")


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 4]}...)"


def _words(call: str, arguments: Any) -> list[str]:
    if isinstance(arguments, str) or not isinstance(arguments, Sequence):
        raise UsageError(f"python.{call}: the arguments are {arguments!r:.60}; give a list of texts.")
    for index, each in enumerate(arguments):
        if not isinstance(each, str) or "\0" in each:
            raise UsageError(f"python.{call}: argument {index} is {each!r:.60}; give text without NUL.")
    return list(arguments)


def _variables(call: str, env: Any) -> dict[str, str]:
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise UsageError(f"python.{call}: env is no mapping of names to texts.")
    for name, value in env.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise UsageError(f"python.{call}: env has {name!r:.60}, which is no name of a variable.")
        if not isinstance(value, str) or "\0" in value:
            raise UsageError(f"python.{call}: the value of {name} in env is no text.")
    return dict(env)


def _folder(call: str, cwd: Any) -> str | None:
    if cwd is None:
        return None
    if not isinstance(cwd, str | os.PathLike) or not Path(cwd).is_dir():
        raise UsageError(f"python.{call}: cwd is {os.fspath(cwd) if cwd else cwd!r}, which is no folder.")
    return os.fspath(cwd)


def _input(call: str, data: Any) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    if not isinstance(data, str):
        raise UsageError(f"python.{call}: the input is {type(data).__name__}; give text or bytes.")
    return data.encode("utf-8", "surrogateescape")


def _seconds(call: str, ms: Any) -> float | None:
    if ms is None:
        return None
    if isinstance(ms, bool) or not isinstance(ms, int | float) or not 0 < ms < float("inf"):
        raise UsageError(f"python.{call}: timeout_in_ms is {ms!r:.60}; use milliseconds above 0.")
    return ms / 1000
