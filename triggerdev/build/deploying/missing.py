"""Imports that work here but not in the image: what would bring the module there."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from triggerdev.build import tokens
from triggerdev.protocol import SourceProblem
from triggerdev.worker.interpreter import ask

_MODULE = re.compile(r"No module named '([^']+)'")
_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")
_ASK = (
    "import importlib.metadata as m, json, sys; "
    "print(json.dumps({d: m.version(d) for d in m.packages_distributions().get(sys.argv[1], [])}))"
)
_EXTENSIONS = {"playwright": "playwright", "prisma": "prisma"}
"""Extensions that bring a module together with what it needs besides."""
_PACKAGES = {
    "libGL.so": "libgl1",
    "libEGL.so": "libegl1",
    "libgomp.so": "libgomp1",
    "libgthread-2.0.so": "libglib2.0-0",
    "libglib-2.0.so": "libglib2.0-0",
    "libmagic.so": "libmagic1",
    "libpq.so": "libpq5",
    "libmariadb.so": "libmariadb3",
    "libsndfile.so": "libsndfile1",
    "libxml2.so": "libxml2",
    "libxslt.so": "libxslt1.1",
    "libcairo.so": "libcairo2",
    "libpango-1.0.so": "libpango-1.0-0",
    "libjpeg.so": "libjpeg62-turbo",
    "libzbar.so": "libzbar0",
}
"""Debian's packages of libraries that wheels commonly leave out."""


def advice(problem: SourceProblem, root: Path) -> str | None:
    """Say what would mend a problem of the index in the image; None if it is of another kind."""
    message = problem.get("message", "")
    module = _MODULE.search(message)
    if module:
        return _module_advice(module[1], root)
    library = _LIBRARY.search(message)
    if library:
        return _library_advice(library[1])
    return None


def advices(problems: Sequence[SourceProblem], root: Path) -> list[str]:
    """Give each advice once."""
    found = (advice(problem, root) for problem in problems)
    return [text for text in dict.fromkeys(found) if text]


def _module_advice(module: str, root: Path) -> str:
    top = module.partition(".")[0]
    own = _own_file(module, root)
    if own is not None:
        return (
            f"{own} is on this machine but not in the image: .gitignore, .dockerignore or build.exclude "
            'keeps it out; build.exclude = ["!..."] brings it back'
        )
    known = _distributions(top, root)
    if top in _EXTENSIONS:
        name = _EXTENSIONS[top]
        return f"the module {top!r} and what it needs come with the extension [build.extensions.{name}]"
    if known:
        name, version = next(iter(known.items()))
        return (
            f"the module {top!r} is that of {name} {version}, which is installed here but is no dependency "
            f"of the project: add {name!r} to its dependencies (uv.lock, pyproject.toml, requirements.txt or "
            "build.dependencies)"
        )
    return f"nothing here provides the module {top!r} either: add its distribution to the dependencies"


def _own_file(module: str, root: Path) -> str | None:
    path = Path(*module.split("."))
    for base in (root, root / "src"):
        for candidate in (base / path.with_suffix(".py"), base / path):
            if candidate.exists():
                return candidate.relative_to(root).as_posix()
    return None


def _distributions(module: str, root: Path) -> dict[str, str]:
    """Ask the project's interpreter which distributions provide a module."""
    try:
        found: dict[str, str] = json.loads(ask(root, _ASK, module) or "{}")
    except ValueError:
        return {}
    return {name: version for name, version in found.items() if tokens.is_requirement(name)}


def _library_advice(library: str) -> str:
    known = next((package for stem, package in _PACKAGES.items() if library.startswith(stem)), None)
    if known:
        return (
            f"the library {library} comes with Debian's {known}: "
            f'[build.extensions.apt-get] packages = ["{known}"]'
        )
    return (
        f"the library {library} is missing in the image; `apt-file search {library}` names its Debian "
        "package, which [build.extensions.apt-get] installs"
    )
