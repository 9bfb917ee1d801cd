"""Whatever is sent, the answer is a success or says what is wrong: no 5xx, and always an error message."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.server.conftest import BASE, KEY
from tests.server.test_access import ROUTES, method
from tests.server.toy_worker import MANIFEST
from triggerdev import _json
from triggerdev.engine.engine import Engine
from triggerdev.engine.store.sqlite import SqliteStore
from triggerdev.server.app import create_app
from triggerdev.server.settings import ServerSettings

quick = settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "1h",
            "9999999999w",
            "9" * 50 + "w",
            "2026-01-01",
            "0001-01-01T00:00:00+14:00",
            "run_x",
            "\x00",
            "application/json",
        ]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = """
    payload options items index task tags metadata operations parentOperations rootOperations delay data
    timeout idempotencyKey idempotencyKeyTTL runCount taskIdentifiers parentRunId queue machine
    payloadType maxAttempts
""".split()  # noqa: SIM905 - a list of words reads better
OPTIONS = """
    payloadType delay ttl priority tags metadata queue concurrencyKey idempotencyKey idempotencyKeyTTL
    machine idempotencyKeyOptions maxAttempts maxDuration test parentRunId lockToVersion debounce region
""".split()  # noqa: SIM905 - a list of words reads better
options = st.dictionaries(st.sampled_from(OPTIONS), values, max_size=4)
operations = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["set", "delete", "append", "remove", "increment", "update", "x"]),
            "key": st.sampled_from(["a", "$.a.b[0]", "$.", "__proto__", ""]) | scalars,
            "value": values,
        },
    ),
    max_size=3,
)
bodies = st.one_of(
    st.fixed_dictionaries({"payload": values, "options": options}),
    st.fixed_dictionaries({"metadata": values} | {}, optional={"operations": operations}),
    st.fixed_dictionaries({"operations": operations, "parentOperations": operations}),
    st.fixed_dictionaries(
        {"items": st.lists(st.fixed_dictionaries({"task": st.just("held"), "options": options}), max_size=3)}
    ),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=5),
    values,
)
QUERIES = """
    wait since after limit page[size] page[after] page[before] filter[status] filter[tag] filter[isTest]
    perPage page filter[createdAt][from] filter[createdAt][to] filter[createdAt][period] filter[batch]
    filter[schedule] filter[queue] filter[taskIdentifier] filter[idempotencyKey] filter[tags]
    filter[version] filter[machine] expires signature excludeUtc
""".split()  # noqa: SIM905 - a list of words reads better
queries = st.dictionaries(
    st.sampled_from(QUERIES),
    st.one_of(
        st.text(max_size=12),
        st.integers(-2, 2**70).map(str),
        st.sampled_from(["1d", "true", "QUEUED", "0001-01-01T00:00:00+14:00"]),
    ),
    max_size=4,
).map(lambda query: {name: "0" if name == "wait" else value for name, value in query.items()})


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(tempfile.mkdtemp())


async def serve(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    engine = Engine(SqliteStore(folder / "engine.db"))
    await engine.start()
    await engine.activate("20261123.1", MANIFEST)
    app = create_app(engine, secret_key=KEY, settings=ServerSettings(data_dir=folder))
    headers = {"authorization": f"Bearer {KEY}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=BASE, headers=headers) as client:
        yield client
    await engine.stop()


_IDS = {
    "task_id": "held",
    "name": "packet",
    "schedule_id": "x",
    "seal": "x",
    "key": "k",
    "part": "output",
    "span_id": "x",
    "project_ref": "proj_dev",
    "slug": "dev",
}


class Target:
    """A server with its own loop, so that one of it can serve all the examples of a test."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._serving = serve(folder)
        self.client = self._loop.run_until_complete(anext(self._serving))
        self.ids = self._loop.run_until_complete(self._make_things())

    async def _make_things(self) -> dict[str, str]:
        run = await self.client.post("/api/v1/tasks/held/trigger", json={"options": {"delay": "1h"}})
        batch = await self.client.post("/api/v3/batches", json={"runCount": 3})
        token = await self.client.post("/api/v1/waitpoints/tokens")
        queue = await self.client.get("/api/v1/queues/held", params={"type": "task"})
        made = {"run_id": run, "batch_id": batch, "token_id": token, "queue": queue}
        return {name: answer.json()["id"] for name, answer in made.items()}

    def ask(self, route: APIRoute, query: dict[str, str], content: bytes) -> httpx.Response:
        path = route.path.replace(":path}", "}")
        ids = {**_IDS, **self.ids}
        return self.request(method(route), path.format(**ids), query, content)

    def request(self, verb: str, path: str, query: dict[str, str], content: bytes) -> httpx.Response:
        return self._loop.run_until_complete(self.client.request(verb, path, params=query, content=content))

    def close(self) -> None:
        self._loop.run_until_complete(self._serving.aclose())  # type: ignore[attr-defined] # it is a generator
        self._loop.close()


@pytest.fixture(scope="module")
def target(folder: Path) -> Any:
    target = Target(folder)
    yield target
    target.close()


def assert_sane(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]


each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{method(route)} {route.path}")


@each_route
def test_any_json_is_answered(target: Target, route: APIRoute) -> None:
    @quick
    @given(body=bodies, query=queries)
    def check(body: Any, query: dict[str, str]) -> None:
        assert_sane(target.ask(route, query, _json.dump_bytes(body)))

    check()


@each_route
def test_any_bytes_are_answered(target: Target, route: APIRoute) -> None:
    @settings(quick, max_examples=15)
    @given(content=st.binary(max_size=64))
    def check(content: bytes) -> None:
        assert_sane(target.ask(route, {}, content))

    check()


def test_any_path_is_answered(target: Target) -> None:
    @quick
    @given(
        verb=st.sampled_from(["GET", "POST", "PUT"]),
        part=st.text(min_size=1, max_size=20),
        index=st.integers(0, len(ROUTES) - 1),
    )
    def check(verb: str, part: str, index: int) -> None:
        path = re.sub(r"\{[^}]+\}", quote(part, safe=""), ROUTES[index].path)
        assert_sane(target.request(verb, path, {}, b"{}"))

    check()


def test_lists_still_work_after_all_that(target: Target) -> None:
    for path in ("/api/v1/runs", "/api/v1/waitpoints/tokens", "/api/v1/schedules", "/api/v1/tasks"):
        assert target.request("GET", path, {}, b"").status_code == 200
