"""`trigger doctor`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from triggerdev.cli import exit_codes, options, project
from triggerdev.cli.output import Output

if TYPE_CHECKING:
    from triggerdev.cli.checks import Check

_TONES = {"ok": "green", "warn": "yellow", "fail": "red", "note": "dim"}


def doctor(
    config: options.Config = None,
    env: options.Env = None,
    env_file: options.EnvFile = None,
    json: options.Json = False,
    plain: options.Plain = False,
) -> None:
    """Check the machine and the project; exit 1 if a check failed."""
    from triggerdev.cli.checks import Subject, run_checks

    out = Output(json, plain)
    root = project.find_root(config)
    if config is None and root is not None and not (root / project.CONFIG_NAME).is_file():
        root = None
    found: list[Check] = []
    for check in run_checks(Subject(root, env or "dev", tuple(env_file or ()))):
        found.append(check)
        out.line(_line(check), _TONES[check.status] if check.status != "ok" else None)
        out.flush()
    failed = [check for check in found if check.status == "fail"]
    out.result({"ok": not failed, "checks": [asdict(check) for check in found]})
    if failed:
        raise typer.Exit(exit_codes.FAILED)


def _line(check: "Check") -> str:
    advice = f" -> {check.advice}" if check.advice else ""
    return f"{check.status:<5} {check.name:<12} {check.message}{advice}"
