"""The registry client against a registry of our own, and against Debian's where it is installed."""

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.build.oci import fake_registry
from tests.build.oci.debian_registry import debian_registry
from tests.build.oci.fake_registry import PASSWORD, USER, FakeRegistry
from tests.build.oci.support import AMD64, base, made
from triggerdev import errors
from triggerdev.build.oci import image
from triggerdev.build.oci.blobs import Memory
from triggerdev.build.oci.members import Member, text
from triggerdev.build.oci.model import CONFIG, INDEX, LAYER_GZIP, Descriptor, Image, Platform
from triggerdev.build.oci.registry import keyed, memory, push, upload
from triggerdev.build.oci.registry.attached import EMPTY, attach, attached
from triggerdev.build.oci.registry.credentials import Credentials
from triggerdev.build.oci.registry.reference import Reference
from triggerdev.build.oci.registry.repository import Repository
from triggerdev.build.oci.registry.transport import Access
from triggerdev.build.oci.store import BlobStore

Open = Callable[..., Repository]


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry.running(FakeRegistry()) as running:
        yield running


@pytest.fixture
def waits() -> list[float]:
    """How long the client waited between tries; it does not really wait."""
    return []


@pytest.fixture
def access(waits: list[float]) -> Access:
    return Access(sleep=waits.append, find=lambda *_: Credentials(USER, PASSWORD))


@pytest.fixture
def repository(registry: FakeRegistry, access: Access) -> Iterator[Repository]:
    with Repository(registry.reference(), access) as opened:
        yield opened


def app(store: BlobStore, code: str = "a = 1\n") -> Image:
    layer = made(store, text("/app/a.py", code))
    return image.append(base(store), [image.Added(layer)], image.Settings(user="1000"))


def test_an_image_is_pushed_and_read_back(repository: Repository, store: BlobStore) -> None:
    whole = app(store)
    pushed = push.push(repository, whole, "1", store)
    assert pushed.digest == whole.descriptor.digest
    assert {blob.digest for blob in pushed.sent} == {
        *(layer.blob.digest for layer in whole.layers),
        whole.config_descriptor.digest,
    }
    assert repository.image("1", AMD64) == whole
    assert repository.image(whole.descriptor.digest, AMD64) == whole
    for layer in whole.layers:
        assert b"".join(repository.open(layer.blob) or ()) == b"".join(store.open(layer.blob) or ())


def test_a_change_sends_only_what_is_new(registry: FakeRegistry, access: Access, store: BlobStore) -> None:
    before, after = app(store), app(store, "a = 2\n")
    with Repository(registry.reference(tag="1"), access) as repository:
        push.push_remembered(store, repository, before, store)
    registry.requests.clear()
    with Repository(registry.reference(tag="2"), access) as repository:
        pushed = push.push_remembered(store, repository, after, store)
        assert repository.image("2", AMD64) == after
    new = {after.layers[-1].blob.digest, after.config_descriptor.digest}
    assert {blob.digest for blob in pushed.sent} == new
    assert sorted(method for method, _ in registry.requests[:5]) == ["POST", "POST", "PUT", "PUT", "PUT"]


def test_a_document_comes_beside_an_image_that_may_come_later(
    repository: Repository, registry: FakeRegistry, store: BlobStore
) -> None:
    whole = app(store)
    attach(repository, whole.descriptor, "text/plain", b"before")
    push.push(repository, whole, "1", store)
    registry.requests.clear()
    attach(repository, whole.descriptor, "text/plain", b"after", present={EMPTY.digest})
    assert attached(repository, whole.descriptor, "text/plain") == [b"before", b"after"]
    assert sum(method == "POST" for method, _ in registry.requests) == 1


def test_a_document_is_pushed_though_the_repository_has_lost_what_it_had(
    repository: Repository, store: BlobStore
) -> None:
    whole = app(store)
    attach(repository, whole.descriptor, "text/plain", b"text", present={EMPTY.digest})
    assert attached(repository, whole.descriptor, "text/plain") == [b"text"]


