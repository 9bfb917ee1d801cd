"""Imports references and says what went wrong; runs alone in the project's interpreter, without our package.

Reads {"root", "further_path", "references": [{"text", "must_be_callable"}]} from stdin and
writes one JSON line for each reference. What the imported modules print goes to stderr.
"""

import importlib
import importlib.util
import json
import os
import pkgutil
import sys
import traceback
from types import ModuleType
from typing import Any


def main() -> None:
    """Answer all references of the request, each as soon as it is known."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    root = request["root"]
    source = os.path.join(root, "src")  # noqa: PTH118 - kept to modules that start fast
    sys.path[:0] = [root, *([source] if os.path.isdir(source) else [])]  # noqa: PTH112
    sys.path += request["further_path"]
    for item in request["references"]:
        answers.write(json.dumps(answer(root, item["text"], item["must_be_callable"])) + "\n")
        answers.flush()
    os._exit(0)  # threads and exit handlers of imported modules are no concern of ours


def answer(root: str, text: str, must_be_callable: bool) -> dict[str, Any]:
    """Import one reference: {} if that works, else "message", and "names" that it may have meant."""
    place, _, attribute = text.rpartition(":")
    try:
        target: Any = _load_file(root, place) if place.endswith(".py") else importlib.import_module(place)
    except FileNotFoundError as error:
        if error.filename and place.endswith(".py"):
            return {"message": f"the file {place} does not exist", "names": []}
        return _raised(root, place, error)
    except ModuleNotFoundError as error:
        if place == error.name or place.startswith(f"{error.name}."):
            return _no_such_module(str(error.name))
        return _raised(root, place, error)
    except BaseException as error:
        return _raised(root, place, error)
    return _attribute(target, place, attribute, must_be_callable)


def _attribute(target: Any, place: str, attribute: str, must_be_callable: bool) -> dict[str, Any]:
    for part in attribute.split("."):
        if not hasattr(target, part):
            where = place if isinstance(target, ModuleType) else f"{place}:{getattr(target, '__name__', '?')}"
            names = [name for name in dir(target) if not name.startswith("_")]
            return {"message": f"`{where}` has no `{part}`", "missing": part, "names": names}
        target = getattr(target, part)
    if must_be_callable and not callable(target):
        return {"message": f"`{place}:{attribute}` is {type(target).__name__!r}, not a function", "names": []}
    return {}


def _load_file(root: str, place: str) -> ModuleType:
    path = os.path.normpath(os.path.join(root, place))  # noqa: PTH118
    os.stat(path)  # noqa: PTH116 - a missing file is told apart from errors inside of it
    name = "_trigger_file_" + "".join(c if c.isalnum() else "_" for c in place)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # always so for a name that ends with .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _no_such_module(missing: str) -> dict[str, Any]:
    parent, _, last = missing.rpartition(".")
    folders = list(getattr(sys.modules[parent], "__path__", [])) if parent in sys.modules else sys.path[:2]
    prefix = f"{parent}." if parent else ""
    siblings = [prefix + module.name for module in pkgutil.iter_modules(folders)]
    for folder in folders:  # a folder without __init__.py is a package, too
        siblings += [prefix + item.name for item in os.scandir(folder or ".") if item.is_dir()]
    return {"message": f"there is no module `{missing}`", "missing": prefix + last, "names": siblings}


def _raised(root: str, place: str, error: BaseException) -> dict[str, Any]:
    detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    line = _user_line(root, error)
    return {"message": f"importing `{place}` failed{line}: {detail}", "names": []}


def _user_line(root: str, error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    places = [(frame.filename, frame.lineno) for frame in frames]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno))
    for filename, line in reversed(places):
        if filename.startswith(root + os.sep):
            return f" at {filename[len(root) + 1 :]}:{line}"
    return ""


if __name__ == "__main__":
    main()
