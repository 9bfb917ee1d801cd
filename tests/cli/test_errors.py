"""Errors become exit codes and lines on stderr, in one place."""

import pytest
import typer

from tests.cli.support import RunCli
from triggerdev import errors
from triggerdev.cli import exit_codes, version


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `trigger version` fail."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(version, "version", fail)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.ConfigError("x"), 2),
        (errors.PayloadError("x"), 2),
        (errors.AuthenticationError(401, "x"), 3),
        (errors.PermissionDeniedError(403, "x"), 3),
        (errors.WouldPromptError("x"), 4),
        (errors.ConnectionFailedError("x"), 5),
        (errors.InternalServerError(503, "x"), 5),
        (errors.InternalServerError(500, "x"), 1),
        (errors.NotFoundError(404, "x"), 1),
        (errors.EnvironmentProblemError("x"), 1),
        (errors.BuildError("x"), 1),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
        (typer.Exit(7), 7),
        (KeyError("x"), 1),
    ],
)
def test_each_error_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, cli: RunCli
) -> None:
    _failing(monkeypatch, error)
    assert cli("version").code == code


def test_an_error_is_printed_with_its_help_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, cli: RunCli
) -> None:
    error = errors.EnvironmentProblemError("port 3030 is taken")
    error.add_note("Give another one with --port.")
    _failing(monkeypatch, error)
    result = cli("version")
    assert result.out == ""
    assert result.err == "error: port 3030 is taken\nhelp: Give another one with --port.\n"


def test_an_unexpected_error_is_one_line_and_says_how_to_see_more(
    monkeypatch: pytest.MonkeyPatch, cli: RunCli
) -> None:
    _failing(monkeypatch, ZeroDivisionError("oh"))
    result = cli("version")
    assert result.code == exit_codes.FAILED
    assert result.err.startswith("error: unexpected ZeroDivisionError: oh\nhelp: ")
    assert "TRIGGER_TRACEBACK=1" in result.err
    assert "Traceback" not in result.err


def test_the_traceback_is_there_when_it_is_wanted(monkeypatch: pytest.MonkeyPatch, cli: RunCli) -> None:
    _failing(monkeypatch, ZeroDivisionError("oh"))
    assert "Traceback (most recent call last)" in cli("--traceback", "version").err


def test_a_group_with_one_error_counts_as_that_error(monkeypatch: pytest.MonkeyPatch, cli: RunCli) -> None:
    _failing(monkeypatch, ExceptionGroup("tasks", [errors.ConfigError("bad file")]))
    result = cli("version")
    assert (result.code, result.err) == (2, "error: bad file\n")


def test_an_error_cannot_write_to_the_terminal(monkeypatch: pytest.MonkeyPatch, cli: RunCli) -> None:
    _failing(monkeypatch, errors.UsageError("bad \x1b[2Jname \u202e[bold]x[/bold]"))
    assert cli("version").err == "error: bad \\x1b[2Jname \\u202e[bold]x[/bold]\n"


def test_a_mistyped_command_is_answered_with_the_nearest_one(cli: RunCli) -> None:
    result = cli("tasks", "lst")
    assert result.code == exit_codes.USAGE
    assert "There is no command 'lst'. Did you mean 'list'?" in result.err


def test_a_wrong_option_shows_the_usage(cli: RunCli) -> None:
    result = cli("version", "--jsno")
    assert result.code == exit_codes.USAGE
    assert "Usage: trigger version" in result.err
    assert "`trigger version --help`" in result.err


def test_interrupting_says_so(monkeypatch: pytest.MonkeyPatch, cli: RunCli) -> None:
    _failing(monkeypatch, KeyboardInterrupt())
    assert cli("version").err == "interrupted\n"
