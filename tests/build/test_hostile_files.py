"""Hostile files: whatever a project holds or its config asks for is refused by name, or stays in its place.

Each case is one file, link, name or path that wants out of the project, into a place of the system's, or into
an instruction. Nothing of what lies outside, and no secret, may be in the build folder afterwards.
"""

import os
import re
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.build.support import Project, layer_of, toml
from triggerdev import errors
from triggerdev.build import tokens

CANARY = "canary-9f27c1"
"""What every file holds that must not get into an image."""
INSTRUCTIONS = {"FROM", "USER", "ENV", "WORKDIR", "RUN", "COPY", "LABEL", "STOPSIGNAL"}
INSTRUCTIONS |= {"HEALTHCHECK", "ENTRYPOINT", "CMD"}


@pytest.fixture
def project(project: Project) -> Project:
    """A project beside secrets of others."""
    for name in ("secret.txt", "elsewhere/secret.txt", "elsewhere/secret.py"):
        path = project.root.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(CANARY)
    project.write("assets/fine.txt", "fine")
    return project


def wanting(project: Project, source: str, destination: str | None = None, also: str = "") -> None:
    """Write a config that asks for files."""
    end = "" if destination is None else f", destination = {toml(destination)}"
    item = f"{{ source = {toml(source)}{end} }}"
    project.config(f"[build.extensions.additional-files]\nfiles = [{item}]\n{also}")


def refused(project: Project, *values: str) -> str:
    """Make sure that the plan is refused with a message that names one of the values; gives the message."""
    with pytest.raises(errors.TriggerError) as caught:
        project.plan()
    message = str(caught.value)
    written = [form for value in values for form in (value, repr(value)[1:-1], tokens.printable(value))]
    assert any(form in message for form in written), message
    assert CANARY not in message
    nothing_leaked(project)
    return message


def contained(project: Project) -> list[str]:
    """Make a plan of which nothing may leave its place; gives the destinations of additional files."""
    plan = project.plan()
    nothing_leaked(project)
    found: list[str] = []
    for layer in plan.document["layers"]:
        if layer["id"] == "additional-files":
            found = layer["files"]
    for path in found:
        assert path.startswith("/"), path
        assert os.path.normpath(path) == path, path
        assert not tokens.has_control(path), path
    return found


def nothing_leaked(project: Project) -> None:
    build = project.root / ".trigger" / "build"
    for path in build.rglob("*"):
        assert not path.is_symlink()
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
        else:
            assert path.is_dir(), path
    for containerfile in build.rglob("Containerfile"):
        for line in containerfile.read_text("utf-8").splitlines():
            assert not line or line.startswith("# ") or line.split(" ")[0] in INSTRUCTIONS, line


# -- sources ------------------------------------------------------------------------------------------------

OUTSIDE = (
    "../secret.txt",
    "./../secret.txt",
    "assets/../../secret.txt",
    "assets/./../../secret.txt",
    "assets//..//../secret.txt",
    "../elsewhere",
    "../elsewhere/**",
    "../*",
    "../**",
    "..",
    "../..",
    "/",
    "/etc/passwd",
    "/etc/*",
    "//etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "{..,assets}/secret.txt",
    "{assets/../..,x}/secret.txt",
    "assets/**/../../../secret.txt",
    "*/../../secret.txt",
    "assets/*/../../../secret.txt",
)
NOTHING = (
    "~/secret.txt",
    "$HOME/secret.txt",
    "`pwd`/../secret.txt",
    "%2e%2e/secret.txt",
    "..\\secret.txt",
    "..%2fsecret.txt",
    "file:///etc/passwd",
    "\\\\server\\share",
    "C:\\Windows",
    "[",
    "[!",
    "x" * 300,
    "?" * 400,
    "d/" * 3000,
)
IMPOSSIBLE = (
    "",
    "${HOME}/secret.txt",
    "assets/\x1b[31m",
    "assets/\u202efdp.exe",
    "assets/a\x00b",
    "assets/a\nRUN evil",
    "{a,b}" * 12,
)


@pytest.mark.parametrize("source", OUTSIDE, ids=repr)
def test_a_source_outside_is_refused(project: Project, source: str) -> None:
    wanting(project, source)
    refused(project, source, "secret.txt", ".." if source != "/" else "/")


