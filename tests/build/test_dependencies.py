"""Where Python dependencies come from, and what `minify` does."""

import ast
import inspect
import json
import tokenize

import pytest
import tomli

from tests.build.support import Project
from triggerdev import errors
from triggerdev.build import dependencies, minify, source
from triggerdev.build.deploy_plan import python_version
from triggerdev.build.plan import PlanLayer

LOCK = """
version = 1
[[package]]
name = "demo"
version = "0"
source = { editable = "." }
[[package]]
name = "idna"
version = "3.10"
source = { registry = "https://pypi.org/simple" }
[[package]]
name = "triggerdev"
version = "0.1"
source = { editable = "../triggerdev" }
"""
PYPROJECT = '[project]\nname = "demo"\ndependencies = ["httpx>=0.28", "triggerdev>=0.1"]\n'


def kind(project: Project) -> str:
    return dependencies.find(project.root, ["rich"]).kind


def test_the_sources_are_asked_in_order(project: Project) -> None:
    assert kind(project) == "config"
    project.write("requirements.txt", "httpx\n")
    assert kind(project) == "requirements.txt"
    project.write("pyproject.toml", "[tool.ruff]\n")
    assert kind(project) == "requirements.txt"
    project.write("pyproject.toml", PYPROJECT)
    assert kind(project) == "pyproject.toml"
    project.write("uv.lock", LOCK)
    assert kind(project) == "uv.lock"
    assert dependencies.find(project.root, []).requirements == ("idna==3.10", "triggerdev==0.1")


def test_without_any_there_is_what_the_runtime_needs(project: Project) -> None:
    assert dependencies.find(project.root, []).kind == "none"
    needed = {*source.RUNTIME_REQUIREMENTS, *source.INIT_REQUIREMENTS}
    assert project.layer("dependencies")["packages"] == sorted(needed)


def test_the_runtime_asks_for_what_this_package_asks_for() -> None:
    """The image's short list must not drift from pyproject.toml."""
    from pathlib import Path

    ours = tomli.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(source.RUNTIME_REQUIREMENTS) <= set(ours)


def test_this_package_itself_is_left_out_of_the_requirements(project: Project) -> None:
    project.write("pyproject.toml", PYPROJECT)
    found = dependencies.find(project.root, [])
    assert found.requirements == ("httpx>=0.28",)
    project.write("pyproject.toml", "")
    project.write(
        "requirements.txt", "triggerdev==1 \\\n  --hash=sha256:aa\nhttpx # comment\n-r more/dev.txt\n"
    )
    project.write("more/dev.txt", "rich>=14\n-c ../pins.txt\n")
    project.write("pins.txt", "idna==3.10\n")
    found = dependencies.find(project.root, [])
    assert found.requirements == ("httpx", "idna==3.10", "rich>=14")
    folder = project.plan().build_dir / "layers/dependencies/run/trigger/dependencies"
    assert (folder / "requirements.txt").read_text() == "httpx # comment\n-r more/dev.txt\n"
    assert sorted(path.name for path in folder.rglob("*.txt")) == [
        "dev.txt",
        "pins.txt",
        "requirements.txt",
        "runtime.txt",
    ]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"uv.lock": LOCK}, "needs a pyproject.toml"),
        ({"uv.lock": "[", "pyproject.toml": PYPROJECT}, "cannot read uv.lock"),
        ({"uv.lock": LOCK.replace("triggerdev", "x"), "pyproject.toml": PYPROJECT}, "takes 'x' from '../x'"),
        ({"pyproject.toml": "[project"}, "cannot read pyproject.toml"),
        ({"pyproject.toml": '[project]\ndynamic = ["dependencies"]'}, "are dynamic"),
        ({"pyproject.toml": '[project]\ndependencies = ["--index-url=http://evil"]'}, "is no requirement"),
        ({"pyproject.toml": '[project]\ndependencies = ["a\\n-r /etc/passwd"]'}, "is no requirement"),
        ({"requirements.txt": "-r ../other.txt"}, "outside the project"),
        ({"requirements.txt": "-r /etc/hostname"}, "outside the project"),
        ({"requirements.txt": "-r missing.txt"}, "cannot read 'missing.txt'"),
        ({"requirements.txt": "-e ."}, "is a folder of this machine"),
        ({"requirements.txt": "./lib"}, "is a folder of this machine"),
    ],
)  # fmt: skip
def test_dependencies_that_an_image_cannot_get_are_errors(
    project: Project, files: dict[str, str], message: str
) -> None:
    for name, text in files.items():
        project.write(name, text)
    with pytest.raises(errors.BuildError, match=message.replace(".", r"\.")):
        dependencies.find(project.root, [])


def test_dependencies_of_extensions_join_the_layer(project: Project) -> None:
    project.extension('context.add_layer({"id": "x", "dependencies": {"requests": "2.32.3", "rich": "*"}})')
    packages = project.layer("dependencies")["packages"]
    assert "requests==2.32.3" in packages
    assert "rich" in packages


