"""The command `trigger`: the table of its commands and the one place where errors become exit codes."""

import errno
import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from triggerdev import errors
from triggerdev.cli import exit_codes
from triggerdev.cli.lazy import Command, Group, Table, lazy_app

COMMANDS: Table = {
    "init": Command("triggerdev.cli.init:init", "Write a starter project: config, one task, .gitignore."),
    "dev": Command("triggerdev.cli.dev:dev", "Run tasks here, with hot reload."),
    "deploy": Command(
        "triggerdev.cli.deploy:deploy", "Build a version of the project; --dry-run shows the plan."
    ),
    "lock": Command("triggerdev.cli.lock:lock", "Pin base images and downloads in trigger.lock."),
    "deployments": Group(
        "The versions that were deployed from here.",
        {
            "list": Command(
                "triggerdev.cli.deployments_list:list_deployments", "List versions, newest first."
            ),
            "get": Command("triggerdev.cli.deployments_get:get", "Show one version."),
            "promote": Command("triggerdev.cli.deployments_promote:promote", "Make a version current."),
            "rollback": Command(
                "triggerdev.cli.deployments_rollback:rollback", "Go back to the version before."
            ),
        },
    ),
    "run": Command("triggerdev.cli.tasks_trigger:trigger", "Trigger a task (short for `tasks trigger`)."),
    "tasks": Group(
        "List and trigger tasks.",
        {
            "list": Command("triggerdev.cli.tasks_list:list_tasks", "List the project's tasks."),
            "trigger": Command("triggerdev.cli.tasks_trigger:trigger", "Trigger a task."),
        },
    ),
    "runs": Group(
        "List, inspect, cancel and replay runs.",
        {
            "list": Command("triggerdev.cli.runs_list:list_runs", "List runs, newest first."),
            "get": Command("triggerdev.cli.runs_get:get", "Show one run."),
            "logs": Command("triggerdev.cli.runs_logs:logs", "Print what a run wrote."),
            "trace": Command("triggerdev.cli.runs_trace:trace", "Show what a run did, as a tree."),
            "cancel": Command("triggerdev.cli.runs_cancel:cancel", "Cancel runs and their children."),
            "replay": Command("triggerdev.cli.runs_replay:replay", "Run it again with the same payload."),
        },
    ),
    "schedules": Group(
        "List, make and stop schedules.",
        {
            "list": Command("triggerdev.cli.schedules_list:list_schedules", "List schedules."),
            "create": Command("triggerdev.cli.schedules_create:create", "Make a schedule, or change one."),
            "activate": Command("triggerdev.cli.schedules_change:activate", "Let schedules run again."),
            "deactivate": Command("triggerdev.cli.schedules_change:deactivate", "Let schedules rest."),
            "delete": Command("triggerdev.cli.schedules_change:delete", "Delete schedules."),
        },
        default="list",
    ),
    "queues": Group(
        "List queues, pause them, change their limits.",
        {
            "list": Command("triggerdev.cli.queues_list:list_queues", "List queues with their load."),
            "pause": Command("triggerdev.cli.queues_change:pause", "Give out no more runs of queues."),
            "resume": Command("triggerdev.cli.queues_change:resume", "Give out runs of queues again."),
            "limit": Command("triggerdev.cli.queues_limit:limit", "Override a queue's limit, or reset it."),
        },
        default="list",
    ),
    "env": Group(
        "Environment variables that the server keeps for tasks.",
        {
            "list": Command("triggerdev.cli.env_list:list_variables", "List variables; values are hidden."),
            "get": Command("triggerdev.cli.env_get:get", "Print a value."),
            "set": Command("triggerdev.cli.env_set:set_variable", "Keep a variable, encrypted."),
            "import": Command("triggerdev.cli.env_import:import_variables", "Keep those of a .env file."),
            "unset": Command("triggerdev.cli.env_unset:unset", "Delete variables."),
        },
        default="list",
    ),
    "db": Group(
        "The server's database.",
        {
            "backup": Command(
                "triggerdev.cli.db_backup:backup", "Copy the SQLite database while it is used."
            ),
            "migrate": Command(
                "triggerdev.cli.db_migrate:migrate", "Bring PostgreSQL's tables to this version."
            ),
        },
    ),
    "config": Command("triggerdev.cli.config:app", "Check, show and describe the configuration."),
    "doctor": Command("triggerdev.cli.doctor:doctor", "Check the machine and the project."),
    "completion": Command("triggerdev.cli.completion:completion", "Print a shell's completion script."),
    "version": Command("triggerdev.cli.version:version", "Print the version."),
}

EPILOG = "Start with `trigger init`, then `trigger dev`. Exit codes and variables: docs/cli.md."

app = lazy_app(COMMANDS, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})

_ALLOCATIONS = 20_000
"""How many it takes for the collector to look for garbage, of which loading modules makes none."""

# typer may carry its own copy of click, so the base of usage errors has no path common to all versions.
_CLICK_ERROR: type[Exception] = typer.BadParameter.__mro__[2]


def _show_version(wanted: bool) -> None:
    if wanted:
        from triggerdev._version import __version__

        typer.echo(f"trigger {__version__}")
        raise typer.Exit(exit_codes.OK)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show Python tracebacks of errors (or TRIGGER_TRACEBACK=1).")
    ] = False,
) -> None:
    """Durable background tasks for Python."""
    if traceback:
        os.environ["TRIGGER_TRACEBACK"] = "1"


def run() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(_ALLOCATIONS)
    _open_missing_streams()
    _keep_small()
    sys.exit(main(sys.argv[1:]))


def _keep_small() -> None:
    """Keep httpx from loading its own command line, with click and rich: a third of what it takes to load."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # so that its import is refused


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code; no error leaves this function."""
    _never_fail_on_encoding()
    try:
        code = _invoke(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return exit_codes.OK  # the reader of our output has what it wanted
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return exit_codes.INTERRUPTED
    except Exception as error:
        _drop_what_cannot_be_written()
        return _report(error)
    return code


def _invoke(argv: Sequence[str]) -> int:
    command: Any = typer.main.get_command(app)
    if "_TRIGGER_COMPLETE" in os.environ:
        command.main(args=list(argv), prog_name="trigger")  # answers the shell and exits
    try:
        with command.make_context("trigger", list(argv)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return exit_codes.OK


def _report(error: Exception) -> int:
    from triggerdev.cli import output

    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, _CLICK_ERROR):
        return output.print_usage_error(error)
    if os.environ.get("TRIGGER_TRACEBACK", "0") not in ("", "0"):
        output.print_traceback(error)
    elif isinstance(error, errors.TriggerError):
        output.print_error(str(error), getattr(error, "__notes__", []))
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = error.filename or "the output"
        output.print_error(f"cannot write {where}: {error.strerror}")
    else:
        output.print_error(
            f"unexpected {type(error).__name__}: {error}",
            ["This is a fault of the command itself; TRIGGER_TRACEBACK=1 in front of it shows where."],
        )
    return exit_codes.of(error)


def _open_missing_streams() -> None:
    """Give a process that was started with closed streams empty ones, at the descriptors that they have."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 - stays open to the end


def _drop_what_cannot_be_written() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _discard_stdout()


def _never_fail_on_encoding() -> None:
    """Let a character that the terminal cannot show be printed as an escape instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _discard_stdout() -> None:
    """Point stdout to nowhere, so that the interpreter's last flush finds no closed pipe."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # stdout is no real file (a test, an embedding program): nothing is flushed at exit
