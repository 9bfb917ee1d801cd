"""Images on top of a base, as layouts and as tars."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.build.oci.support import AMD64, base, entries, made, unpack
from triggerdev import errors
from triggerdev.build.oci import archive, image, layout
from triggerdev.build.oci.members import text
from triggerdev.build.oci.model import DOCKER_MANIFEST, LAYER_GZIP, MANIFEST, Descriptor, Image, Platform
from triggerdev.build.oci.store import BlobStore

SETTINGS = image.Settings(
    env={"B": "2", "A": "1", "LANG": "C.UTF-8"},
    path=("/opt/venv/bin",),
    entrypoint=("/sbin/init", "--"),
    command=("python", "-m", "worker"),
    user="1000:1000",
    working_dir="/app",
    stop_signal="SIGTERM",
    labels={"org.opencontainers.image.title": "demo"},
    health_check=image.HealthCheck(("check",), interval=5, timeout=1.5),
)


def on_top(store: BlobStore, bottom: Image, settings: image.Settings = SETTINGS) -> Image:
    added = image.Added(made(store, text("/app/a.py", "a = 1\n")), "source")
    return image.append(bottom, [added], settings)


def test_settings_and_layers_come_on_top_of_the_base(store: BlobStore) -> None:
    whole = on_top(store, base(store)).settings
    assert whole["config"] == {
        "Env": ["PATH=/opt/venv/bin:/usr/bin:/bin", "LANG=C.UTF-8", "A=1", "B=2"],
        "Entrypoint": ["/sbin/init", "--"],
        "Cmd": ["python", "-m", "worker"],
        "User": "1000:1000",
        "WorkingDir": "/app",
        "StopSignal": "SIGTERM",
        "Labels": {"org.opencontainers.image.title": "demo"},
        "Healthcheck": {
            "Test": ["CMD", "check"],
            "Interval": 5_000_000_000,
            "Timeout": 1_500_000_000,
            "StartPeriod": 10_000_000_000,
            "Retries": 3,
        },
    }
    assert (whole["architecture"], whole["os"], whole["created"]) == ("amd64", "linux", image.EPOCH)
    assert [line["created_by"] for line in whole["history"]] == ["made for a test", "source"]


def test_settings_that_are_not_given_stay_those_of_the_base(store: BlobStore) -> None:
    bottom = on_top(store, base(store))
    assert image.append(bottom, [], image.Settings()).settings == bottom.settings


def test_a_new_entry_point_drops_the_command_of_the_base(store: BlobStore) -> None:
    config = image.append(base(store), [], image.Settings(entrypoint=("run",))).settings["config"]
    assert config["Entrypoint"] == ["run"]
    assert "Cmd" not in config


def test_the_same_parts_are_the_same_image(store: BlobStore, tmp_path: Path) -> None:
    other = BlobStore(tmp_path / "other")
    assert on_top(store, base(store)) == on_top(other, base(other))


def docker_base(store: BlobStore) -> Image:
    """The base as Docker would have written it, with traces of the machine that built it."""
    bottom = base(store)
    config = bottom.settings | {"container": "3f2", "docker_version": "20.10", "history": []}
    config["config"]["Image"] = "sha256:1"
    data = json.dumps(config, indent=1).encode()
    manifest = json.loads(bottom.manifest) | {"mediaType": DOCKER_MANIFEST}
    manifest["config"] = Descriptor.of("application/vnd.docker.container.image.v1+json", data).as_json()
    for each in manifest["layers"]:
        each["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    return image.parse(json.dumps(manifest).encode(), data)


def test_a_base_in_dockers_types_becomes_an_oci_image(store: BlobStore) -> None:
    bottom = docker_base(store)
    made_image = on_top(store, bottom)
    manifest = json.loads(made_image.manifest)
    assert bottom.media_type == DOCKER_MANIFEST
    assert manifest["mediaType"] == MANIFEST
    assert [each["mediaType"] for each in manifest["layers"]] == [LAYER_GZIP, LAYER_GZIP]
    assert manifest["layers"][0]["digest"] == bottom.layers[0].blob.digest
    assert not {"container", "docker_version"} & set(made_image.settings)
    assert "Image" not in made_image.settings["config"]
    assert len(made_image.settings["history"]) == 2


@pytest.mark.parametrize(
    ("manifest", "config"),
    [
        (b"", b"{}"),
        (b"{}", b"{}"),
        (b'{"layers": []}', b'{"rootfs": {"diff_ids": ["sha256:1"]}}'),
        (b'{"layers": [{"digest": "sha256:../../x"}]}', b'{"rootfs": {"diff_ids": ["x"]}}'),
        (
            b'{"layers": [{"mediaType": "a", "size": -1, "digest": "sha256:%s"}]}' % (b"0" * 64),
            b'{"rootfs": {"diff_ids": ["x"]}}',
        ),
        (b'{"layers": 3}', b'{"rootfs": 3}'),
    ],
)
def test_documents_that_are_no_image_are_refused(manifest: bytes, config: bytes) -> None:
    with pytest.raises(errors.BuildError):
        image.parse(manifest, config)


@pytest.mark.parametrize("text", ["linux", "linux/", "", "a/b/c/d"])
def test_a_platform_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(errors.BuildError, match="is no platform"):
        Platform.parse(text)


def test_the_variant_that_all_arm64_machines_have_is_not_told_apart() -> None:
    assert Platform.parse("linux/arm64/v8") == Platform.parse("linux/arm64")
    assert str(Platform.parse("linux/arm/v7")) == "linux/arm/v7"


def test_a_layout_gives_back_the_image(store: BlobStore, tmp_path: Path) -> None:
    whole = on_top(store, base(store))
    written = layout.write(tmp_path / "layout", whole, store, "demo:1")
    assert written.image(AMD64) == without_keys(whole)
    assert written.image(AMD64, "demo:1") == without_keys(whole)
    with pytest.raises(errors.BuildError, match="no image named 'other' for linux/amd64"):
        written.image(AMD64, "other")
    with pytest.raises(errors.BuildError, match="no image for linux/arm64"):
        written.image(Platform("linux", "arm64"))


def without_keys(whole: Image) -> Image:
    return image.parse(whole.manifest, whole.config)


def test_an_index_in_a_layout_leads_to_the_image_of_a_platform(store: BlobStore, tmp_path: Path) -> None:
    images = [image.scratch(Platform("linux", "arm64")), on_top(store, base(store))]
    folder = tmp_path / "layout"
    for each in images:
        layout.write(folder, each, store)
    data = image.index(images)
    (folder / "blobs" / "sha256" / Descriptor.of("", data).digest.removeprefix("sha256:")).write_bytes(data)
    entry = Descriptor.of("application/vnd.oci.image.index.v1+json", data).as_json()
    (folder / "index.json").write_text(json.dumps({"manifests": [entry]}))
    for each in images:
        assert layout.Layout(folder).image(each.platform).descriptor == each.descriptor


def test_a_layout_serves_as_the_place_of_a_bases_layers(store: BlobStore, tmp_path: Path) -> None:
    from triggerdev.build.oci.blobs import Several

    bottom = base(store)
    source = layout.write(tmp_path / "base", bottom, store)
    shutil.rmtree(store.folder)
    whole = on_top(store, source.image(AMD64))
    written = layout.write(tmp_path / "whole", whole, Several([store, source]))
    assert written.image(AMD64).descriptor == whole.descriptor


def test_a_blob_that_is_nowhere_is_an_error(store: BlobStore, tmp_path: Path) -> None:
    whole = on_top(store, base(store))
    shutil.rmtree(store.folder)
    with pytest.raises(errors.BuildError, match="is in none of the places"):
        layout.write(tmp_path / "layout", whole, store)
    assert not (tmp_path / "layout" / "index.json").exists()


def damaged(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"manifests": [1]}', b'{"manifests": [{"digest": "../../etc"}]}']
)
def test_an_index_that_cannot_be_read_is_an_error(store: BlobStore, tmp_path: Path, data: bytes) -> None:
    written = layout.write(tmp_path / "layout", base(store), store)
    damaged(tmp_path / "layout", "index.json", data)
    with pytest.raises(errors.BuildError):
        written.image(AMD64)


def test_a_damaged_manifest_is_an_error(store: BlobStore, tmp_path: Path) -> None:
    bottom = base(store)
    written = layout.write(tmp_path / "layout", bottom, store)
    digest = bottom.descriptor.digest.removeprefix("sha256:")
    damaged(tmp_path / "layout" / "blobs" / "sha256", digest, b"{}")
    with pytest.raises(errors.BuildError, match="missing or damaged"):
        written.image(AMD64)


def test_a_folder_that_is_no_layout_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.BuildError, match=f"{tmp_path} is no OCI layout"):
        layout.Layout(tmp_path)


def test_the_tar_is_a_layout_and_what_older_dockers_load(store: BlobStore, tmp_path: Path) -> None:
    whole = on_top(store, base(store))
    archive.write(tmp_path / "image.tar", whole, store, "demo:1")
    unpack(tmp_path / "image.tar", tmp_path / "out")
    docker: Any = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert docker[0]["RepoTags"] == ["demo:1"]
    assert (tmp_path / "out" / docker[0]["Config"]).read_bytes() == whole.config
    assert len(docker[0]["Layers"]) == 2
    assert layout.Layout(tmp_path / "out").image(AMD64) == without_keys(whole)
    assert not (tmp_path / ".image.tar.partial").exists()


def test_a_tar_can_leave_out_what_an_engine_has(store: BlobStore) -> None:
    whole = on_top(store, base(store))
    known = whole.layers[0].blob.digest
    all_names = {info.name for info in entries(b"".join(archive.stream(whole, store)))}
    thin = {info.name for info in entries(b"".join(archive.stream(whole, store, without=[known])))}
    assert all_names - thin == {f"blobs/sha256/{known.removeprefix('sha256:')}"}


@pytest.mark.parametrize("compressed", [True, False])
def test_a_saved_image_is_read_back(store: BlobStore, tmp_path: Path, compressed: bool) -> None:
    whole = on_top(store, base(store))
    archive.write(tmp_path / "image.tar", whole, store, "demo:1")
    if not compressed:
        as_docker_20_saves(tmp_path / "image.tar", whole, store)
    found = archive.read(tmp_path / "image.tar", BlobStore(tmp_path / "other"))
    assert found.config == whole.config
    assert [layer.blob for layer in found.layers] == [layer.blob for layer in whole.layers]


def as_docker_20_saves(path: Path, whole: Image, store: BlobStore) -> None:
    from tests.build.oci.support import unpacked
    from triggerdev.build.oci import tar
    from triggerdev.build.oci.members import complete

    names = [f"{number}/layer.tar" for number in range(len(whole.layers))]
    layers = [unpacked(found) for layer in whole.layers if (found := store.path(layer.blob))]
    manifest = json.dumps([{"Config": "c.json", "Layers": names}])
    files = [text("c.json", whole.config), text("manifest.json", manifest)]
    files += [text(name, data) for name, data in zip(names, layers, strict=True)]
    path.write_bytes(b"".join(tar.stream(complete(files))))


def test_a_saved_layer_that_is_not_what_the_config_says_is_refused(store: BlobStore, tmp_path: Path) -> None:
    whole = on_top(store, base(store))
    other = image.append(base(store), [image.Added(made(store, text("/app/a.py", "b")))], SETTINGS)
    lying = image.rebuilt(whole.config, other.layers)
    archive.write(tmp_path / "image.tar", lying, store)
    with pytest.raises(errors.BuildError, match="but the config says"):
        archive.read(tmp_path / "image.tar", BlobStore(tmp_path / "other"))


def test_a_file_that_is_no_saved_image_is_named(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"x" * 2000)
    with pytest.raises(errors.BuildError, match=r"x\.tar is no saved image"):
        archive.read(tmp_path / "x.tar", store)