@pytest.mark.parametrize(
    ("runtime", "wanted", "expected"),
    [
        ("python", None, "3.12"),
        ("python-3.14", ">=3.11", "3.14"),
        ("python", ">=3.11", "3.12"),
        ("python", ">=3.13,<4", "3.13"),
        ("python", "==3.11.*", "3.11"),
        ("python", ">3.12,!=3.13", "3.14"),
        ("python", "~=3.12", "3.12"),
    ],
)
def test_the_image_has_a_python_that_the_project_allows(
    runtime: str, wanted: str | None, expected: str
) -> None:
    assert python_version(runtime, dependencies.Dependencies("none", requires_python=wanted)) == expected


def test_an_impossible_requires_python_is_an_error() -> None:
    with pytest.raises(errors.BuildError, match="requires-python"):
        python_version("python", dependencies.Dependencies("none", requires_python="<3.9"))


# -- minify -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '"""Module."""\nfrom __future__ import annotations\n',
        'def f():\n    """One line."""\n',
        'class A:\n    """Several\n\n    lines."""\n\n    x = 1\n',
        'async def f():\n    """Doc"""; return 1\n',
        'def f():\n    "a" \\\n    "b"\n    return 2\n',
        'def ä():\n    """ÄÖÜ"""  # comment\n    return "ß"\n',
        'def f(): """Doc"""\n',
        "def f(:\n",
    ],
)
def test_minify_strips_docstrings_and_keeps_lines(text: str) -> None:
    stripped = minify.strip_docstrings(text.encode()).decode()
    assert stripped.count("\n") == text.count("\n")
    if text.startswith("def f(:"):
        assert stripped == text
        return
    before, after = ast.parse(text), ast.parse(stripped)
    assert [type(node) for node in before.body[-1:]] == [
        type(node) for node in after.body[-1:]
    ] or not after.body
    if "; return" not in text:
        assert not any(
            ast.get_docstring(node)
            for node in ast.walk(after)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
        )


@pytest.mark.parametrize("module", [ast, inspect, json, tokenize])
def test_minified_modules_say_the_same(module: object) -> None:
    text = inspect.getsource(module).encode()  # type: ignore[arg-type]  # they are modules
    stripped = minify.strip_docstrings(text)
    assert len(stripped) < len(text)
    assert _without_docstrings(ast.parse(stripped)) == _without_docstrings(ast.parse(text))


def _without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) and node.body:
            first = node.body[0]
            is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            if is_doc or isinstance(first, ast.Pass):
                node.body = node.body[1:]
    return ast.dump(tree)


def test_minify_is_switched_on_by_the_config(project: Project) -> None:
    project.write("trigger/more.py", '"""Words."""\nx = 1\n')
    project.config("[build]\nminify = true\n")
    copied = project.plan().build_dir / "layers/source/app/trigger/more.py"
    assert copied.read_text() == "\nx = 1\n"


def dependencies_layer(project: Project) -> PlanLayer:
    return project.plan().plan.layer("dependencies")


def test_dependencies_are_files_unless_something_above_is_executed(project: Project) -> None:
    project.write("requirements.txt", "httpx==0.28.1\n")
    plan = project.plan().plan
    assert plan.layer("dependencies").kind == "wheels"
    assert [layer.id for layer in plan.executed] == ["base"]
    assert [layer.id for layer in plan.appended] == ["dependencies", "runtime", "source"]
    project.extension('context.add_layer({"id": "made", "commands": ["make"]})')
    plan = project.plan().plan
    assert plan.layer("dependencies").kind == "dependencies"
    assert [layer.id for layer in plan.executed] == ["base", "dependencies", "runtime", "made"]
    assert [layer.id for layer in plan.appended] == ["source"]


def test_commands_below_leave_dependencies_files(project: Project) -> None:
    project.extension('context.add_layer({"id": "made", "commands": ["make"], "placement": "base"})')
    plan = project.plan().plan
    assert plan.layer("dependencies").kind == "wheels"
    assert [layer.id for layer in plan.executed] == ["base", "made"]


def test_packages_without_wheels_are_installed_in_the_image(project: Project) -> None:
    project.write("pyproject.toml", PYPROJECT)
    project.write("uv.lock", LOCK)
    assert dependencies.find(project.root, []).source_only == ("idna",)
    assert dependencies_layer(project).kind == "dependencies"
    wheel = '[{ url = "https://example.com/idna-3.10-py3-none-any.whl" }]'
    source = 'source = { registry = "https://pypi.org/simple" }\n'
    project.write("uv.lock", LOCK.replace(source, f"{source}wheels = {wheel}\n"))
    assert dependencies_layer(project).kind == "wheels"


def test_the_version_of_python_is_part_of_what_wheels_are(project: Project) -> None:
    keys = set()
    for runtime in ("python-3.11", "python-3.12"):
        project.config(f'runtime = "{runtime}"\n[build]\nbase_image = "python:3-slim"\n')
        keys.add(dependencies_layer(project).key)
    assert len(keys) == 2
