"""What the page on images says is so."""

import re
from pathlib import Path

import pytest

from triggerdev.build import dependencies, digests
from triggerdev.build.oci import store
from triggerdev.build.oci.members import complete, text
from triggerdev.build.oci.registry import upload
from triggerdev.build.registry_access import access
from triggerdev.config import load_config

PAGE = (Path(__file__).parents[2] / "docs" / "images.md").read_text(encoding="utf-8")


def test_the_example_is_a_configuration(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n# file: trigger.config.toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "trigger.config.toml").write_text(example)
    loaded = load_config(tmp_path, env_name="prod", environ={})
    assert dependencies.find(tmp_path, loaded.config.build.dependencies).requirements == (
        "httpx==0.28.1",
        "pillow==12.0.0",
    )
    assert access(loaded).ca_file == tmp_path / "certs" / "registry.pem"
    assert access(loaded).plain_http is None


def test_the_figures_are_those_of_the_code() -> None:
    assert f"beyond {store.LIMIT // 10**9} GB" in PAGE
    assert f"blobs of {upload.CHUNKED_FROM >> 20} MiB and more" in PAGE
    assert digests.FILE in PAGE


@pytest.mark.parametrize(("folder", "mode"), [("tmp", 0o1777), ("root", 0o700), ("opt", 0o755)])
def test_folders_keep_the_modes_of_base_images(folder: str, mode: int) -> None:
    (above, _) = complete([text(f"/{folder}/x", "")])
    assert above.mode == mode


LINKS = re.findall(r"a link today \((.*?)\)", PAGE)[0].replace("`", "").split(", ")


@pytest.mark.parametrize("folder", LINKS)
def test_links_of_base_images_stay(folder: str) -> None:
    assert not complete([text(f"{folder}/x", "")])[-1].path.startswith(folder.strip("/") + "/")
