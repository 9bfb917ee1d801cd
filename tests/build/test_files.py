"""The rules on files: where they may come from, where they go, and what stays out."""

import os
import re
import socket
from pathlib import Path

import pytest

from tests.build.support import Project, layer_of, toml
from triggerdev import errors

SETTINGS = ["/app/.trigger/worker.json", "/app/trigger.config.toml"]
"""What every source layer holds beside the project's code."""


def files_of(project: Project, *patterns: str, extra: str = "") -> list[str]:
    """Give the files that `additional-files` puts into the image for these patterns."""
    project.config(f"{extra}\n[build.extensions.additional-files]\nfiles = {toml(list(patterns))}\n")
    found: list[str] = layer_of(project.plan().document, "additional-files")["files"]
    return found


def refusal(project: Project, table: str) -> str:
    """Give the error for an `additional-files` table with these lines."""
    project.config(f"[build.extensions.additional-files]\n{table}\n")
    with pytest.raises(errors.BuildError) as caught:
        project.plan()
    return str(caught.value)


def test_a_glob_keeps_relative_paths_and_leaves_dot_files(project: Project) -> None:
    for name in ("assets/a.txt", "assets/deep/b.txt", "assets/.hidden"):
        project.write(name, name)
    everything = ["/app/assets/a.txt", "/app/assets/deep/b.txt"]
    assert files_of(project, "./assets/**") == everything
    assert files_of(project, "assets") == everything
    assert files_of(project, "assets/*") == ["/app/assets/a.txt"]
    assert files_of(project, "assets/**/b.*") == ["/app/assets/deep/b.txt"]
    assert files_of(project, "assets/{a,deep/b}.txt") == everything
    assert files_of(project, "assets/.hidden") == ["/app/assets/.hidden"]


def test_a_name_with_brackets_is_found_as_it_is_written(project: Project) -> None:
    project.write("pages/[slug].html", "x")
    assert files_of(project, "pages/[slug].html") == ["/app/pages/[slug].html"]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ('{ source = "assets/a.txt", destination = "/srv/renamed.txt" }', "/srv/renamed.txt"),
        ('{ source = "assets/a.txt", destination = "/srv/" }', "/srv/a.txt"),
        ('{ source = "assets", destination = "/srv" }', "/srv/a.txt"),
        ('{ source = "assets/*.txt", destination = "data" }', "/app/data/a.txt"),
    ],
)
def test_a_destination_is_absolute_or_below_app(project: Project, item: str, expected: str) -> None:
    project.write("assets/a.txt", "a")
    project.config(f"[build.extensions.additional-files]\nfiles = [{item}]\n")
    assert project.layer("additional-files")["files"] == [expected]


@pytest.mark.parametrize("source", ["../secret.txt", "/etc/hostname", "assets/../../secret.txt"])
def test_a_source_outside_the_project_is_an_error(project: Project, source: str) -> None:
    (project.root.parent / "secret.txt").write_text("x")
    assert "outside the project" in refusal(project, f"files = [{toml(source)}]")


@pytest.mark.parametrize("source", ["assets/**/../../../secret.txt", "{assets/../..,x}/secret.txt"])
def test_patterns_cannot_climb_out_of_the_project(project: Project, source: str) -> None:
    project.write("assets/a.txt", "a")
    (project.root.parent / "secret.txt").write_text("x")
    assert re.search(
        "outside|behind a wildcard|out of the project", refusal(project, f"files = [{toml(source)}]")
    )


def test_allow_outside_needs_a_destination(project: Project) -> None:
    (project.root.parent / "shared").mkdir()
    (project.root.parent / "shared" / "s.txt").write_text("x")
    table = 'files = ["../shared/*.txt"]\nallow_outside = true'
    assert "needs a destination" in refusal(project, table)
    project.config(f'[build.extensions.additional-files]\n{table}\ndestination = "/srv"\n')
    assert project.layer("additional-files")["files"] == ["/srv/s.txt"]


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        ("../x", 'must not hold ".."'),
        ("/srv/../../x", 'must not hold ".."'),
        ("/proc/x", "no file can be put"),
        ("/run/trigger/layer/x", "no file can be put"),
        ("/dev/null", "no file can be put"),
    ],
)
def test_destinations_that_leave_their_place_are_errors(
    project: Project, destination: str, message: str
) -> None:
    project.write("a.txt", "a")
    item = f'{{ source = "a.txt", destination = {toml(destination)} }}'
    assert message in refusal(project, f"files = [{item}]")


