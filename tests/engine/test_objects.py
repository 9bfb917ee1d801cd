"""Where large bodies lie: in a folder, in a bucket; whole or not at all."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer

from triggerdev import errors
from triggerdev.engine.objects import FolderObjects, ObjectStore, open_objects
from triggerdev.engine.objects.memory import MemoryObjects
from triggerdev.engine.objects.protocol import Body
from triggerdev.engine.objects.s3 import S3Objects

TEXT = Body("text/plain", "zwölf\n\x00".encode())


@pytest.fixture(scope="session")
def bucket() -> Iterator[dict[str, str]]:
    """The environment of a server that speaks S3, with a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.put(f"{url}/kept").raise_for_status()
    yield {
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "hush",
    }
    server.stop()


@pytest.fixture(params=["folder", "s3", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjects()
    if request.param == "folder":
        return open_objects(tmp_path / "objects", {})
    environ = request.getfixturevalue("bucket")
    return open_objects(f"s3://kept/{tmp_path.name}", environ)


async def keys(objects: ObjectStore, folder: str) -> list[str]:
    return sorted([found.key async for found in objects.listed(folder)])


async def test_what_is_put_is_there(objects: ObjectStore) -> None:
    assert await objects.get("bodies/a") is None
    assert await keys(objects, "bodies") == []
    await objects.put("bodies/a", TEXT)
    await objects.put("bodies/b", Body("application/json", b"x" * 3_000_000))
    await objects.put("packets/a", Body("application/json", b""))
    assert await objects.get("bodies/a") == TEXT
    found = await objects.get("bodies/b")
    assert found is not None
    assert len(found.data) == 3_000_000
    assert await objects.get("packets/a") == Body("application/json", b"")
    await objects.put("bodies/a", Body("application/json", b"2"))
    assert await objects.get("bodies/a") == Body("application/json", b"2")
    assert await keys(objects, "bodies") == ["bodies/a", "bodies/b"]


async def test_what_is_deleted_is_gone_and_what_is_not_there_is_no_error(objects: ObjectStore) -> None:
    for name in "abc":
        await objects.put(f"bodies/{name}", TEXT)
    await objects.delete(["bodies/a", "bodies/none", "bodies/c"])
    assert await keys(objects, "bodies") == ["bodies/b"]


# -- the folder


async def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = FolderObjects(tmp_path)
    await objects.put("bodies/a", TEXT)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for key in ("bodies/a", "bodies/new"):
        with pytest.raises(errors.StorageFullError, match=r"is full: the payload or output was not stored"):
            await objects.put(key, Body("application/json", b"2"))
    monkeypatch.undo()
    assert await objects.get("bodies/a") == TEXT
    assert [path.name for path in (tmp_path / "bodies").iterdir()] == ["a"]


async def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "bodies").write_text("a file")
    with pytest.raises(errors.EnvironmentProblemError, match="was not stored"):
        await FolderObjects(tmp_path).put("bodies/a", TEXT)


async def test_drafts_of_a_process_that_was_killed_go_after_an_hour(tmp_path: Path) -> None:
    objects = FolderObjects(tmp_path)
    await objects.put("bodies/a", TEXT)
    old, new = tmp_path / "bodies" / "b.1234.tmp", tmp_path / "bodies" / "c.1234.tmp"
    for draft, age in ((old, 4000), (new, 0)):
        draft.write_bytes(b"half")
        os.utime(draft, (time.time() - age,) * 2)
    assert await keys(objects, "bodies") == ["bodies/a"]
    assert (old.exists(), new.exists()) == (False, True)


# -- the bucket


async def test_urls_of_a_bucket_need_no_key(bucket: dict[str, str]) -> None:
    objects = open_objects("s3://kept/signed", bucket)
    assert isinstance(objects, S3Objects)
    up, down = objects.presign("PUT", "packets/a", 60), objects.presign("GET", "packets/a", 60)
    assert up is not None and down is not None
    assert "X-Amz-Signature" in up
    assert "hush" not in up + down
    async with httpx.AsyncClient() as client:
        headers = {"content-type": "application/super+json"}
        (await client.put(up, content=b"{}", headers=headers)).raise_for_status()
        answer = await client.get(down)
    assert (answer.content, answer.headers["content-type"]) == (b"{}", "application/super+json")
    assert await objects.get("packets/a") == Body("application/super+json", b"{}")


async def test_a_bucket_that_does_not_answer_is_waited_for_and_named(bucket: dict[str, str]) -> None:
    objects = open_objects("s3://kept/x", {**bucket, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    for call in (objects.put("bodies/a", TEXT), objects.get("bodies/a")):
        with pytest.raises(errors.StorageUnavailableError, match="s3://kept/x cannot be reached"):
            await call


async def test_a_bucket_that_does_not_exist_is_no_missing_object(bucket: dict[str, str]) -> None:
    objects = open_objects("s3://nowhere", bucket)
    with pytest.raises(errors.EnvironmentProblemError, match="s3://nowhere"):
        await objects.put("bodies/a", TEXT)


@pytest.mark.parametrize("url", ["https://bucket/x", "s3://", "bucket"])
def test_a_wrong_url_is_named(url: str) -> None:
    with pytest.raises(errors.UsageError, match=r"TRIGGER_OBJECT_STORE_URL=.*must look like s3://"):
        open_objects(url, {})


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    missing: Any = None
    monkeypatch.setitem(sys.modules, "obstore.store", missing)
    with pytest.raises(errors.EnvironmentProblemError, match=r"pip install 'triggerdev\[s3\]'"):
        open_objects("s3://bucket", {})
