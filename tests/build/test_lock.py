"""`trigger.lock`: what it holds is used and nothing else, and how it comes about."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.oci import fake_registry
from tests.build.oci.fake_registry import FakeRegistry
from tests.build.support import Project
from triggerdev import errors
from triggerdev.build import lock as locks
from triggerdev.build.lock import Lock, Pin
from triggerdev.build.oci.model import MANIFEST, digest_of
from triggerdev.cli.main import main

FIRST, SECOND = b'{"first": 1}', b'{"second": 2}'
SUM = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry.running(FakeRegistry()) as running:
        yield running


@pytest.fixture
def there(project: Project, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in whose folder commands run, on a base of the registry."""
    monkeypatch.chdir(project.root)
    tag(registry, "1", FIRST)
    base(project, registry)
    return project


def tag(registry: FakeRegistry, name: str, manifest: bytes) -> str:
    """Let a tag lead to a manifest; gives its digest."""
    registry.manifests["team/base", name] = (MANIFEST, manifest)
    return digest_of(manifest)


def base(project: Project, registry: FakeRegistry, name: str = "1", further: str = "") -> None:
    project.config(f'[build]\nbase_image = "localhost:{registry.port}/team/base:{name}"\n{further}')


def planned_base(project: Project) -> str:
    return str(project.plan().document["base"])


def test_a_base_is_pinned_by_the_digest_that_it_has_then(there: Project, registry: FakeRegistry) -> None:
    free = there.plan().document["layers"]
    assert main(["lock"]) == 0
    first = digest_of(FIRST)
    assert planned_base(there) == f"localhost:{registry.port}/team/base:1@{first}"
    assert f"FROM localhost:{registry.port}/team/base:1@{first}" in there.containerfile()
    pinned = there.plan().document["layers"]
    assert pinned[0]["key"] != free[0]["key"]
    tag(registry, "1", SECOND)
    assert there.plan().document["layers"] == pinned


