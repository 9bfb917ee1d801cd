"""Where an image comes from, without what is secret."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.build.support import Project
from tests.build.test_deployments import ONE
from triggerdev.build import provenance


def git(root: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def test_the_statement_names_the_image_its_base_its_layers_and_its_secrets(project: Project) -> None:
    project.config('[build]\nsecrets = ["INDEX_TOKEN"]\n')
    plan = project.plan().plan
    made = provenance.statement(ONE, plan, "demo", project.root, "2026-11-27T23:29:00Z")
    assert made["subject"] == [{"name": "trigger/demo:1", "digest": {"sha256": "aa"}}]
    build = made["predicate"]["buildDefinition"]
    assert build["externalParameters"]["secrets"] == ["INDEX_TOKEN"]
    assert build["resolvedDependencies"][0]["uri"] == f"docker://{plan.base}"
    assert json.loads(json.dumps(made)) == made


def test_the_commit_is_named_and_whether_something_was_changed(tmp_path: Path) -> None:
    assert provenance.revision(tmp_path) is None
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("x = 1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "one")
    git(tmp_path, "remote", "add", "origin", "https://user:s3cr3t@example.com/a.git?token=s3cr3t")
    found = provenance.revision(tmp_path)
    assert found is not None
    assert (found["uri"], found["annotations"]) == ("git+https://example.com/a.git", {"changed": False})
    (tmp_path / "a.py").write_text("x = 2\n")
    changed = provenance.revision(tmp_path)
    assert changed is not None
    assert changed["annotations"] == {"changed": True}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("git@example.com:a/b.git", "git@example.com:a/b.git"),
        ("ssh://git@example.com:22/a", "ssh://example.com:22/a"),
        ("https://x-access-token:abc@example.com/a", "https://example.com/a"),
        ("/srv/git/a", "/srv/git/a"),
    ],
)
def test_logins_are_taken_out_of_addresses(url: str, shown: str) -> None:
    assert provenance.without_login(url) == shown
