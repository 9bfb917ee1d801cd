"""`trigger init`: a starter project."""

import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from triggerdev import errors
from triggerdev.cli import options
from triggerdev.cli.output import Output


class Template(StrEnum):
    hello = "hello"
    schedule = "schedule"
    fan_out = "fan-out"


_ABOUT = {
    Template.hello: "one task that greets",
    Template.schedule: "a task that runs every minute",
    Template.fan_out: "a task that starts many runs and waits for them",
}
_FIRST_RUN = {
    Template.hello: """trigger run hello --payload '{"name": "Ada"}' --wait""",
    Template.schedule: "trigger runs list --task every-minute",
    Template.fan_out: """trigger run fan-out --payload '{"texts": ["one", "two words"]}' --wait""",
}
_IGNORED = (".trigger/", ".env.local")
_PLACEHOLDER = '"my-project"'


@dataclass
class _Report:
    """What `init` did: relative paths, in the order of writing."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def init(
    path: Annotated[Path, typer.Argument(help="The project's folder; made if it is not there.")] = Path(),
    template: Annotated[Template | None, typer.Option("--template", "-t", help="What to start with.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; the template is hello.")] = False,
    json: options.Json = False,
) -> None:
    """Write a starter project: trigger.config.toml, one task file, .gitignore lines. Overwrites nothing."""
    out = Output(json)
    chosen = template or (Template.hello if yes else _ask())
    try:
        report = _write(path, chosen)
    except OSError as error:
        raise errors.EnvironmentProblemError(
            f"cannot write {error.filename or path}: {error.strerror}"
        ) from error
    steps = _next_steps(path, chosen)
    for name in report.written:
        out.line(f"wrote {name}")
    for name in report.kept:
        out.line(f"kept  {name} (it was there)")
    out.result(
        {
            "path": os.fspath(path.resolve()),
            "template": chosen.value,
            "written": report.written,
            "kept": report.kept,
            "next": steps,
        }
    )
    out.say("\nNext:\n" + "\n".join(f"  {step}" for step in steps))


def _ask() -> Template:
    names = [each.value for each in Template]
    if not _can_ask():
        raise errors.WouldPromptError(
            f"which template? There is no terminal to ask on: give --template {'|'.join(names)} or --yes."
        )
    sys.stderr.write("Which template?\n")
    for number, each in enumerate(Template, 1):
        sys.stderr.write(f"  {number}  {each.value:<10}{_ABOUT[each]}\n")
    while True:
        sys.stderr.write("Number or name [hello]: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip().lower() or ("hello" if line else "")
        if not line:
            raise typer.Abort
        if answer in names:
            return Template(answer)
        if answer.isdecimal() and 1 <= int(answer) <= len(names):
            return list(Template)[int(answer) - 1]
        sys.stderr.write(f"One of {', '.join(names)}, please.\n")


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty() and not os.environ.get("CI")


def _write(path: Path, template: Template) -> _Report:
    report = _Report()
    root = resources.files("triggerdev") / "templates" / "init" / template.value
    path.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", path.resolve().name.lower())[:64].strip("-") or "my-project"
    config = (root / "trigger.config.toml").read_text("utf-8").replace(_PLACEHOLDER, f'"{name}"')
    _add(path, "trigger.config.toml", config, report)
    for file in _python_files(root / "trigger"):
        _add(path, f"trigger/{file.name}", file.read_text("utf-8"), report)
    _add_ignored(path, report)
    return report


def _python_files(folder: Traversable) -> list[Traversable]:
    return sorted(
        (file for file in folder.iterdir() if file.name.endswith(".py")), key=lambda file: file.name
    )


def _add(root: Path, name: str, text: str, report: _Report) -> None:
    file = root / name
    file.parent.mkdir(exist_ok=True)
    try:
        with file.open("x", encoding="utf-8") as stream:  # "x": never over what is there
            stream.write(text)
    except FileExistsError:
        report.kept.append(name)
    else:
        report.written.append(name)


def _add_ignored(root: Path, report: _Report) -> None:
    file = root / ".gitignore"
    old = file.read_text("utf-8") if file.is_file() else ""
    present = {line.strip().strip("/") for line in old.splitlines()}
    missing = [line for line in _IGNORED if line.strip("/") not in present]
    if not missing:
        report.kept.append(".gitignore")
        return
    gap = "" if not old or old.endswith("\n") else "\n"
    with file.open("a", encoding="utf-8") as stream:
        stream.write(gap + "".join(f"{line}\n" for line in missing))
    report.written.append(f".gitignore ({', '.join(missing)})")


def _next_steps(path: Path, template: Template) -> list[str]:
    steps = [] if path.resolve() == Path.cwd() else [f"cd {shlex.quote(os.fspath(path))}"]
    steps += ["trigger dev", _FIRST_RUN[template], "trigger runs list"]
    return steps[:3]
