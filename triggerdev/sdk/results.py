"""What triggering gives back: handles of runs and batches, results of children that were waited for."""

from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from triggerdev.errors import RunError, SubtaskUnwrapError, WaitpointTimeoutError
from triggerdev.sdk import serialise
from triggerdev.sdk.calls import Call

T = TypeVar("T")


@dataclass(frozen=True)
class RunHandle:
    """A triggered run. `is_cached`: an earlier run with the same idempotency key was found instead."""

    id: str
    task_identifier: str
    is_cached: bool = False
    public_access_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class BatchHandle:
    """A triggered batch. `runs` holds run ids where they are known already (inside a run)."""

    batch_id: str
    run_count: int
    is_cached: bool = False
    runs: list[str] = field(default_factory=list)
    public_access_token: str | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        return self.batch_id


class RunFailedError(RunError):
    """The error of another run: its message, with `name`, `stack_trace` and the whole `info`."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        super().__init__(str(info.get("message") or info.get("raw") or info.get("code") or "unknown error"))
        self.info = dict(info)
        self.name = str(info.get("name") or info.get("code") or "Error")
        self.stack_trace: str | None = info.get("stackTrace")

    @property
    def message(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Result(Generic[T]):
    """The end of a run that was waited for: `output` if `ok`, else `error`."""

    ok: bool
    id: str
    task_identifier: str
    output: T | None = None
    error: RunFailedError | None = None

    def unwrap(self) -> T:
        """Give the output. Raises SubtaskUnwrapError if the run failed."""
        if not self.ok:
            raise SubtaskUnwrapError(self.task_identifier, self.id, self.error) from self.error
        return self.output  # type: ignore[return-value]  # None is T where a task returns nothing

    @classmethod
    def of(cls, child: Mapping[str, Any], task: str = "") -> "Result[T]":
        """Read a child's result of the worker protocol."""
        name = str(child.get("task") or task)
        if child["ok"]:
            output = serialise.load(child.get("output"), child.get("output_type") or serialise.JSON)
            return cls(True, child["id"], name, output)
        info = child.get("error") or {"message": "unknown error"}
        return cls(False, child["id"], name, None, RunFailedError(info))


@dataclass(frozen=True)
class BatchResult(Generic[T]):
    """The end of a batch that was waited for, in item order. Iterate it or use `runs`."""

    id: str
    runs: list[Result[T]]

    def __iter__(self) -> Iterator[Result[T]]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> Result[T]:
        return self.runs[index]


@dataclass(frozen=True)
class TokenResult(Generic[T]):
    """The end of a wait for a token: `output` if it was completed, else `error`."""

    ok: bool
    output: T | None = None
    error: WaitpointTimeoutError | None = None

    def unwrap(self) -> T:
        """Give the output. Raises WaitpointTimeoutError if nobody completed the token in time."""
        if self.error is not None:
            raise self.error
        return self.output  # type: ignore[return-value]  # None is T where a token has no data

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> "TokenResult[T]":
        """Read a token's result of the worker protocol."""
        if result["ok"]:
            return cls(
                True, serialise.load(result.get("output"), result.get("output_type") or serialise.JSON)
            )
        info = result.get("error") or {}
        return cls(False, None, WaitpointTimeoutError(str(info.get("message") or "The token timed out.")))


class ResultCall(Call[Result[T]]):
    """A call that gives a Result; `await call.unwrap()` gives its output or raises."""

    __slots__ = ()

    def unwrap(self) -> Call[T]:
        """Give a call that raises SubtaskUnwrapError if the run failed, else returns its output."""
        return Call(_unwrapped(self._coroutine))


class TokenCall(Call[TokenResult[T]]):
    """A call that gives a TokenResult; `await call.unwrap()` gives its output or raises."""

    __slots__ = ()

    def unwrap(self) -> Call[T]:
        """Give a call that raises WaitpointTimeoutError if the token timed out, else returns its output."""
        return Call(_unwrapped_token(self._coroutine))


async def _unwrapped(coroutine: Coroutine[Any, Any, Result[T]]) -> T:
    return (await coroutine).unwrap()


async def _unwrapped_token(coroutine: Coroutine[Any, Any, TokenResult[T]]) -> T:
    return (await coroutine).unwrap()