def test_nothing_found_is_an_error_unless_optional(project: Project) -> None:
    assert "nothing matches 'missing/**'" in refusal(project, 'files = ["missing/**"]')
    project.config('[build.extensions.additional-files]\nfiles = ["missing/**"]\noptional = true\n')
    document = project.plan().document
    assert any("nothing matches 'missing/**'" in warning for warning in document["warnings"])


def test_two_sources_of_one_destination_are_an_error_that_names_both(project: Project) -> None:
    project.write("one/a.txt", "1")
    project.write("two/a.txt", "2")
    items = ", ".join(f'{{ source = "{folder}", destination = "/srv" }}' for folder in ("one", "two"))
    message = refusal(project, f"files = [{items}]")
    assert "/srv/a.txt has two sources: one/a.txt" in message
    assert "two/a.txt" in message


def test_two_extensions_cannot_claim_one_destination(project: Project) -> None:
    project.write("one.txt", "1")
    project.write("two.txt", "2")
    tables = [
        f'[build.extensions.{name}]\nuse = "additional-files"\n'
        f'files = ["{name}.txt"]\ndestination = "/srv/x"\n'
        for name in ("one", "two")
    ]
    project.config("\n".join(tables))
    with pytest.raises(errors.BuildError, match=r"one\.txt \(layer one\) and two\.txt \(layer two\)"):
        project.plan()


def test_a_file_cannot_be_where_another_needs_a_folder(project: Project) -> None:
    project.write("a", "1")
    project.write("b", "2")
    items = '{ source = "a", destination = "/srv/x" }, { source = "b", destination = "/srv/x/y" }'
    assert "would be a file (a," in refusal(project, f"files = [{items}]")


def test_the_same_file_twice_is_kept_once(project: Project) -> None:
    assert files_of(project, "trigger/hello.py", "trigger") == ["/app/trigger/hello.py"]
    assert layer_of(project.plan().document, "source")["files"] == SETTINGS


@pytest.mark.parametrize("inside", [True, False])
def test_links_are_followed_only_within_the_project(project: Project, inside: bool) -> None:
    target = project.write("real/a.txt", "a") if inside else project.root.parent / "outside.txt"
    target.write_text("a")
    (project.root / "assets").mkdir()
    (project.root / "assets" / "link.txt").symlink_to(target)
    if inside:
        assert files_of(project, "assets/**") == ["/app/assets/link.txt"]
        copied = project.root / ".trigger/build/prod/layers/additional-files/app/assets/link.txt"
        assert copied.read_text() == "a"
        assert not copied.is_symlink()
    else:
        assert "is a link out of the project" in refusal(project, 'files = ["assets/**"]')


