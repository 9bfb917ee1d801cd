"""References are imported apart from this process, and what fails is told at its place."""

from pathlib import Path

from tests.config.conftest import Load
from triggerdev.config.loader import LoadedConfig
from triggerdev.config.references import check_references, subprocess_importer


def problems(loaded: LoadedConfig) -> list[tuple[int, str, str | None]]:
    return [(one.line, one.message, one.help) for one in check_references(loaded)]


def test_references_that_can_be_imported_are_fine(load: Load, tmp_path: Path) -> None:
    (tmp_path / "trigger").mkdir()
    (tmp_path / "trigger" / "hooks.py").write_text("print('hello')\ndef ok(): ...\nclass A:\n    run = ok\n")
    (tmp_path / "ext.py").write_text("import trigger.hooks\nclass Ext: ...\nready = Ext()\n")
    loaded = load("""
init = "trigger.hooks:ok"
hooks.on_start = ["trigger.hooks:ok", "trigger.hooks:A.run"]
telemetry.exporters = ["./ext.py:Ext"]
build.extensions.a = { use = "./ext.py:ready" }
build.extensions.sync-env-vars = { callback = "trigger.hooks:ok" }
build.extensions.off = { use = "no.such:thing", enabled = false }
""")
    assert problems(loaded) == []


def test_each_that_fails_is_told_with_the_nearest_name(load: Load, tmp_path: Path) -> None:
    (tmp_path / "trigger").mkdir()
    (tmp_path / "trigger" / "hooks.py").write_text("def on_start(): ...\nvalue = 3\n")
    (tmp_path / "broken.py").write_text("\nimport no_such_package\n")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    loaded = load("""project = "p"
init = "triger.hooks:on_start"
[hooks]
on_start = "trigger.hooks:on_strat"
on_success = "trigger.hoks:on_start"
on_failure = ["trigger.hooks:value", "syntax:f"]
on_wait = "trigger.hooks:value"
[build.extensions.x]
use = "./broken.py:Extension"
[build.extensions.y]
use = "./missing.py:Extension"
""")
    hooks = "`trigger.hooks:value` is 'int', not a function"
    missing = "ModuleNotFoundError: No module named 'no_such_package'"
    broken = f"importing `./broken.py` failed at broken.py:2: {missing}"
    found = problems(loaded)
    assert found.pop(4)[1].startswith("importing `syntax` failed at syntax.py:1: SyntaxError: ")
    assert found == [
        (2, "there is no module `triger`", "did you mean `trigger`?"),
        (4, "`trigger.hooks` has no `on_strat`", "did you mean `on_start`?"),
        (5, "there is no module `trigger.hoks`", "did you mean `trigger.hooks`?"),
        (6, hooks, "Also needed by hooks.on_wait (line 7)."),
        (9, broken, None),
        (11, "the file ./missing.py does not exist", None),
    ]


def test_a_module_that_ends_the_process_is_told(load: Load, tmp_path: Path) -> None:
    (tmp_path / "fatal.py").write_text("import os, sys\nprint('out of luck', file=sys.stderr)\nos._exit(7)\n")
    loaded = load('hooks.on_start = "fatal:f"')
    message = "importing `fatal:f` ended its process with status 7: out of luck"
    assert problems(loaded) == [(2, message, None)]


def test_sys_exit_in_a_module_is_an_error_as_any_other(load: Load, tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text("raise SystemExit(0)\n")
    loaded = load('hooks.on_start = "leaves:f"')
    assert problems(loaded) == [(2, "importing `leaves` failed at leaves.py:1: SystemExit: 0", None)]


def test_modules_see_the_variables_of_the_env_files(load: Load, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WANTED=1\n")
    (tmp_path / "needs.py").write_text("import os\nos.environ['WANTED']\ndef f(): ...\n")
    assert problems(load('hooks.on_start = "needs:f"')) == []


def test_an_interpreter_that_does_not_start_is_named(load: Load, tmp_path: Path) -> None:
    loaded = load('hooks.on_start = "a:b"')
    (found,) = check_references(loaded, importer=subprocess_importer(tmp_path / "python"))
    assert "which does not start" in found.message
