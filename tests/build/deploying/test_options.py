"""What a deploy may be asked for, and how it is refused."""

from pathlib import Path

import pytest

from tests.build.support import Project
from triggerdev import errors
from triggerdev.build.backends.choosing import Engines
from triggerdev.build.deploying import options
from triggerdev.build.deploying.options import Options
from triggerdev.build.deploying.secrets import Secrets
from triggerdev.config import LoadedConfig, load_config


def loaded(project: Project, text: str = "") -> LoadedConfig:
    project.config(text)
    return load_config(project.root, env_name="prod", environ={})


def test_outputs_may_name_their_place() -> None:
    assert options.parse_output(None) == (None, None)
    assert options.parse_output("image") == ("image", None)
    assert options.parse_output("tar=out/x.tar") == ("tar", Path("out/x.tar"))


@pytest.mark.parametrize("text", ["docker", "tar=", "image=x", "", "oci"])
def test_an_output_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(errors.UsageError, match="--output must be image, oci-layout"):
        options.parse_output(text)


def test_an_image_is_named_after_registry_project_and_version(project: Project) -> None:
    assert options.names(loaded(project), Options(), "20261127.1") == ["trigger/demo:20261127.1"]
    own = loaded(project, '[deploy]\nregistry = "registry.example.com/acme/"\n')
    assert options.names(own, Options(), "20261127.1") == ["registry.example.com/acme/demo:20261127.1"]


def test_tags_are_names_or_tags_of_the_repository(project: Project) -> None:
    wanted = Options(tags=("latest", "example.com/a/b:1", "example.com/a/b", "latest"))
    assert options.names(loaded(project), wanted, "20261127.1") == [
        "trigger/demo:latest",
        "example.com/a/b:1",
        "example.com/a/b:latest",
    ]


@pytest.mark.parametrize("tag", ["-v", "a b", "Example/Upper:1", "x:", f"x@sha256:{'a' * 64}", "x\ny", ""])
def test_a_tag_that_is_no_name_is_refused(project: Project, tag: str) -> None:
    with pytest.raises(errors.UsageError, match="--tag"):
        options.names(loaded(project), Options(tags=(tag,)), "20261127.1")


def test_one_deploy_is_for_one_platform(project: Project) -> None:
    assert options.platform_of(loaded(project), Options()) == "linux/amd64"
    assert options.platform_of(loaded(project), Options(platform="linux/arm64")) == "linux/arm64"
    several = loaded(project, '[build]\nplatforms = ["linux/amd64", "linux/arm64"]\n')
    with pytest.raises(errors.UsageError, match="add --platform"):
        options.platform_of(several, Options())
    with pytest.raises(errors.UsageError, match="--platform: 'linux' is no platform"):
        options.platform_of(several, Options(platform="linux"))


def test_secrets_without_a_value_are_named_before_anything_is_built() -> None:
    secrets = Secrets({"A": "1", "B": None}, {"A": "0", "B": "2", "C": ""})
    assert secrets.needed(["A", "B"]) == {"A": "1", "B": "2"}
    with pytest.raises(errors.BuildError, match="the build secret C, D has no value"):
        secrets.needed(["A", "C", "D"])


def test_a_builder_that_does_not_exist_is_refused() -> None:
    with pytest.raises(errors.UsageError, match="--builder must be one of auto, docker, buildah, oci"):
        Engines("kaniko", {})


def test_without_an_engine_what_needs_one_says_why(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    with pytest.raises(errors.EnvironmentProblemError, match=r"the layer 'apt-get' .* does not answer"):
        Engines("auto", nothing).needed("the layer 'apt-get' executes commands")
    assert Engines("auto", nothing).any is None
    with pytest.raises(errors.EnvironmentProblemError, match="--builder docker: "):
        _ = Engines("docker", nothing).any
    with pytest.raises(errors.UsageError, match="--builder oci uses none"):
        Engines("oci", nothing).needed("the layer 'apt-get' executes commands")
