"""Import what a configuration refers to, and report what cannot be imported at its place."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triggerdev.config import names
from triggerdev.errors import Diagnostic

if TYPE_CHECKING:
    from triggerdev.config.loader import LoadedConfig
    from triggerdev.config.model import Extension, TriggerConfig
    from triggerdev.config.positions import KeyPath

TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ReferenceAt:
    """A reference and where the configuration has it."""

    path: KeyPath
    text: str
    must_be_callable: bool = True


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """Why a reference cannot be imported; `nearest` is what it may have meant."""

    message: str
    nearest: str | None = None


Importer = Callable[["LoadedConfig", Sequence[ReferenceAt]], Mapping[str, ImportProblem]]
"""Imports references and returns the problems by the text of the reference."""


def check_references(
    loaded: LoadedConfig, *, importer: Importer | None = None, uses: bool = True
) -> list[Diagnostic]:
    """Import every reference of a configuration and return what is wrong, each at its place.

    What extensions are made of (`use`) need not be asked for where they are loaded in any case. `importer`
    does the importing; by default a process of the running interpreter, so that nothing of the user's code
    stays in this one. Use `subprocess_importer` for the project's own interpreter.
    """
    references = list(find_references(loaded.config, uses=uses))
    if not references:
        return []
    problems = (importer or subprocess_importer(Path(sys.executable)))(loaded, references)
    causes: dict[ImportProblem, list[ReferenceAt]] = {}
    for reference in references:
        if reference.text in problems:
            causes.setdefault(problems[reference.text], []).append(reference)
    return [_diagnostic(loaded, problem, places) for problem, places in causes.items()]


def _diagnostic(loaded: LoadedConfig, problem: ImportProblem, places: Sequence[ReferenceAt]) -> Diagnostic:
    """Report one cause at the first place that needs it, and name the others."""
    hint = f"did you mean `{problem.nearest}`?" if problem.nearest else None
    if len(places) > 1:
        others = ", ".join(
            f"{loaded.written_as(one.path)} (line {loaded.position(one.path).line})" for one in places[1:]
        )
        hint = f"{hint} " if hint else ""
        hint += f"Also needed by {others}."
    return loaded.diagnostic(places[0].path, problem.message, help=hint)


def find_references(config: TriggerConfig, *, uses: bool = True) -> Iterator[ReferenceAt]:
    """Yield every reference of a configuration in the order of the model."""
    if config.init is not None:
        yield ReferenceAt(("init",), config.init)
    for hook, texts in config.hooks.by_name().items():
        for index, text in enumerate(texts):
            yield ReferenceAt(("hooks", hook, index), text)
    for kind in ("instrumentations", "exporters", "log_exporters"):
        for index, plugin in enumerate(getattr(config.telemetry, kind)):
            yield ReferenceAt(("telemetry", kind, index), plugin.use)
    for name, extension in config.build.enabled_extensions().items():
        path = ("build", "extensions", name)
        if uses and extension.use is not None and ":" in extension.use:
            yield ReferenceAt((*path, "use"), extension.use, must_be_callable=False)
        yield from _callback(path, extension)


def _callback(path: KeyPath, extension: Extension) -> Iterator[ReferenceAt]:
    callback = extension.arguments.get("callback")
    if isinstance(callback, str):
        inside = ("options", "callback") if "callback" in extension.options else ("callback",)
        yield ReferenceAt((*path, *inside), callback)


def subprocess_importer(python: Path) -> Importer:
    """Make an importer that runs an interpreter, which needs nothing of ours installed."""

    def run(loaded: LoadedConfig, references: Sequence[ReferenceAt]) -> dict[str, ImportProblem]:
        wanted = {reference.text: reference.must_be_callable for reference in references}
        answers, reason = _ask(python, loaded, wanted)
        problems: dict[str, ImportProblem] = {}
        for text, answer in zip(wanted, answers, strict=False):
            if answer:
                problems[text] = _problem(answer)
        for text in list(wanted)[len(answers) : len(answers) + 1]:  # those behind it were not tried
            problems[text] = ImportProblem(f"importing `{text}` {reason}")
        return problems

    return run


def _ask(python: Path, loaded: LoadedConfig, wanted: Mapping[str, bool]) -> tuple[list[dict[str, Any]], str]:
    """Return the answers in order, and why there are not more of them."""
    source = Path(__file__).with_name("_probe.py").read_text(encoding="utf-8")
    references = [{"text": text, "must_be_callable": flag} for text, flag in wanted.items()]
    # The running interpreter finds the package that is running, also when it is a source checkout.
    home = [str(Path(__file__).parents[2])] if python == Path(sys.executable) else []
    request = json.dumps({"root": str(loaded.root), "further_path": home, "references": references})
    try:
        done = subprocess.run(
            [str(python), "-B", "-c", source],
            input=request,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=loaded.root,
            env=dict(loaded.environ),
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        printed = error.stdout if isinstance(error.stdout, bytes) else b""
        return _answers(printed.decode("utf-8", "replace")), f"did not end within {TIMEOUT_SECONDS} s"
    except OSError as error:
        return [], f"needs {python}, which does not start: {error.strerror or error}"
    return _answers(done.stdout), f"ended its process with status {done.returncode}{_last_line(done.stderr)}"


def _answers(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines() if line.endswith("}")]


def _last_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    return f": {lines[-1][:200]}" if lines else ""


def _problem(answer: Mapping[str, Any]) -> ImportProblem:
    near = names.nearest(answer.get("missing", ""), answer["names"]) if answer["names"] else None
    return ImportProblem(answer["message"], near)
