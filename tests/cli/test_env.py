"""`trigger env`: what it sends and prints; no value is seen that need not be."""

import io
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import RunCli, StubServer

BASE = "/api/v1/projects/my-project/envvars/dev"
OK = {"success": True}
LISTED = [
    {"name": "A", "value": "plain\x1b[31m", "isSecret": False},
    {"name": "S", "value": "<redacted>", "isSecret": True},
]


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_PROJECT_REF", "my-project")


class Stdin(io.TextIOWrapper):
    """Standard input that is no terminal."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))


def say(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", Stdin(data))


@pytest.mark.parametrize("words", [["env"], ["env", "list"]])
def test_values_are_hidden_in_a_list(cli: RunCli, server: StubServer, words: list[str]) -> None:
    server.answer(f"GET {BASE}", LISTED)
    result = cli(*words)
    assert "plain" not in result.out
    assert [line.split() for line in result.out.splitlines()[1:]] == [
        ["A", "(hidden)"],
        ["S", "(hidden)", "secret"],
    ]
    assert cli(*words, "--json").json["variables"][0] == {"name": "A", "value": None, "isSecret": False}
    shown = cli(*words, "--show").out
    assert "plain" in shown
    assert "\x1b" not in shown
    assert cli(*words, "--show", "--json").json["variables"] == LISTED


def test_one_value_is_printed(cli: RunCli, server: StubServer) -> None:
    server.answer(f"GET {BASE}/A", {"name": "A", "value": "two\nlines", "isSecret": False})
    server.answer(f"GET {BASE}/S", LISTED[1])
    assert cli("env", "get", "A").out == "two\nlines\n"
    secret = cli("env", "get", "S")
    assert (secret.code, secret.out) == (2, "")
    assert "S is secret" in secret.err


@pytest.mark.parametrize(
    ("data", "value"), [(b"hush\n", "hush"), (b"hush\r\n", "hush"), (b"a\nb\n\n", "a\nb\n"), (b"", "")]
)
def test_a_value_comes_from_stdin(
    cli: RunCli, server: StubServer, monkeypatch: pytest.MonkeyPatch, data: bytes, value: str
) -> None:
    server.answer(f"POST {BASE}", OK)
    say(monkeypatch, data)
    result = cli("env", "set", "S", "--secret")
    assert (result.code, result.out) == (0, "")
    assert "hush" not in result.err
    assert server.requests[0].body == {"name": "S", "value": value, "isSecret": True}


def test_a_value_can_be_an_argument(cli: RunCli, server: StubServer) -> None:
    server.answer(f"POST {BASE}", OK)
    assert cli("env", "set", "A=b=c").code == 0
    assert server.requests[0].body == {"name": "A", "value": "b=c", "isSecret": False}


def test_at_a_terminal_a_value_is_asked_for_and_not_shown(
    cli: RunCli, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer(f"POST {BASE}", OK)
    asked: list[str] = []

    def getpass(prompt: str, stream: Any) -> str:
        asked.append(prompt)
        return "hush"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", getpass)
    assert cli("env", "set", "A").code == 0
    assert asked == ["value of A: "]
    assert server.requests[0].body["value"] == "hush"


def test_a_file_is_imported(cli: RunCli, server: StubServer, tmp_path: Path) -> None:
    server.answer(f"POST {BASE}/import", OK)
    (tmp_path / "prod.env").write_text("# of the API\nA=1\nexport B=\"two words\"\nC='${A}'\nD=${A}2\n")
    result = cli("env", "import", "prod.env", "--secret", "--override")
    assert (result.code, result.out) == (0, "A\nB\nC\nD\n")
    assert server.requests[0].body == {
        "variables": {"A": "1", "B": "two words", "C": "${A}", "D": "12"},
        "isSecret": True,
        "override": True,
    }


def test_stdin_is_imported(cli: RunCli, server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer(f"POST {BASE}/import", OK)
    say(monkeypatch, b"A=hush\n")
    result = cli("env", "import", "-")
    assert "hush" not in result.out + result.err
    assert server.requests[0].body["variables"] == {"A": "hush"}
    assert "--override" in result.err


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "has no variables"), ("A=1\nhush!\n", "stdin:2:1"), ("\xff", "stdin:1:1")],
)
def test_a_file_that_is_none_is_refused_before_anything_is_sent(
    cli: RunCli, server: StubServer, monkeypatch: pytest.MonkeyPatch, text: str, says: str
) -> None:
    say(monkeypatch, text.encode())
    result = cli("env", "import", "-")
    assert result.code == 2
    assert says in result.err
    assert server.requests == []


def test_a_file_that_is_not_there_is_named(cli: RunCli, server: StubServer) -> None:
    result = cli("env", "import", "none.env")
    assert (result.code, "cannot read none.env" in result.err) == (2, True)


def test_variables_are_deleted_one_by_one(cli: RunCli, server: StubServer) -> None:
    server.answer(f"DELETE {BASE}/A", OK)
    server.answer(f"DELETE {BASE}/B", {"error": "Environment variable 'B' not found."}, status=404)
    result = cli("env", "unset", "B", "A", "--json")
    assert result.code == 1
    assert result.json["deleted"] == ["A"]
    assert result.json["failed"][0]["name"] == "B"


def test_the_project_is_that_of_the_folder(
    cli: RunCli, server: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TRIGGER_PROJECT_REF")
    key_file = tmp_path / ".trigger" / "dev.env"
    key_file.write_text(key_file.read_text() + "TRIGGER_PROJECT_REF=another\n")
    server.answer("GET /api/v1/projects/another/envvars/dev", LISTED)
    assert cli("env").code == 0
