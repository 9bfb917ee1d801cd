"""Every test runs in an empty folder, with none of the variables that change what a command does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.support import KEY, Result, RunCli, Serving, StubServer
from triggerdev.cli.main import main

_VARIABLES = (
    "TRIGGER_API_URL",
    "TRIGGER_SECRET_KEY",
    "TRIGGER_TRACEBACK",
    "NO_COLOR",
    "FORCE_COLOR",
    "CI",
)


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in _VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is put back, whatever a command sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Run a command line in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def serving() -> Iterator[Serving]:
    server = Serving()
    yield server
    server.close()


@pytest.fixture
def server(serving: Serving, tmp_path: Path) -> StubServer:
    """A scripted server, which the project in the working folder knows from its `.trigger/dev.env`."""
    serving.stub.requests.clear()
    serving.stub.answers.clear()
    (tmp_path / ".trigger").mkdir()
    (tmp_path / ".trigger" / "dev.env").write_text(
        f"TRIGGER_API_URL={serving.stub.url}\nTRIGGER_SECRET_KEY={KEY}\n"
    )
    return serving.stub
