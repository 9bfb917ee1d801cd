"""Imports that nothing provides, and how files are looked through for them."""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.build.support import Project
from triggerdev.build import imports
from triggerdev.build.files import generated


def warned(project: Project, text: str, config: str = "") -> list[str]:
    project.write("trigger/more.py", text)
    project.config(config)
    warnings: list[str] = project.plan().document["warnings"]
    return [warning.split("'")[1] for warning in warnings if "nothing provides" in warning]


def test_imports_that_nothing_provides_are_warned_of(project: Project) -> None:
    project.write("lib/helper.py", "")
    text = (
        "import os, lib.helper, triggerdev, httpx, anyio\nfrom . import hello\nimport native_thing.sub\n"
        "def later():\n    import hidden_thing\n"
    )
    assert warned(project, text) == ["hidden_thing", "native_thing"]
    assert warned(project, text, '[build]\nexternal = ["hidden_thing", "native_thing.sub"]') == []
    assert warned(project, text, "[build]\nauto_detect_external = false") == []


def test_imports_that_a_program_can_do_without_do_not_count(project: Project) -> None:
    text = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import only_types\n"
        "try:\n    import fast_thing\nexcept ImportError:\n    fast_thing = None\n"
    )
    assert warned(project, text) == []


def test_an_extension_can_name_what_the_image_provides(project: Project) -> None:
    project.write("trigger/more.py", "import native_thing\n")
    project.write(
        "ext.py", "class X:\n    def externals_for_target(self, target):\n        return ['native_thing']\n"
    )
    project.config('[build.extensions.x]\nuse = "./ext.py:X"\n')
    assert project.plan().document["warnings"] == []


def test_a_distribution_may_have_another_name_than_its_import(project: Project) -> None:
    project.write("requirements.txt", "PyYAML\nopencv_python\nScikit.Learn\n")
    assert warned(project, "import yaml, cv2, sklearn\n") == []


STATEMENTS = [
    "import a, b.c as d, e",
    "import a.b",
    "import a \\\n  , b",
    "from a import x",
    "from a.b import (x, y)",
    "from . import x\nimport a",
    "from .. import x; import a",
    "from .b import x",
    "\tif x: import a; from b import c",
    "def f():\n    yield from g\n    import a",
    "try: raise x from y\nexcept E: import a",
    "class A:\r\n    import a\r\n    from b import c",
    "if x:\\\n import a",
    "\ufeffimport a",
    "\x0cimport a",
    "import\ta",
    "match x:\n    case 1: import a",
    "with a: import b",
    "async def f():\n    async with a:\n        import b",
    "try:\n    pass\nfinally:\n    import a",
    "for x in y:\n    pass\nelse:\n    import a",
    "while x:\n    import a",
    "x = lambda: 1; import ünï",
]


@pytest.mark.parametrize("text", [f"{text}\n" for text in STATEMENTS])
def test_no_import_is_overlooked_by_the_scan_that_saves_parsing(text: str) -> None:
    body = text if text[0] not in "\t" else f"if 1:\n{text}"
    assert _imported(body.encode()) <= set(imports._scan(body.encode()))
    assert _imported(body.encode()) == {
        name for name, _ in imports._read(generated("/app/a.py", body.encode(), "a.py"))
    }


def test_no_import_of_the_standard_library_is_overlooked() -> None:
    parsed = 0
    for module in sorted(sys.stdlib_module_names):
        spec = find_spec(module) if module not in ("this", "antigravity") else None
        if spec is not None and spec.has_location and str(spec.origin).endswith(".py"):
            content = Path(str(spec.origin)).read_bytes()
            assert _imported(content) <= set(imports._scan(content)), module
            parsed += 1
    assert parsed > 100


def test_comments_and_texts_cost_no_parsing() -> None:
    text = '"""Do not import this from there."""\nimport os  # import that\nx = "from here import it"\n'
    assert imports._scan(text.encode()) == ["os"]
    assert imports._scan(b"# -*- coding: latin-1 -*-\nimport os  # \xe4\n") == ["?"]


def _imported(content: bytes) -> set[str]:
    """Give what any statement imports, found by looking at all of the tree."""
    found = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found
