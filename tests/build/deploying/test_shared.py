"""What one machine leaves in a registry, the next one downloads; and nothing of it can fail a deploy."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.oci import fake_registry
from tests.build.oci.fake_registry import FakeRegistry
from tests.build.oci.support import AMD64, base, made
from triggerdev.build.deploying.shared import Shared
from triggerdev.build.oci import image
from triggerdev.build.oci.members import text
from triggerdev.build.oci.model import Layer
from triggerdev.build.oci.registry import keyed, push, upload
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.transport import Access
from triggerdev.build.oci.store import BlobStore
from triggerdev.build.progress import Event, Progress


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry.running(FakeRegistry()) as running:
        yield running


class Machine:
    """A machine with a store of its own; `lines` is what it says."""

    def __init__(self, folder: Path, registry: FakeRegistry, platform: str = "linux/amd64") -> None:
        self.lines: list[str] = []
        self.store = BlobStore(folder)
        access = Access(sleep=lambda _: None)
        self.shared = Shared(registry.reference(), access, self.store, platform, Progress(self._tell))

    def _tell(self, event: Event) -> None:
        self.lines.append(event.text)


@pytest.fixture
def first(tmp_path: Path, registry: FakeRegistry) -> Iterator[Machine]:
    machine = Machine(tmp_path / "first", registry)
    yield machine
    machine.shared.close()


@pytest.fixture
def second(tmp_path: Path, registry: FakeRegistry) -> Iterator[Machine]:
    machine = Machine(tmp_path / "second", registry)
    yield machine
    machine.shared.close()


def pushed(machine: Machine, registry: FakeRegistry) -> Layer:
    """Push an image as a deploy does; gives the layer of its dependencies."""
    lower = base(machine.store)
    layer = made(machine.store, text("/opt/venv/x", "x"), key="deps.1")
    with Repository(registry.reference()) as repository:
        push.push(repository, lower, "1", machine.store)
        upload.upload(repository, layer.blob, machine.store)
    machine.shared.add_lower("lower key", lower)
    machine.shared.add_layer(layer)
    return layer


def test_what_one_machine_has_built_the_next_one_downloads(
    first: Machine, second: Machine, registry: FakeRegistry
) -> None:
    assert second.shared.lower("lower key") is None
    layer = pushed(first, registry)
    assert second.shared.layer("deps.1") == layer == second.store.layer("deps.1")
    found = second.shared.lower("lower key")
    assert found == base(first.store)
    assert all(second.store.path(each.blob) for each in found.layers)
    assert first.lines == second.lines == []


def test_what_was_left_is_not_left_again(first: Machine, registry: FakeRegistry) -> None:
    pushed(first, registry)
    tags = {name for _, name in registry.manifests}
    assert {keyed.tag_of("deps.1"), keyed.image_tag_of("lower key")} <= tags
    registry.requests.clear()
    first.shared.add_lower("lower key", base(first.store))
    assert registry.requests == []


def test_what_was_built_anew_takes_the_place_of_what_was_left(
    first: Machine, second: Machine, registry: FakeRegistry
) -> None:
    pushed(first, registry)
    bottom = made(first.store, text("/etc/os-release", "ID=newer\n"))
    newer = image.append(image.scratch(AMD64), [image.Added(bottom, "made anew")], image.Settings())
    with Repository(registry.reference()) as repository:
        push.push(repository, newer, "2", first.store)
    first.shared.add_lower("lower key", newer)
    assert second.shared.lower("lower key") == newer


def test_a_registry_that_refuses_is_told_once_and_asked_no_more(
    first: Machine, second: Machine, registry: FakeRegistry
) -> None:
    pushed(first, registry)
    registry.faults.append(("GET", "/manifests/layer-", (403, {})))
    assert second.shared.layer("deps.1") is None
    registry.requests.clear()
    assert second.shared.lower("lower key") is None
    second.shared.add_lower("lower key", base(second.store))
    assert registry.requests == []
    (line,) = second.lines
    assert line.startswith("no layers are shared: ")
    assert "403" in line


def test_a_blob_that_is_gone_or_another_one_counts_as_not_there(
    first: Machine, second: Machine, registry: FakeRegistry
) -> None:
    layer = pushed(first, registry)
    registry.blobs["team/app", layer.blob.digest] = b"something else"
    assert second.shared.layer("deps.1") is None
    assert second.store.layer("deps.1") is None


def test_the_lower_part_for_another_platform_is_not_taken(
    first: Machine, tmp_path: Path, registry: FakeRegistry
) -> None:
    pushed(first, registry)
    other = Machine(tmp_path / "other", registry, "linux/arm64")
    assert other.shared.lower("lower key") is None
    other.shared.close()
