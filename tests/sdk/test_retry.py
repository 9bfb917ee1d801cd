"""retry.on_throw and retry.fetch."""

from typing import Any

import httpx
import pytest

from triggerdev import AbortTaskRunError, Retry, retry
from triggerdev.sdk import http
from triggerdev.sdk.retry import delay_ms


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, which take no time."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(http, "sleep", sleep)
    return made


async def test_on_throw_repeats_until_it_works(pauses: list[float]) -> None:
    attempts: list[int] = []

    async def unstable(attempt: int) -> str:
        attempts.append(attempt)
        if attempt < 3:
            raise ConnectionError("unstable")
        return "works"

    options: Any = {"min_timeout_in_ms": 10, "max_timeout_in_ms": 15, "randomize": False}
    assert await retry.on_throw(unstable, max_attempts=3, **options) == "works"
    assert attempts == [1, 2, 3]
    assert pauses == [0.01, 0.015]


async def test_on_throw_raises_the_last_error_and_aborts_at_once(pauses: list[float]) -> None:
    async def broken() -> None:
        raise ConnectionError("broken")

    async def hopeless() -> None:
        raise AbortTaskRunError("hopeless")

    with pytest.raises(ConnectionError):
        await retry.on_throw(broken, max_attempts=2)
    assert len(pauses) == 1
    with pytest.raises(AbortTaskRunError):
        await retry.on_throw(hopeless)
    assert len(pauses) == 1


def test_on_throw_has_a_blocking_twin() -> None:
    assert retry.sync.on_throw(lambda: 7) == 7


def test_delays_follow_the_formula() -> None:
    policy = Retry(max_attempts=4, factor=2, min_timeout_in_ms=100, max_timeout_in_ms=300, randomize=False)
    assert [delay_ms(policy, attempt) for attempt in range(1, 5)] == [100, 200, 300, None]
    spread = delay_ms(Retry(min_timeout_in_ms=100), 1)
    assert spread is not None
    assert 100 <= spread <= 200


REAL = httpx.AsyncClient


class Site:
    """Answers fetches in order; stands in for httpx's transport."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: int | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)
        transport = httpx.MockTransport(self._handle)

        def client(**options: Any) -> httpx.AsyncClient:
            return REAL(transport=transport, **options)

        monkeypatch.setattr(httpx, "AsyncClient", client)

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        current = self._answers.pop(0)
        if isinstance(current, Exception):
            raise current
        return httpx.Response(current)


async def test_fetch_repeats_by_condition(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    site = Site(monkeypatch, 503, httpx.ConnectError("refused"), 200)
    response = await retry.fetch(
        "http://site.local/",
        retry={
            "max_attempts": 5,
            "min_timeout_in_ms": 10,
            "condition": lambda response, error: error is not None or response.status_code >= 500,
        },
    )
    assert response.status_code == 200
    assert [request.headers.get("x-retry-count") for request in site.requests] == [None, "1", "2"]
    assert len(pauses) == 2


async def test_fetch_has_defaults_by_status(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(monkeypatch, 429, 408, 500)
    assert (await retry.fetch("http://site.local/")).status_code == 500
    assert len(site.requests) == 3
    site = Site(monkeypatch, 404)
    assert (await retry.fetch("http://site.local/", method="POST", json={"a": 1})).status_code == 404
    assert site.requests[0].content == b'{"a":1}'


async def test_fetch_takes_policies_by_status_and_for_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    policy: Any = {
        "by_status": {"500-503": {"max_attempts": 2}, "418,419": {"max_attempts": 3}},
        "timeout": Retry(max_attempts=1),
    }
    site = Site(monkeypatch, 502, 502)
    assert (await retry.fetch("http://site.local/", retry=policy)).status_code == 502
    assert len(site.requests) == 2
    Site(monkeypatch, httpx.ReadTimeout("slow"))
    with pytest.raises(httpx.ReadTimeout):
        await retry.fetch("http://site.local/", retry=policy, timeout_in_ms=5)
