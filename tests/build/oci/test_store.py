"""The blob store: whole or absent, for several processes at once, and no larger than allowed."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from tests.build.oci.support import made
from triggerdev import errors
from triggerdev.build.oci.members import text
from triggerdev.build.oci.model import CONFIG, Descriptor
from triggerdev.build.oci.store import BlobStore, default_folder

HOUR = 3600


def age(store: BlobStore, blob: Descriptor, seconds: float) -> None:
    path = store.path(blob)
    assert path is not None
    then = time.time() - seconds
    os.utime(path, (then, then))


def write_often(folder: Path, times: int) -> None:
    store = BlobStore(folder)
    for number in range(times):
        layer = made(store, text("/app/a", str(number) * 100_000), key=str(number))
        assert store.layer(str(number)) == layer


def test_processes_write_the_same_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_often, args=(tmp_path, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list((tmp_path / "blobs" / "sha256").iterdir())) == 20
    assert not list((tmp_path / "partial").iterdir())


def test_a_blob_of_another_size_is_not_there(store: BlobStore) -> None:
    blob = store.put(CONFIG, b"hello")
    path = store.path(blob)
    assert path is not None
    path.write_bytes(b"hell")
    assert store.path(blob) is None
    assert store.open(blob) is None
    store.put(CONFIG, b"hello")
    assert store.read(blob) == b"hello"


def test_a_damaged_document_is_not_given_out(store: BlobStore) -> None:
    blob = store.put(CONFIG, b"hello")
    path = store.path(blob)
    assert path is not None
    path.write_bytes(b"jello")
    assert store.read(blob) is None


def test_bytes_that_are_not_what_their_digest_says_are_refused(store: BlobStore) -> None:
    with pytest.raises(errors.BuildError, match="arrived as"):
        store.write(Descriptor.of(CONFIG, b"hello"), [b"hel", b"p!"])
    assert not list((store.folder / "partial").iterdir())


def test_a_layer_whose_blob_is_gone_is_made_again(store: BlobStore) -> None:
    layer = made(store, text("/app/a", "a"), key="k")
    path = store.path(layer.blob)
    assert path is not None
    path.unlink()
    assert store.layer("k") is None


@pytest.mark.parametrize("record", [b"", b"[]", b"{}", b'{"diff_id": "x", "blob": {}}', b"\xff"])
def test_a_damaged_record_counts_as_none(store: BlobStore, record: bytes) -> None:
    made(store, text("/app/a", "a"), key="k")
    (path,) = (store.folder / "layers").iterdir()
    path.write_bytes(record)
    assert store.layer("k") is None


def test_what_was_not_used_for_longest_goes_first(store: BlobStore) -> None:
    blobs = [store.put(CONFIG, bytes([number]) * 100) for number in range(5)]
    for number, blob in enumerate(blobs):
        age(store, blob, (10 - number) * HOUR)
    age(store, blobs[0], 2 * HOUR)  # used again
    assert store.prune(250) == 300
    assert [store.path(blob) is not None for blob in blobs] == [True, False, False, False, True]


def test_what_was_used_lately_stays_whatever_the_limit(store: BlobStore) -> None:
    blob = store.put(CONFIG, b"x" * 100)
    assert store.prune(0) == 0
    age(store, blob, 2 * HOUR)
    assert store.path(blob) is not None  # asking for it was a use
    assert store.prune(0) == 0


def test_what_a_killed_writer_left_is_swept_up(store: BlobStore) -> None:
    store.put(CONFIG, b"x")
    left, fresh = store.folder / "partial" / "left", store.folder / "partial" / "fresh"
    for path in (left, fresh):
        path.write_bytes(b"half")
    then = time.time() - 2 * HOUR
    os.utime(left, (then, then))
    store.prune()
    assert (left.exists(), fresh.exists()) == (False, True)


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TRIGGER_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "trigger" / "oci"
    monkeypatch.setenv("TRIGGER_CACHE_DIR", str(tmp_path / "other"))
    assert default_folder() == tmp_path / "other" / "oci"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.EnvironmentProblemError, match="TRIGGER_CACHE_DIR names another place"):
        BlobStore(tmp_path / "file" / "store").put(CONFIG, b"x")