def test_a_digest_stays_until_it_is_to_be_upgraded(
    there: Project, registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock"]) == 0
    written = (there.root / locks.FILE).read_text("utf-8")
    second = tag(registry, "1", SECOND)
    registry.requests.clear()
    capsys.readouterr()
    assert main(["lock"]) == 0
    assert registry.requests == []
    assert "trigger.lock is as it was" in capsys.readouterr().out
    assert (there.root / locks.FILE).read_text("utf-8") == written
    assert main(["lock", "--upgrade", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["changed"] is True
    assert answer["bases"] == {f"localhost:{registry.port}/team/base:1": second}
    assert planned_base(there).endswith(f"@{second}")


def test_a_check_asks_nobody_and_writes_nothing(
    there: Project, registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lock", "--check"]) == 1
    assert "trigger.lock is not what the project needs; run `trigger lock`" in capsys.readouterr().err
    assert not (there.root / locks.FILE).exists()
    assert registry.requests == []
    assert main(["lock"]) == 0
    assert main(["lock", "--check"]) == 0
    base(there, registry, "2")
    assert main(["lock", "--check"]) == 1


def test_what_is_not_in_the_lock_is_not_used(there: Project, registry: FakeRegistry) -> None:
    assert main(["lock"]) == 0
    base(there, registry, "2")
    with pytest.raises(errors.BuildError, match=r"does not hold the base image .*base:2; run `trigger lock`"):
        there.plan()
    there.config(f'[build]\nbase_image = "team/base@sha256:{SUM}"\n')
    assert planned_base(there) == f"team/base@sha256:{SUM}"
    base(there, registry, "1", '[build.extensions.ffmpeg]\nversion = "7"\n')
    with pytest.raises(errors.BuildError, match=r"does not hold the download ffmpeg 7\.0\.2; run"):
        there.plan()


def test_downloads_are_what_they_were(there: Project, registry: FakeRegistry) -> None:
    base(there, registry, "1", '[build.extensions.ffmpeg]\nversion = "7"\n')
    assert main(["lock"]) == 0
    there.plan()
    file = there.root / locks.FILE
    text = file.read_text("utf-8")
    assert 'name = "ffmpeg"\nversion = "7.0.2"\nsha256.amd64 = "abda8d77' in text
    file.write_text(re.sub(r'sha256\.amd64 = "\w+"', f'sha256.amd64 = "{SUM}"', text), "utf-8")
    with pytest.raises(errors.BuildError, match=r"the sha256 of the download ffmpeg 7\.0\.2 is another one"):
        there.plan()


def test_an_extension_can_pin_what_it_downloads(there: Project, registry: FakeRegistry) -> None:
    there.extension(f"context.pin('tool', '1.2', {{'amd64': '{SUM}'}})")
    assert [str(pin) for pin in there.outcome().pins] == ["tool 1.2"]
    there.extension("context.pin('tool', '1.2', {'amd64': 'no sum'})")
    with pytest.raises(errors.ExtensionError, match="'amd64': 'no sum' is no sha256 of an architecture"):
        there.outcome()


def test_every_environment_of_the_config_is_locked(there: Project, registry: FakeRegistry) -> None:
    second = tag(registry, "2", SECOND)
    staging = f'[env.staging.build]\nbase_image = "localhost:{registry.port}/team/base:2"\n'
    base(there, registry, "1", f'{staging}[env.dev.build]\nbase_image = "nobody.invalid/base"\n')
    assert main(["lock"]) == 0
    assert there.plan(environment="staging").document["base"].endswith(f":2@{second}")
    assert there.plan(environment="prod").document["base"].endswith(f":1@{digest_of(FIRST)}")
    base(there, registry)
    assert main(["lock"]) == 0
    assert "base:2" not in (there.root / locks.FILE).read_text("utf-8"), "what nobody needs is dropped"


def test_a_base_that_no_registry_has_cannot_be_locked(
    there: Project, registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    base(there, registry, "9")
    assert main(["lock"]) == 1
    assert "in its registry, so it has no digest for others to use; push it" in capsys.readouterr().err
    assert not (there.root / locks.FILE).exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version = ", "cannot be read"),
        ("", "is of version None"),
        ("version = 2\n", "is of version 2"),
        ("version = 1\nbase = 3\n", "cannot be understood"),
        ('version = 1\n[[base]]\nimage = "a"\n', "cannot be understood: 'digest'"),
        ('version = 1\n[[base]]\nimage = "a"\ndigest = "sha256:1"\n', "no sha256 digest"),
        (f'version = 1\n[[base]]\nimage = "a\\nRUN x"\ndigest = "sha256:{SUM}"\n', "no name of an image"),
        ('version = 1\n[[download]]\nname = "a"\nversion = "1"\nsha256 = 4\n', "cannot be understood"),
        (f'version = 1\n[[download]]\nname = ""\nversion = "1"\nsha256.amd64 = "{SUM}"\n', "no name or"),
        (f'version = 1\n[[download]]\nname = "a"\nversion = "1"\nsha256."x y" = "{SUM}"\n', "no sha256"),
    ],
)
def test_a_damaged_lock_is_an_error_that_says_so_and_can_be_made_anew(
    there: Project, text: str, said: str
) -> None:
    (there.root / locks.FILE).write_text(text, "utf-8")
    with pytest.raises(errors.BuildError, match=said) as caught:
        there.plan()
    assert "trigger.lock" in str(caught.value)
    assert main(["lock"]) == 0
    there.plan()


def test_the_file_is_the_same_for_the_same_lock_and_is_read_as_it_was(tmp_path: Path) -> None:
    pins = (Pin.of("b", "1", {"arm64": SUM, "amd64": OTHER}), Pin.of('a "ü"', "2", {"amd64": SUM}))
    lock = Lock({"z:1": f"sha256:{SUM}", "a:1": f"sha256:{OTHER}"}, tuple(sorted(pins)))
    again = Lock(dict(sorted(lock.bases.items())), lock.downloads[::-1])
    assert lock.text() == again.text()
    locks.write(tmp_path, lock)
    assert locks.read(tmp_path) == lock
    assert [path.name for path in tmp_path.iterdir()] == [locks.FILE]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.EnvironmentProblemError, match=r"cannot write .*trigger\.lock: No such file"):
        locks.write(tmp_path / "gone", Lock())