def test_what_a_repository_had_is_believed_for_a_day(
    registry: FakeRegistry, access: Access, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Repository(registry.reference(tag="1"), access) as repository:
        push.push_remembered(store, repository, app(store), store)
        assert len(memory.present(store, registry.reference(tag="2"))) == 3
        assert memory.present(store, registry.reference("team/other")) == frozenset()
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
        assert memory.present(store, registry.reference(tag="2")) == frozenset()


def test_what_is_remembered_stays_small(registry: FakeRegistry, store: BlobStore) -> None:
    digests = {f"sha256:{number:064}": float(number) for number in range(600)}
    store.note(f"pushed:localhost:{registry.port}/team/app", digests)
    memory.remember(store, registry.reference(), app(store))
    kept = store.fact(f"pushed:localhost:{registry.port}/team/app")
    assert kept is not None
    assert len(kept) == 500
    assert app(store).config_descriptor.digest in kept


def test_an_image_that_is_there_costs_one_request(
    repository: Repository, registry: FakeRegistry, store: BlobStore
) -> None:
    push.push(repository, app(store), "1", store)
    registry.requests.clear()
    assert push.push(repository, app(store), "1", store).unchanged
    assert registry.requests == [("HEAD", "/v2/team/app/manifests/1")]


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every blob for one that is worth asking for before it is sent."""
    monkeypatch.setattr(push, "SMALL", 0)


@pytest.mark.usefixtures("all_large")
def test_another_tag_sends_no_blob(repository: Repository, registry: FakeRegistry, store: BlobStore) -> None:
    push.push(repository, app(store), "1", store)
    pushed = push.push(repository, app(store), "2", store)
    assert (pushed.sent, pushed.unchanged) == ((), False)
    assert repository.has("2", pushed.digest)


def test_blobs_that_the_registry_has_lost_are_sent_again(
    repository: Repository, registry: FakeRegistry, store: BlobStore
) -> None:
    whole = app(store)
    push.push(repository, whole, "1", store)
    registry.blobs.clear()
    present = [layer.blob.digest for layer in whole.layers]
    pushed = push.push(repository, whole, "2", store, push.Plan(present=present))
    assert {blob.digest for blob in pushed.sent} == {*present, whole.config_descriptor.digest}
    assert repository.image("2", AMD64) == whole


@pytest.mark.parametrize("can_mount", [True, False])
def test_blobs_are_taken_over_from_another_repository(
    registry: FakeRegistry, access: Access, store: BlobStore, can_mount: bool
) -> None:
    registry.auth, registry.can_mount = "basic", can_mount
    whole = app(store)
    plan = push.Plan(mounts={layer.blob.digest: "team/base" for layer in whole.layers})
    with Repository(registry.reference("team/base"), access) as source:
        push.push(source, whole, "1", store)
    with Repository(registry.reference("team/other"), access) as target:
        pushed = push.push(target, whole, "1", store, plan)
        assert target.image("1", AMD64) == whole
    assert len(pushed.mounted) == (2 if can_mount else 0)
    assert len(pushed.sent) == (1 if can_mount else 3)


@pytest.mark.parametrize("auth", ["basic", "bearer"])
def test_who_has_logged_in_may_push(
    registry: FakeRegistry, repository: Repository, store: BlobStore, auth: str
) -> None:
    registry.auth = auth
    push.push(repository, app(store), "1", store)
    assert repository.image("1", AMD64) == app(store)
    assert registry.count("GET", "/token") <= 2


@pytest.mark.parametrize(
    ("auth", "message"),
    [("basic", "refused to give the manifest team/app:1: 401"), ("bearer", "token service refused")],
)
@pytest.mark.parametrize("found", [None, Credentials(USER, "not this one")])
def test_who_has_not_is_told_to_log_in(
    registry: FakeRegistry, auth: str, message: str, found: Credentials | None
) -> None:
    registry.auth = auth
    access = Access(sleep=lambda _: None, find=lambda *_: found)
    opened = Repository(registry.reference(), access)
    with opened, pytest.raises(errors.RegistryError, match=message) as raised:
        opened.image("1", AMD64)
    assert raised.value.status == 401
    assert "docker login" in str(raised.value)
    assert "not this one" not in str(raised.value)


def test_a_token_that_stands_for_the_login_is_refreshed(registry: FakeRegistry) -> None:
    registry.auth = "bearer"
    access = Access(find=lambda *_: Credentials("", identity_token="long-lived"))
    with Repository(registry.reference(), access) as opened:
        assert opened.image("1", AMD64) is None
    assert registry.count("POST", "/token") == 1


def test_a_token_service_without_tls_is_refused() -> None:
    import httpx

    from triggerdev.build.oci.registry.auth import Authorizer

    challenge = {"www-authenticate": 'Bearer realm="http://tokens.example.com/token",service="x"'}
    authorizer = Authorizer(httpx.request, lambda: None, plain=False)
    with pytest.raises(errors.RegistryError, match="without TLS"):
        authorizer.answer(httpx.Response(401, headers=challenge), "repository:a:pull", None)


def test_credentials_are_in_no_log(
    registry: FakeRegistry, repository: Repository, store: BlobStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    registry.auth = "bearer"
    push.push(repository, app(store), "1", store)
    told = caplog.text + repr(Credentials(USER, PASSWORD, "identity"))
    assert caplog.records
    for secret in (PASSWORD, "identity", "token-for", Credentials(USER, PASSWORD).basic()):
        assert secret not in told


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize(
    "fault", ["drop", (503,), (500,), (429, {"Retry-After": "7"})], ids=["dropped", "503", "500", "429"]
)
@pytest.mark.parametrize(
    ("method", "path"), [("HEAD", "blobs"), ("POST", "uploads"), ("PUT", "uploads"), ("PUT", "manifests")]
)
def test_what_passes_is_tried_again(
    registry: FakeRegistry,
    repository: Repository,
    store: BlobStore,
    waits: list[float],
    fault: object,
    method: str,
    path: str,
) -> None:
    registry.faults.append((method, path, fault))
    push.push(repository, app(store), "1", store)
    assert repository.image("1", AMD64) == app(store)
    assert waits == [7.0 if fault == (429, {"Retry-After": "7"}) else 0.5]


def test_a_registry_that_stays_broken_is_given_up(
    registry: FakeRegistry, repository: Repository, waits: list[float]
) -> None:
    registry.faults += [("GET", "manifests", (503,))] * 9
    with pytest.raises(errors.RegistryError, match="refused to give the manifest team/app:1: 503"):
        repository.image("1", AMD64)
    assert waits == [0.5, 1, 2, 4]


def test_a_registry_that_is_not_there_is_named(waits: list[float]) -> None:
    access = Access(sleep=waits.append)
    opened = Repository(Reference.parse("localhost:1/a"), access)
    message = r"cannot reach the registry localhost:1: .*is it running"
    with opened, pytest.raises(errors.RegistryError, match=message):
        opened.image("1", AMD64)
    assert len(waits) == 4


def test_what_a_registry_says_cannot_move_the_cursor(registry: FakeRegistry, repository: Repository) -> None:
    blob = Descriptor.of(CONFIG, b"x")
    registry.faults.append(("HEAD", "blobs", (400, {"X": "y"})))
    with pytest.raises(errors.RegistryError, match="400"):
        repository.has_blob(blob)
    import httpx

    from triggerdev.build.oci.registry.transport import refused

    response = httpx.Response(403, text="\x1b[2Jgone\nroot# ")
    assert str(refused(response, "push", "r")) == (
        "r refused to push: 403 \\x1b[2Jgone\\nroot#; this account may not do that"
    )


BIG = bytes(range(256)) * 160  # 40 KiB


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take for large what is over 32 KiB, and send it in chunks of 16."""
    monkeypatch.setattr(upload, "CHUNKED_FROM", 32 << 10)
    monkeypatch.setattr(upload, "CHUNK", 16 << 10)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [("PATCH", "uploads", "drop")],
        [("PATCH", "uploads", (503,)), ("PATCH", "uploads", "drop")],
        [("PUT", "uploads", "drop")],
    ],
    ids=["smoothly", "dropped", "busy and dropped", "dropped at the end"],
)
def test_a_large_blob_goes_in_chunks_and_on_where_it_broke_off(
    registry: FakeRegistry, repository: Repository, relative: bool, faults: list[tuple[str, str, object]]
) -> None:
    registry.relative = relative
    registry.faults += faults
    blob = Descriptor.of(LAYER_GZIP, BIG)
    upload.upload(repository, blob, Memory(BIG))
    assert registry.blobs["team/app", blob.digest] == BIG
    assert registry.count("PATCH") == 3 + sum(each[0] == "PATCH" for each in faults)


