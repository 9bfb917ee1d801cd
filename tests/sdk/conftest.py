from collections.abc import Iterator

import pytest

from triggerdev.sdk import http
from triggerdev.sdk import registry as registries
from triggerdev.sdk.registry import Registry


@pytest.fixture(autouse=True)
def registry() -> Iterator[Registry]:
    """A registry of its own for each test."""
    with registries.use(Registry()) as fresh:
        yield fresh


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No address, no key, no pauses between tries."""
    for name in ("TRIGGER_API_URL", "TRIGGER_SECRET_KEY", "TRIGGER_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    http.use_worker_settings(None, None)
    http.configure(retry_delay=0)
    yield
    http.configure()
