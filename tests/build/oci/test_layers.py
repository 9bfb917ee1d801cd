"""Layers: the same members are the same bytes, and what a layer cannot hold is refused."""

import io
import tarfile
import tracemalloc
import zlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.build.oci.support import contents, made, unpacked
from triggerdev import errors
from triggerdev.build.oci import compression, layer, tar
from triggerdev.build.oci.compression import Gzip
from triggerdev.build.oci.members import Member, complete, folder, link, text
from triggerdev.build.oci.store import BlobStore

NAMES = st.text(st.sampled_from("abcäß漢 ._-"), min_size=1, max_size=60).filter(
    lambda name: name.strip(".") and not name.startswith(".wh.")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


def tree(files: dict[str, bytes], links: dict[str, str]) -> list[Member]:
    """Members in folders of their own, so that no file is a folder."""
    return [text(f"f/{name}/x", data) for name, data in files.items()] + [
        link(f"l/{name}/x", target) for name, target in links.items()
    ]


@given(
    st.dictionaries(PATHS, st.binary(max_size=1500), max_size=5), st.dictionaries(PATHS, PATHS, max_size=3)
)
def test_the_bytes_are_those_of_pythons_tarfile(files: dict[str, bytes], links: dict[str, str]) -> None:
    members = complete(tree(files, links))
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member in members:
            info = tarfile.TarInfo(member.path)
            info.mode, info.size, info.linkname = member.mode, member.size, member.target
            kinds = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}
            info.type = kinds[member.kind]
            archive.addfile(info, io.BytesIO(member.content or b""))
    assert b"".join(tar.stream(members)) == expected.getvalue()


def test_a_file_over_8_gib_has_an_extended_size() -> None:
    size = 9 * 2**30
    head = next(tar.stream([Member("large", size=size)]))
    with tarfile.open(fileobj=io.BytesIO(head)) as archive:
        info = archive.next()
    assert info is not None
    assert info.size == size


@given(st.randoms(use_true_random=False))
def test_the_order_in_which_members_come_does_not_matter(random: Random) -> None:
    members = [text("/app/b", "b"), text("/app/a/x", "x"), text("/app/a-b", "c"), folder("/app/e", 0o700)]
    expected = b"".join(tar.stream(complete(members)))
    random.shuffle(members)
    assert b"".join(tar.stream(complete(members))) == expected


def test_folders_are_members_and_keep_the_modes_of_base_images(store: BlobStore) -> None:
    made_layer = made(store, text("/app/trigger/a.py", ""), text("/tmp/x", ""), text("/root/.x", ""))
    modes = {name: (info.mode, info.isdir()) for name, info in contents(store, made_layer).items()}
    assert modes == {
        "app": (0o755, True),
        "app/trigger": (0o755, True),
        "app/trigger/a.py": (0o644, False),
        "root": (0o700, True),
        "root/.x": (0o644, False),
        "tmp": (0o1777, True),
        "tmp/x": (0o644, False),
    }


def test_owners_times_and_names_of_owners_are_nobodys(store: BlobStore) -> None:
    made_layer = made(store, text("/app/a", "a"), Member("/app/b", "folder", 0o755, uid=1000, gid=1000))
    for info in contents(store, made_layer).values():
        owner = 1000 if info.name == "app/b" else 0
        assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, owner, owner, "", "")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/bin/tool", "usr/bin/tool"),
        ("/lib/x/y", "usr/lib/x/y"),
        ("/var/run/app", "run/app"),
        ("/var/lock/a", "run/lock/a"),
        ("/binary", "binary"),
        ("/app/bin/tool", "app/bin/tool"),
    ],
)
def test_nothing_hides_the_links_of_the_base(path: str, place: str) -> None:
    assert complete([text(path, "")])[-1].path == place


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([text("/", "")], "no path"),
        ([text("", "")], "no path"),
        ([text("a/../../b", "")], "no path"),
        ([text("..", "")], "no path"),
        ([text("a/../b", "")], "no path"),
        ([text("a\0b", "")], "no path"),
        ([text("a\ud800b", "")], "no path"),
        ([text("a/.wh.b", "")], "delete files"),
        ([text(".wh..wh..opq", "")], "delete files"),
        ([text("a", ""), text("/a", "")], "/a twice"),
        ([text("a/./b", ""), text("a//b", "")], "/a/b twice"),
        ([text("bin/x", ""), text("usr/bin/x", "")], "/usr/bin/x twice"),
        ([text("a", ""), text("a/b", "")], "/a would be a file and a folder"),
        ([link("a", "/etc"), text("a/passwd", "")], "/a would be a link and a folder"),
        ([text("a/b/c/d", ""), link("a/b", "/etc")], "/a/b would be a link and a folder"),
    ],
)
def test_what_a_layer_cannot_hold_is_refused(members: list[Member], message: str) -> None:
    with pytest.raises(errors.BuildError, match=message):
        complete(members)


@pytest.mark.parametrize("size", [0, 1, 5, 7])
def test_a_file_that_is_not_as_it_was_described_is_no_layer(
    store: BlobStore, tmp_path: Path, size: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"123456")
    with pytest.raises(errors.BuildError, match="changed while it was being read"):
        made(store, Member("a", size=size, source=path), key="k")
    same_size = Member("a", size=6, source=path, sha256="0" * 64)
    with pytest.raises(errors.BuildError, match="changed while it was being read"):
        made(store, same_size, key="k")
    assert store.layer("k") is None
    assert not list((store.folder / "partial").iterdir())


def test_a_file_that_is_gone_is_named(store: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(errors.BuildError, match=f"cannot read {tmp_path}/gone: No such file"):
        made(store, Member("a", size=1, source=tmp_path / "gone"))


def test_large_files_are_never_in_memory(store: BlobStore, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(100 << 20)
    tracemalloc.start()
    try:
        made_layer = made(store, Member("large", size=100 << 20, source=path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    assert contents(store, made_layer)["large"].size == 100 << 20


def test_a_layer_is_described_by_what_its_bytes_are(store: BlobStore) -> None:
    made_layer = made(store, text("/app/a", "hello"))
    path = store.path(made_layer.blob)
    assert path is not None
    expected = b"".join(tar.stream(complete([text("/app/a", "hello")])))
    assert unpacked(path) == expected
    assert path.stat().st_size == made_layer.blob.size
    assert path.name == made_layer.blob.digest.removeprefix("sha256:")


def test_a_known_key_needs_no_members(store: BlobStore) -> None:
    first = layer.build(store, "key", [text("/app/a", "hello")])
    assert layer.build(store, "key", iter([Member("/app/gone", source=Path("/gone"), size=1)])) == first


@pytest.mark.parametrize("isal", [True, False])
@settings(max_examples=20, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 700_000), min_size=1, max_size=6), seed=st.binary(min_size=1, max_size=200)
)
def test_compressed_bytes_do_not_depend_on_how_the_data_comes(
    isal: bool, cuts: list[int], seed: bytes
) -> None:
    data = (seed * (3_000_000 // len(seed) + 1))[: sum(cuts)]
    with pytest.MonkeyPatch.context() as patch:
        if not isal:
            patch.setattr(compression, "_compressor", lambda: zlib.compressobj(6, wbits=-15))
            patch.setattr(compression, "_crc32", lambda: zlib.crc32)
        whole, cut = Gzip(), Gzip()
        expected = whole.feed(data) + whole.finish()
        found, start = b"", 0
        for length in cuts:
            found += cut.feed(data[start : start + length])
            start += length
        found += cut.finish()
    assert found == expected
    assert zlib.decompress(found, wbits=31) == data