@pytest.mark.usefixtures("small_chunks")
def test_chunks_are_as_large_as_the_registry_wants_them(
    registry: FakeRegistry, repository: Repository
) -> None:
    registry.min_chunk = 30 << 10
    upload.upload(repository, Descriptor.of(LAYER_GZIP, BIG), Memory(BIG))
    assert registry.count("PATCH") == 2


def test_an_upload_that_arrived_before_the_connection_broke_is_done(
    registry: FakeRegistry, repository: Repository
) -> None:
    blob = Descriptor.of(LAYER_GZIP, b"small")
    registry.blobs["team/app", blob.digest] = b"small"
    registry.faults.append(("PUT", "uploads", (404,)))
    upload.upload(repository, blob, Memory(b"small"))


def test_a_registry_that_takes_nothing_is_an_error(registry: FakeRegistry, repository: Repository) -> None:
    registry.faults.append(("POST", "uploads", (403,)))
    with pytest.raises(errors.RegistryError, match="refused to take a blob for team/app: 403"):
        upload.upload(repository, Descriptor.of(LAYER_GZIP, b"x"), Memory(b"x"))


@pytest.mark.parametrize("can_range", [True, False])
def test_a_download_goes_on_where_it_broke_off(
    registry: FakeRegistry, repository: Repository, store: BlobStore, can_range: bool
) -> None:
    registry.can_range = can_range
    blob = Descriptor.of(LAYER_GZIP, BIG)
    registry.blobs["team/app", blob.digest] = BIG
    registry.faults.append(("BREAK", blob.digest, True))
    chunks = repository.open(blob)
    assert chunks is not None
    path = store.write(blob, chunks)
    assert path.read_bytes() == BIG