def test_a_linked_folder_that_leaves_the_project_is_an_error(project: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("a")
    (project.root / "assets").symlink_to(tmp_path / "elsewhere")
    for pattern in ("assets/**", "assets", "assets/a.txt", "*/a.txt"):
        assert "out of the project" in refusal(project, f"files = [{toml(pattern)}]")


def test_links_in_a_circle_and_links_to_nothing_are_errors(project: Project) -> None:
    project.write("assets/a.txt", "a")
    (project.root / "assets" / "again").symlink_to(project.root / "assets")
    assert "leads back to a folder above it" in refusal(project, 'files = ["assets/**"]')
    (project.root / "assets" / "again").unlink()
    (project.root / "assets" / "nowhere").symlink_to("missing")
    assert "leads nowhere" in refusal(project, 'files = ["assets/**"]')
    (project.root / "assets" / "nowhere").unlink()
    (project.root / "assets" / "self").symlink_to("self")
    assert "leads nowhere" in refusal(project, 'files = ["assets/**"]')


def test_a_fifo_and_a_socket_are_errors(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "assets").mkdir()
    os.mkfifo(project.root / "assets" / "pipe")
    assert "assets/pipe is a FIFO" in refusal(project, 'files = ["assets/**"]')
    (project.root / "assets" / "pipe").unlink()
    monkeypatch.chdir(project.root / "assets")  # a socket's path may only have about 100 characters
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert "assets/s is a socket" in refusal(project, 'files = ["assets/**"]')


def test_a_device_is_an_error(project: Project) -> None:
    table = 'files = [{ source = "/dev/null", destination = "/srv/x" }]\nallow_outside = true'
    assert "is a device" in refusal(project, table)


def test_a_name_with_a_line_break_is_an_error(project: Project) -> None:
    project.write("assets/a\nRUN evil", "a")
    assert "holds control characters" in refusal(project, 'files = ["assets/**"]')


def test_environment_files_keys_and_version_control_stay_out(project: Project) -> None:
    kept_out = ("d/.env", "d/.env.local", "d/key.pem", "d/id_rsa", "d/.git/config", "d/node_modules/x.txt")
    for name in (*kept_out, "d/fine.txt", "d/.fine"):
        project.write(name, "x")
    assert files_of(project, "d/**", "d/.*") == ["/app/d/.fine", "/app/d/fine.txt"]
    message = refusal(project, 'files = ["d/key.pem"]')
    assert "d/key.pem, by the built-in list" in message
    assert 'build.exclude = ["!d/key.pem"]' in message
    for source in ("d/node_modules", "d/.git/**", "d/.git/config", "d/node_modules/x.txt"):
        assert "no image needs" in refusal(project, f"files = [{toml(source)}]")


def test_a_link_does_not_bring_in_what_is_kept_out(project: Project) -> None:
    project.write("d/.env", "SECRET=1")
    project.write("d/.git/config", "x")
    (project.root / "d" / "notes.txt").symlink_to(".env")
    (project.root / "d" / "config.txt").symlink_to(".git/config")
    (project.root / "d" / "history").symlink_to(".git")
    project.write("d/fine.txt", "x")
    assert files_of(project, "d") == ["/app/d/fine.txt"]
    assert "kept out" in refusal(project, 'files = ["d/history/config"]')


def test_an_excluded_file_comes_back_when_the_config_says_so(project: Project) -> None:
    project.write("certs/ca.pem", "x")
    assert files_of(project, "certs/**", extra='[build]\nexclude = ["!certs/ca.pem"]') == [
        "/app/certs/ca.pem"
    ]


@pytest.mark.parametrize("origin", [".gitignore", "d/.gitignore", ".dockerignore", "exclude"])
def test_ignore_files_and_exclude_are_respected(project: Project, origin: str) -> None:
    project.write("d/keep.txt", "x")
    project.write("d/out.txt", "x")
    project.write("d/more/out.py", "import nothing_that_exists")
    lines = {
        ".gitignore": "out.*\n",
        "d/.gitignore": "out.txt\nmore/\n",
        ".dockerignore": "d/out.txt\nd/more\n",
    }
    if origin in lines:
        project.write(origin, lines[origin])
    extra = '[build]\nexclude = ["d/out.txt", "more/"]' if origin == "exclude" else ""
    assert files_of(project, "d/**", extra=extra) == ["/app/d/keep.txt"]
    assert "/app/d/more/out.py" not in project.layer("source")["files"]


def test_a_dockerignore_may_list_what_to_keep(project: Project) -> None:
    project.write("d/keep.txt", "x")
    project.write("e/out.txt", "x")
    project.write(".dockerignore", "*\n!d\n!trigger\n")
    assert files_of(project, "*/*.txt") == ["/app/d/keep.txt"]


def test_the_source_layer_holds_python_files_and_the_config(project: Project) -> None:
    for name in ("lib/util.py", "notes.md", ".venv/lib/x.py", "env/pyvenv.cfg", "env/lib/y.py"):
        project.write(name, "x = 1\n")
    expected = [*SETTINGS, "/app/lib/util.py", "/app/trigger/hello.py"]
    assert sorted(project.layer("source")["files"]) == sorted(expected)


def test_modes_are_normalised(project: Project) -> None:
    project.write("run.sh", "x").chmod(0o700)
    project.write("data.txt", "x").chmod(0o600)
    files_of(project, "run.sh", "data.txt")
    folder = project.root / ".trigger/build/prod/layers/additional-files/app"
    assert (folder / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (folder / "data.txt").stat().st_mode & 0o777 == 0o644