@pytest.mark.parametrize("source", NOTHING, ids=lambda text: repr(text[:20]))
def test_a_source_is_taken_as_it_is_written(project: Project, source: str) -> None:
    wanting(project, source)
    message = refused(project, source, source[:100])
    assert "nothing matches" in message or "cannot" in message


@pytest.mark.parametrize("source", IMPOSSIBLE, ids=lambda text: repr(text[:20]))
def test_a_source_that_can_be_no_path_is_refused(project: Project, source: str) -> None:
    wanting(project, source)
    refused(project, source, source[:100], "files.0.source", "`HOME`")


@pytest.mark.parametrize("source", ["../elsewhere/**", "../secret.txt"])
def test_allowed_outside_is_only_what_is_named(project: Project, source: str) -> None:
    (project.root.parent / "elsewhere" / "up").symlink_to(project.root.parent / "secret.txt")
    wanting(project, source, also="allow_outside = true\n")
    refused(project, source, "elsewhere/up")


# -- destinations -------------------------------------------------------------------------------------------

DESTINATIONS = (
    "..",
    "../x",
    "/..",
    "/../x",
    "/srv/../../x",
    "x/../../y",
    "/srv/./../x",
    "/proc/x",
    "/proc",
    "//proc/x",
    "/./proc/x",
    "/proc//x",
    "/sys/fs/cgroup/x",
    "/dev/null",
    "/dev/shm/x",
    "/run/trigger/dependencies/x",
    "/run/trigger",
    "/srv/a\nRUN evil",
    "/srv/a\rb",
    "/srv/a\x00b",
    "/srv/\x1b[31mred",
    "",
    "/srv/" + "x" * 300,
    "/" + "d/" * 3000 + "x",
    "/opt/triggerdev/triggerdev/__init__.py",
    "/app/trigger/hello.py",
    "/app/trigger.config.toml",
    "/app/.trigger/worker.json",
    "/srv/.wh.passwd",
    "/srv/.wh..wh..opq",
)


@pytest.mark.parametrize("destination", DESTINATIONS, ids=lambda text: repr(text[:24]))
def test_a_destination_that_leaves_its_place_is_refused(project: Project, destination: str) -> None:
    wanting(project, "assets/fine.txt", destination)
    place = os.path.normpath("/" + destination.lstrip("/"))
    refused(project, destination, destination[:100], place, "files.0.destination")


# -- links, devices and other things that are no files ------------------------------------------------------

Make = Callable[[Path], Any]


def link(path: Path, target: str | Path) -> Path:
    path.symlink_to(target)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def chain(folder: Path, length: int, target: str) -> None:
    for number in range(length):
        (folder / f"link{number}").symlink_to(f"link{number + 1}" if number + 1 < length else target)


def ring(folder: Path, length: int) -> None:
    for number in range(length):
        (folder / f"ring{number}").symlink_to(f"ring{(number + 1) % length}")


