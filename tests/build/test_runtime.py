"""What an image holds of this package is enough to execute tasks."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from triggerdev.build import source

IMPORT_ALL = """
import importlib, sys
folder, packages, *names = sys.argv[1:]
sys.path[:0] = [folder]
sys.path.append(packages)
for name in names:
    assert importlib.import_module(name).__file__.startswith(folder), name
"""


def test_every_module_of_the_runtime_layer_finds_what_it_imports(tmp_path: Path) -> None:
    names = []
    for entry in source.runtime_files():
        target = tmp_path / entry.source
        target.parent.mkdir(parents=True, exist_ok=True)
        assert entry.path is not None
        target.write_bytes(entry.path.read_bytes())
        if target.suffix == ".py" and target.name != "__main__.py":
            names.append(entry.source.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    assert "triggerdev.worker.deployed.code" in names
    # -S: the installed package, which has everything, is not found
    command = [sys.executable, "-S", "-c", IMPORT_ALL, str(tmp_path), sysconfig.get_path("purelib"), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
