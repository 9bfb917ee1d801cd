"""What would bring a module that an image lacks."""

from pathlib import Path

import pytest

from triggerdev.build.deploying import missing
from triggerdev.protocol import SourceProblem


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("ModuleNotFoundError: No module named 'pytest'", "that of pytest"),
        ("No module named 'playwright.sync_api'", "[build.extensions.playwright]"),
        ("No module named 'nothing_of_that_name'", "nothing here provides the module 'nothing_of_that_name'"),
        ("ImportError: libGL.so.1: cannot open shared object file: No such file", 'packages = ["libgl1"]'),
        ("libfoo-2.so.7: cannot open shared object file", "apt-file search libfoo-2.so.7"),
    ],
)
def test_the_advice_names_what_would_mend_it(tmp_path: Path, message: str, said: str) -> None:
    found = missing.advice({"message": message}, tmp_path)
    assert found is not None
    assert said in found


@pytest.mark.parametrize("module", ["lib", "lib.util", "src_only"])
def test_a_file_of_the_project_is_kept_out_by_a_rule(tmp_path: Path, module: str) -> None:
    for name in ("lib/util.py", "src/src_only.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = missing.advice({"message": f"No module named '{module}'"}, tmp_path)
    assert found is not None
    assert "keeps it out" in found


def test_other_problems_get_no_advice_and_none_is_given_twice(tmp_path: Path) -> None:
    assert missing.advice({"message": "SyntaxError: invalid syntax"}, tmp_path) is None
    twice = [SourceProblem(message="No module named 'pytest'", line=line) for line in (1, 2)]
    assert len(missing.advices(twice, tmp_path)) == 1