def bound(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may only have about 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


THINGS: dict[str, tuple[Make, str]] = {
    "file outside": (lambda d: link(d / "l", "../../secret.txt"), "assets/l"),
    "file outside, absolute": (lambda d: link(d / "l", d.parent.parent / "secret.txt"), "assets/l"),
    "/etc/passwd": (lambda d: link(d / "l", "/etc/passwd"), "assets/l"),
    "folder outside": (lambda d: link(d / "l", "../../elsewhere"), "assets/l"),
    "folder above": (lambda d: link(d / "l", "../.."), "assets/l"),
    "root": (lambda d: link(d / "l", "/"), "assets/l"),
    "environment of the process": (lambda d: link(d / "l", "/proc/self/environ"), "assets/l"),
    "memory of the process": (lambda d: link(d / "l", "/proc/self/mem"), "assets/l"),
    "root of the process": (lambda d: link(d / "l", "/proc/self/root"), "assets/l"),
    "open file": (lambda d: link(d / "l", "/proc/self/fd/0"), "assets/l"),
    "/dev/zero": (lambda d: link(d / "l", "/dev/zero"), "assets/l"),
    "/dev/null": (lambda d: link(d / "l", "/dev/null"), "assets/l"),
    "/dev/random": (lambda d: link(d / "l", "/dev/random"), "assets/l"),
    "chain of two": (lambda d: chain(d, 2, "../../secret.txt"), "assets/link0"),
    "chain of five": (lambda d: chain(d, 5, "../../secret.txt"), "assets/link0"),
    "chain of thirty": (lambda d: chain(d, 30, "../../secret.txt"), "assets/link0"),
    "chain of folders": (lambda d: chain(d, 4, "../../elsewhere"), "assets/link0"),
    "chain that is too long": (lambda d: chain(d, 60, "fine.txt"), "assets/link0"),
    "itself": (lambda d: ring(d, 1), "assets/ring0"),
    "ring of two": (lambda d: ring(d, 2), "assets/ring0"),
    "ring of three": (lambda d: ring(d, 3), "assets/ring0"),
    "own folder": (lambda d: link(d / "again", "."), "assets/again"),
    "folder of the project": (lambda d: link(d / "again", ".."), "assets/again"),
    "two folders, each the other": (
        lambda d: [folder(d / "a"), link(d / "a" / "b", "../a")],
        "assets/a/b",
    ),
    "nothing": (lambda d: link(d / "l", "missing"), "assets/l"),
    "nothing outside": (lambda d: link(d / "l", "../../missing"), "assets/l"),
    "link through a link": (
        lambda d: [link(d / "up", "../.."), link(d / "l", "up/secret.txt")],
        "assets/up",
    ),
    "FIFO": (lambda d: fifo(d / "pipe"), "assets/pipe"),
    "link to a FIFO": (
        lambda d: [fifo(d.parent / "pipe"), link(d / "l", "../pipe")],
        "assets/l",
    ),
    "socket": (lambda d: bound(d / "s"), "assets/s"),
}


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("asked", ["folder", "name"])
def test_what_is_no_file_of_the_project_is_refused(project: Project, thing: str, asked: str) -> None:
    make, name = THINGS[thing]
    make(project.root / "assets")
    wanting(project, "assets/**" if asked == "folder" else name)
    refused(project, name)


SOURCE_THINGS = (
    "file outside",
    "folder outside",
    "chain of five",
    "itself",
    "own folder",
    "/dev/zero",
    "nothing",
)


@pytest.mark.parametrize("thing", [*SOURCE_THINGS, "FIFO", "socket"])
def test_nor_does_it_get_into_the_source(project: Project, thing: str) -> None:
    """Code is searched for in all folders, so what has the name of code is met without being asked for."""
    folder = project.root / "assets"
    make, name = THINGS[thing]
    make(folder)
    made = project.root / name
    if not made.is_dir():
        made.rename(made.with_name(made.name + ".py"))
        name += ".py"
    if thing == "itself":
        (project.root / name).unlink()
        (project.root / name).symlink_to("ring0.py")
    project.config()
    if thing == "chain of five":
        refused(project, name, "assets/link0.py")
    else:
        refused(project, name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make devices")
@pytest.mark.parametrize("kind", [0o020000, 0o060000], ids=["character", "block"])
def test_a_device_of_the_project_s_own_is_refused(project: Project, kind: int) -> None:
    try:
        os.mknod(project.root / "assets" / "disk", 0o600 | kind, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this machine lets nobody make devices")
    wanting(project, "assets/**")
    assert "is a device" in refused(project, "assets/disk")


# -- names --------------------------------------------------------------------------------------------------

BAD_NAMES = (
    "a\nRUN touch evil",
    "a\n",
    "\na",
    "a\r\nb",
    "a\tb",
    "\x1b[2J",
    "\x07bell",
    "a\x7fb",
    "a\x85b",
    "a\u2028b",
    "a\u202eb",
    ".wh.passwd",
    ".wh..wh..opq",
)
ODD_NAMES = (
    "-rf",
    "--chmod=777",
    "a b",
    " ",
    "a'b",
    'a"b',
    "a\\b",
    "a\\",
    "$HOME",
    "${PATH}",
    "$(touch evil)",
    "`touch evil`",
    "a;b",
    "a&&b",
    "a|b",
    "a>b",
    "#a",
    "# escape=`",
    "{{ base }}",
    "{% raw %}",
    "%s%n",
    "*",
    "[a]",
    "{a,b}",
    "a,b",
    "a=b",
    "~",
    "a...",
    "ä" * 80,
    "n" * 255,
)


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
def test_a_name_that_could_be_something_else_is_refused(project: Project, name: str) -> None:
    project.write(f"assets/{name}", "x")
    wanting(project, "assets/.*" if name.startswith(".") else "assets/**")
    refused(project, name, f"assets/{name}")


def test_a_name_that_is_no_text_is_refused(project: Project) -> None:
    Path(os.fsdecode(os.fsencode(project.root / "assets") + b"/\xff\xfe.txt")).write_text("x")
    wanting(project, "assets/**")
    refused(project, "\\udcff\\udcfe.txt", "\\xff\\xfe.txt", "\ufffd\ufffd.txt", "??.txt")


@pytest.mark.parametrize("name", ODD_NAMES, ids=repr)
def test_an_odd_name_is_a_name_and_nothing_else(project: Project, name: str) -> None:
    project.write(f"assets/{name}", "x")
    wanting(project, "assets")
    assert contained(project) == sorted(["/app/assets/fine.txt", f"/app/assets/{name}"])
    copied = project.root / ".trigger/build/prod/layers/additional-files/app/assets" / name
    assert copied.read_text() == "x"
    assert not (project.root / "evil").exists()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Readme.txt", "README.txt"),
        ("straße", "STRASSE"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
        ("K", "\u212a"),
    ],
    ids=ascii,
)
def test_names_that_other_systems_take_for_one_are_two(project: Project, one: str, other: str) -> None:
    project.write(f"assets/{one}", "1")
    project.write(f"assets/{other}", "2")
    if len(list((project.root / "assets").iterdir())) < 3:
        pytest.skip("this disk takes them for one")
    wanting(project, "assets")
    assert contained(project) == sorted(f"/app/assets/{name}" for name in ("fine.txt", one, other))


# -- secrets ------------------------------------------------------------------------------------------------

SECRET_FILES = (
    ".env",
    ".env.local",
    ".env.production",
    ".envrc",
    ".netrc",
    ".pypirc",
    ".npmrc",
    ".git-credentials",
    ".htpasswd",
    "id_rsa",
    "id_rsa.old",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "server.pem",
    "server.key",
    "store.p12",
    "store.pfx",
    "store.jks",
    "app.keystore",
    "putty.ppk",
    "vault.kdbx",
    ".ssh/config",
    ".aws/credentials",
    ".gnupg/secring.gpg",
    ".git/config",
    ".hg/hgrc",
    ".svn/entries",
    ".bzr/branch",
    ".jj/repo",
    "CVS/Root",
    "_darcs/prefs",
    ".trigger/dev.env",
    "node_modules/x/token.txt",
    ".venv/token.txt",
    "__pycache__/token.txt",
)


@pytest.mark.parametrize("name", SECRET_FILES)
@pytest.mark.parametrize("asked", ["name", "deep", "link"])
def test_secrets_stay_out_however_they_are_asked_for(project: Project, name: str, asked: str) -> None:
    project.write(f"assets/{name}", CANARY)
    if asked == "link":
        (project.root / "assets" / "notes.txt").symlink_to(name)
    wanting(project, {"name": f"assets/{name}", "deep": f"**/{name}", "link": "assets/notes.txt"}[asked])
    message = refused(project, name, name.split("/")[0], "assets/notes.txt")
    assert "kept out" in message or "nothing matches" in message


def test_secrets_stay_out_when_everything_is_asked_for(project: Project) -> None:
    for name in SECRET_FILES:
        project.write(f"assets/{name}", CANARY)
        project.write(f"assets/deep/{name}", CANARY)
    for source in ("assets", "assets/**", "**", "*/**"):
        wanting(project, source)
        assert "/app/assets/fine.txt" in contained(project)


def test_what_is_counted_here_is_more_than_a_hundred_cases() -> None:
    things = 2 * len(THINGS) + len(SOURCE_THINGS) + 2
    paths = len(OUTSIDE) + len(NOTHING) + len(IMPOSSIBLE) + len(DESTINATIONS)
    assert things + paths + len(BAD_NAMES) + len(ODD_NAMES) + len(SECRET_FILES) > 200


def test_the_source_layer_is_as_strict(project: Project) -> None:
    for name in (".git/hook.py", ".venv/lib/x.py", "node_modules/x.py"):
        project.write(name, f"# {CANARY}")
    project.config()
    plan = project.plan()
    nothing_leaked(project)
    names = layer_of(plan.document, "source")["files"]
    assert not [name for name in names if re.search(r"\.git|\.venv|node_modules", name)]
