"""The Containerfile of a plan. Only what has passed one of the filters here can enter it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from triggerdev.build import scripts, tokens
from triggerdev.build.files import APP
from triggerdev.build.oci.image import Settings
from triggerdev.build.plan import ImagePlan, PlanLayer
from triggerdev.build.source import RUNTIME

if TYPE_CHECKING:
    import jinja2

LAYERS = "layers"
"""The folder, beside the Containerfile, that holds one folder for each layer with files."""
_STEPS = ("RUN", "COPY", "ADD", "WORKDIR")


class Token(str):
    """Text that may enter a Containerfile; making one checks that it cannot break out of its line."""

    __slots__ = ()

    def __new__(cls, text: str) -> Token:
        if tokens.has_control(text.replace("\t", " ")):
            raise ValueError("a token of a Containerfile cannot hold a line break or a control character")
        return super().__new__(cls, text)


def render(plan: ImagePlan, settings: Settings | None = None, *, secret_files: bool = False) -> str:
    """Write the Containerfile of a plan; its context is the build folder that `folder.write` fills.

    `settings` end it; without them it makes the lower part of an image. With `secret_files` it is for engines
    that mount secrets as files only.
    """
    layers = [layer for layer in plan.layers if layer.kind != "base" and _does_something(layer)]
    return _template().render(base=plan.base, layers=layers, settings=settings, secret_files=secret_files)


def steps(containerfile: str) -> list[str]:
    """Name for each instruction that makes a step of a build, FROM left out, the layer it belongs to."""
    return [owner for owner, word in _owned(containerfile) if word in _STEPS]


def instructions(containerfile: str) -> list[str]:
    """Name for each instruction, FROM included, the layer it belongs to."""
    return [owner for owner, _ in _owned(containerfile)]


def _owned(containerfile: str) -> Iterator[tuple[str, str]]:
    """Yield for each instruction the layer it belongs to, and its first word."""
    owner = "base"
    for line in containerfile.partition("\n")[2].splitlines():
        if line.startswith("# "):
            owner = line[2:]
        elif line:
            yield owner, line.partition(" ")[0].upper()


def folder_of(layer: PlanLayer) -> str:
    """Give the folder of a layer's files, relative to the build folder."""
    return f"{LAYERS}/{tokens.checked_id(layer.id)}"


def _does_something(layer: PlanLayer) -> bool:
    return bool(layer.files or layer.script or layer.instructions)


def _copied_to(layer: PlanLayer) -> Token:
    """Give the folder that all files of a layer without commands are below, else "".

    COPY gives the folders that it meets the modes of its source, which is right for our own folders only.
    """
    if layer.kind == "files":
        for top in (APP, RUNTIME):
            if all(entry.destination.startswith(top + "/") for entry in layer.files):
                return Token(top)
    return Token("")


def _script(layer: PlanLayer, secret_files: bool) -> Token:
    """Write what a layer executes; where secrets are files, a script in front makes variables of them."""
    words = layer.script or scripts.shell("layer")
    if secret_files and layer.secrets:
        words = scripts.shell("secrets", [*layer.secrets, "--", *words])
    return Token(tokens.exec_form(words))


def _refused(text: str) -> Token:
    raise ValueError(f"{text!r} is no plain word")


def _instruction(line: str) -> Token:
    problem = tokens.instruction_problem(line)
    if problem:
        raise ValueError(f"{line!r} cannot be an instruction: {problem}")
    return Token(line.strip())


def _variable(name: str) -> Token:
    if not tokens.is_variable(name):
        raise ValueError(f"{name!r} is no name of a variable")
    return Token(name)


def _only_tokens(value: Any) -> Any:
    """Refuse what reaches the output without a filter."""
    if not isinstance(value, Token):
        raise TypeError(f"{value!r} would enter the Containerfile without a filter")
    return value


@cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - this is no HTML; `finalize` lets checked tokens pass and nothing else
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_only_tokens,
    )
    environment.filters |= {
        "reference": lambda text: Token(tokens.checked_reference(text)),
        "id": lambda text: Token(tokens.checked_id(text)),
        "variable": _variable,
        "quoted": lambda text: Token(tokens.quoted(text)),
        "exec": lambda words: Token(tokens.exec_form(words)),
        "script": _script,
        "seconds": lambda seconds: Token(f"{seconds:g}s"),
        "word": lambda text: Token(text) if tokens.is_word(text) else _refused(text),
        "instruction": _instruction,
        "folder": lambda layer: Token(folder_of(layer)),
        "copied_to": _copied_to,
    }
    text = resources.files("triggerdev") / "templates" / "containerfile" / "Containerfile.j2"
    return environment.from_string(text.read_text("utf-8"))