def test_blobs_that_are_kept_elsewhere_are_fetched_without_our_credentials(
    registry: FakeRegistry, repository: Repository, store: BlobStore
) -> None:
    blob = Descriptor.of(LAYER_GZIP, b"data")
    with fake_registry.running(FakeRegistry()) as elsewhere:
        registry.auth, registry.elsewhere = "basic", f"http://127.0.0.1:{elsewhere.port}"
        registry.blobs["team/app", blob.digest] = elsewhere.blobs["team/app", blob.digest] = b"data"
        assert b"".join(repository.open(blob) or ()) == b"data"
        assert "Authorization" not in elsewhere.headers[0]
    assert "Authorization" in registry.headers[-1]


def test_a_blob_that_is_not_there_is_none(repository: Repository) -> None:
    assert repository.open(Descriptor.of(LAYER_GZIP, b"data")) is None
    assert repository.image("1", AMD64) is None


def test_of_an_index_the_image_for_the_platform_is_taken(repository: Repository, store: BlobStore) -> None:
    images = [app(store), image.append(image.scratch(Platform("linux", "arm64")), [], image.Settings())]
    for each in images:
        push.push(repository, each, each.descriptor.digest, store)
    push.push_index(repository, image.index(images), INDEX, "1")
    for each in images:
        assert repository.image("1", each.platform) == each
    with pytest.raises(errors.RegistryError, match="has no image for linux/s390x"):
        repository.image("1", Platform("linux", "s390x"))


def test_documents_that_were_read_are_not_asked_for_again(
    registry: FakeRegistry, repository: Repository, store: BlobStore, tmp_path: Path
) -> None:
    push.push(repository, app(store), "1", store)
    kept = BlobStore(tmp_path / "kept")
    repository.image("1", AMD64, kept)
    registry.requests.clear()
    assert repository.image("1", AMD64, kept) == app(store)
    assert registry.requests == [("GET", "/v2/team/app/manifests/1")]


@pytest.mark.parametrize("lie", [b"{}", b"[]", b"no json", b'{"layers": [], "config": {}}'])
def test_a_registry_that_lies_is_an_error(
    registry: FakeRegistry, repository: Repository, store: BlobStore, lie: bytes
) -> None:
    registry.manifests["team/app", "1"] = ("application/json", lie)
    with pytest.raises(errors.BuildError):
        repository.image("1", AMD64)
    digest = Descriptor.of("", b"x").digest
    registry.manifests["team/app", digest] = ("application/json", lie)
    with pytest.raises(errors.RegistryError, match="gave another manifest"):
        repository.image(digest, AMD64)


def test_an_image_for_another_platform_is_an_error(repository: Repository, store: BlobStore) -> None:
    push.push(repository, app(store), "1", store)
    with pytest.raises(errors.RegistryError, match="is for linux/amd64, not linux/arm64"):
        repository.image("1", Platform("linux", "arm64"))


