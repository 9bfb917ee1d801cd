"""retry.on_throw and retry.fetch."""

import asyncio
import contextlib
import re
import time
from typing import Any

import httpx
import pytest

from triggerdev import AbortTaskRunError, Retry, UsageError, retry
from triggerdev.sdk import http, resets
from triggerdev.sdk.policy import delay_ms


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
REAL_BLOCKING = httpx.Client
Answer = int | Exception | httpx.Response


class Site:
    """Answers fetches in order; stands in for httpx's transport."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: Answer) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)
        transport = httpx.MockTransport(self._handle)
        monkeypatch.setattr(httpx, "AsyncClient", lambda **options: REAL(transport=transport, **options))
        monkeypatch.setattr(httpx, "Client", lambda **options: REAL_BLOCKING(transport=transport, **options))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        current = self._answers.pop(0)
        if isinstance(current, Exception):
            raise current
        return current if isinstance(current, httpx.Response) else httpx.Response(current)


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
    assert [request.headers.get("x-retry-count") for request in site.requests] == ["1", "2", "3"]
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


async def test_fetch_ends_after_ten_tries(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    site = Site(monkeypatch, *[503] * 20)
    response = await retry.fetch("http://site.local/", retry={"max_attempts": 50, "max_timeout_in_ms": 1})
    assert response.status_code == 503
    assert (len(site.requests), len(pauses)) == (10, 9)


async def test_a_condition_may_be_awaited_and_sees_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    async def is_not_ready(response: Any, error: Exception | None) -> bool:
        seen.append(response.status_code)
        return bool(response.status_code == 202)

    Site(monkeypatch, 202, 200)
    assert (await retry.fetch("http://site.local/", retry={"condition": is_not_ready})).status_code == 200
    assert seen == [202, 200]


async def test_fetch_waits_as_long_as_the_answer_asks(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    answers = [
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(430, headers={"x-ratelimit-reset": "1003500"}),
        httpx.Response(431, headers={"x-reset": "1s500ms"}),
    ]
    Site(monkeypatch, *answers, 200)
    limits: Any = {"limit_header": "x-ratelimit-limit", "remaining_header": "x-ratelimit-remaining"}
    policy: Any = {
        "by_status": {
            "429": {"strategy": "headers"},
            "430": {"strategy": "headers", "reset_header": "x-ratelimit-reset", **limits},
            "431": {
                "strategy": "headers",
                "reset_header": "x-reset",
                "reset_format": "iso_8601_duration_openai_variant",
            },
        }
    }
    assert (await retry.fetch("http://site.local/", retry=policy)).status_code == 200
    assert pauses == pytest.approx([7, 3.5, 1.5])


@pytest.mark.parametrize(
    ("headers", "options"),
    [
        ({}, {}),
        ({"retry-after": "soon"}, {}),
        ({"retry-after": "3600"}, {"max_timeout_in_ms": 1000}),
        ({"retry-after": "1"}, {"max_attempts": 1}),
    ],
)
async def test_an_answer_that_names_no_moment_worth_waiting_for_is_returned(
    monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], options: dict[str, Any]
) -> None:
    Site(monkeypatch, httpx.Response(429, headers=headers))
    policy: Any = {"by_status": {"429": {"strategy": "headers", **options}}}
    assert (await retry.fetch("http://site.local/", retry=policy)).status_code == 429


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("1700000005", "unix_timestamp", NOW + 5),
        ("1700000005000", "unix_timestamp_in_ms", NOW + 5),
        ("2023-11-14T22:13:25Z", "iso_8601", NOW + 5),
        ("1d2h3m4s5ms", "iso_8601_duration_openai_variant", NOW + 93_784.005),
        ("6m0s", "iso_8601_duration_openai_variant", NOW + 360),
        ("120", "retry_after", NOW + 120),
        ("Tue, 14 Nov 2023 22:13:25 GMT", "retry_after", NOW + 5),
        ("soon", "retry_after", None),
        ("soon", "unix_timestamp", None),
        ("500ms", "unix_timestamp_in_ms", None),
        ("1x", "iso_8601_duration_openai_variant", None),
        ("not-a-date", "iso_8601", None),
        ("", "retry_after", None),
        ("9" * 500, "retry_after", None),
    ],
)
def test_headers_that_say_when_a_limit_is_over(text: str, form: str, expected: float | None) -> None:
    assert resets.reset_at(text, form, NOW) == (expected if expected is None else pytest.approx(expected))


def test_fetch_has_a_blocking_twin(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> None:
    site = Site(monkeypatch, 503, httpx.ConnectError("refused"), httpx.Response(200, text="hello"))
    response = retry.sync.fetch("http://site.local/", headers={"x-mine": "1"})
    assert (response.text, len(pauses)) == ("hello", 2)
    assert [request.headers["x-retry-count"] for request in site.requests] == ["1", "2", "3"]
    assert site.requests[2].headers["x-mine"] == "1"


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer at once with a body that never ends: a byte now and then, so that no single read takes long."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        while not reader.at_eof():
            writer.write(b".")
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1000), 0.02)
    writer.close()


async def test_a_try_is_over_when_its_time_is_up_though_bytes_keep_coming(pauses: list[float]) -> None:
    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        policy: Any = {"timeout": {"max_attempts": 2}}
        with pytest.raises(httpx.ReadTimeout, match="within 200 ms"):
            await retry.fetch(url, retry=policy, timeout_in_ms=200)
        assert len(pauses) == 1
        with pytest.raises(httpx.ReadTimeout, match="within 200 ms"):
            await asyncio.to_thread(retry.sync.fetch, url, retry=policy, timeout_in_ms=200)
        assert len(pauses) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": 3}, "retry=3"),
        ({"retry": {"attempts": 3}}, "no option 'attempts'"),
        ({"retry": {"max_attempts": 0}}, "max_attempts=0"),
        ({"retry": {"condition": "yes"}}, "condition='yes' is not callable"),
        ({"retry": {"condition": print, "by_status": {"429": {}}}}, "leave out by_status"),
        ({"retry": {"by_status": ["429"]}}, "by_status="),
        ({"retry": {"by_status": {"4 or 5": {}}}}, "has the key '4 or 5'"),
        ({"retry": {"by_status": {429: {}}}}, "has the key 429"),
        ({"retry": {"by_status": {"429": {"strategy": "hope"}}}}, "strategy='hope'"),
        ({"retry": {"by_status": {"429": {"factor": -1}}}}, "factor=-1"),
        ({"retry": {"by_status": {"429": 3}}}, "by_status"),
        ({"retry": {"by_status": {"429": {"strategy": "headers", "reset_header": 1}}}}, "reset_header=1"),
        ({"retry": {"by_status": {"429": {"strategy": "headers", "reset_format": "x"}}}}, "reset_format='x'"),
        ({"retry": {"by_status": {"429": {"strategy": "headers", "colour": 1}}}}, "no option 'colour'"),
        ({"retry": {"timeout": {"max_attempts": "x"}}}, "max_attempts='x'"),
        ({"retry": {"connection_error": 1}}, "connection_error=1"),
        ({"timeout_in_ms": 0}, "timeout_in_ms=0"),
        ({"timeout_in_ms": "1s"}, "timeout_in_ms='1s'"),
    ],
)
def test_options_of_fetch_that_make_no_sense_are_named(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        retry.fetch("http://site.local/", **options)
    with pytest.raises(UsageError, match=re.escape(message)):
        retry.sync.fetch("http://site.local/", **options)


@pytest.mark.parametrize("url", ["site.local", "ftp://site.local/", "http://[::1/"])
async def test_what_is_no_url_is_told_at_once(url: str, pauses: list[float]) -> None:
    with pytest.raises(UsageError, match="cannot fetch"):
        await retry.fetch(url)
    assert pauses == []


def test_what_on_throw_cannot_use_is_named() -> None:
    with pytest.raises(UsageError, match="takes a function"):
        retry.on_throw(7)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(UsageError, match=r"retry\.on_throw has no option 'attempts'"):
        retry.sync.on_throw(print, attempts=3)  # type: ignore[call-arg]  # what is refused
    with pytest.raises(UsageError, match="max_attempts=-1"):
        retry.sync.on_throw(print, max_attempts=-1)