def test_a_layer_is_found_by_its_key(repository: Repository, store: BlobStore) -> None:
    layer = made(store, text("/opt/venv/x", "x"), key="0123.1")
    assert keyed.find(repository, layer.key) is None
    upload.upload(repository, layer.blob, store)
    keyed.publish(repository, layer)
    assert keyed.find(repository, layer.key) == layer
    assert keyed.find(repository, "other") is None


def test_what_is_no_layer_is_not_taken_for_one(
    registry: FakeRegistry, repository: Repository, store: BlobStore
) -> None:
    push.push(repository, app(store), keyed.tag_of("k"), store)
    assert keyed.find(repository, "k") is None
    registry.manifests["team/app", keyed.tag_of("k")] = ("application/json", b"no json")
    assert keyed.find(repository, "k") is None


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_a_registry_with_a_certificate_of_its_own(
    certificate: tuple[Path, Path], store: BlobStore, waits: list[float]
) -> None:
    with fake_registry.running(FakeRegistry(), certificate) as registry:
        known = Access(ca_file=certificate[0], sleep=waits.append)
        with Repository(registry.reference(), known) as opened:
            push.push(opened, app(store), "1", store)
        opened = Repository(registry.reference(), Access(plain_http=False, sleep=waits.append))
        with opened, pytest.raises(errors.RegistryError, match=r"certificate.*deploy\.registry_ca_file"):
            opened.image("1", AMD64)


def test_a_ca_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    opened = Repository(Reference.parse("r.example.com/a"), Access(ca_file=tmp_path / "ca.pem"))
    message = r"deploy.registry_ca_file: .*ca\.pem holds no"
    with opened, pytest.raises(errors.EnvironmentProblemError, match=message):
        opened.image("1", AMD64)


def test_without_tls_only_this_machine_and_what_is_configured_is_spoken_to() -> None:
    def scheme(name: str, access: Access) -> str:
        with Repository(Reference.parse(name), access) as opened:
            return opened.transport.absolute("/v2/").scheme

    assert scheme("localhost:5000/a", Access()) == "http"
    assert scheme("127.0.0.1:5000/a", Access()) == "http"
    assert scheme("r.example.com/a", Access()) == "https"
    assert scheme("localhost.example.com/a", Access()) == "https"
    assert scheme("r.example.com/a", Access(plain_http=True)) == "http"
    assert scheme("localhost:5000/a", Access(plain_http=False)) == "https"


def test_a_registry_cannot_send_us_away_from_tls() -> None:
    with Repository(Reference.parse("r.example.com/a"), Access()) as opened:
        assert str(opened.transport.absolute("http://r.example.com/v2/x")) == "https://r.example.com/v2/x"
        with pytest.raises(errors.RegistryError, match=r"sends us to other\.example\.com without TLS"):
            opened.transport.absolute("http://other.example.com/v2/x")


@pytest.mark.usefixtures("small_chunks")
def test_debians_registry_takes_the_same(store: BlobStore, tmp_path: Path) -> None:
    with debian_registry(tmp_path) as host, Repository(Reference.parse(f"{host}/team/app")) as repository:
        before, after = app(store), app(store, "a = 2\n")
        push.push(repository, before, "1", store)
        pushed = push.push(repository, after, "2", store, push.Plan(present=[before.layers[0].blob.digest]))
        assert len(pushed.sent) == 2
        assert repository.image("2", AMD64) == after
        layer = replace(after.layers[-1], key="some key")
        keyed.publish(repository, layer)
        assert keyed.find(repository, "some key") == layer
        big = Descriptor.of(LAYER_GZIP, BIG)
        upload.upload(repository, big, Memory(BIG))
        assert b"".join(repository.open(big) or ()) == BIG
        lost = image.append(
            after, [image.Added(made(store, Member("/x", "folder", 0o755)))], image.Settings()
        )
        everything = [each.blob.digest for each in lost.layers]
        assert len(push.push(repository, lost, "3", store, push.Plan(present=everything)).sent) == 2
        with Repository(Reference.parse(f"{host}/other/app")) as other:
            mounts = {each.blob.digest: "team/app" for each in after.layers}
            assert len(push.push(other, after, "1", store, push.Plan(mounts=mounts)).mounted) == 2
