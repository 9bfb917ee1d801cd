"""Whatever is in the file, the answer is a configuration or a ConfigError."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.config.test_example import uncommented
from triggerdev.config import load_config
from triggerdev.errors import ConfigError

TEXT = uncommented()
LINES = TEXT.split("\n")
PIECES = st.sampled_from(
    ["=", "[", "]", "{", "}", '"', "'", "\n", ".", ",", "#", "\\", "$", "${", "${A}", "true", "-1", "1e999"]
)
EDITS = st.lists(
    st.tuples(st.integers(0, len(TEXT)), st.integers(0, 8), st.one_of(PIECES, st.text(max_size=5))),
    max_size=5,
)
ORDINARY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def load_or_refuse(folder: Path, data: bytes) -> None:
    path = folder / "trigger.config.toml"
    path.write_bytes(data)
    for env_name in ("dev", "prod"):
        try:
            load_config(path, env_name=env_name, environ={})
        except ConfigError as error:
            assert str(error)


@ORDINARY
@given(EDITS)
def test_edits_of_the_example(tmp_path: Path, edits: list[tuple[int, int, str]]) -> None:
    text = TEXT
    for at, cut, new in edits:
        text = text[:at] + new + text[at + cut :]
    load_or_refuse(tmp_path, text.encode("utf-8", "surrogatepass"))


@ORDINARY
@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_values_of_the_example_under_other_keys(tmp_path: Path, lines: list[str]) -> None:
    pairs = [line.split("=", 1) for line in lines if "=" in line]
    values = [value for _, value in reversed(pairs)]
    mixed = [f"{key}={value}" for (key, _), value in zip(pairs, values, strict=True)]
    load_or_refuse(tmp_path, ("project = 'p'\n" + "\n".join(mixed)).encode())


@ORDINARY
@given(st.binary(max_size=60))
def test_bytes(tmp_path: Path, data: bytes) -> None:
    load_or_refuse(tmp_path, data)


@pytest.mark.parametrize("depth", [70, 5000, 100_000])
def test_deep_nesting(tmp_path: Path, depth: int) -> None:
    for opening in ("[", "{a=", "[{a="):
        load_or_refuse(tmp_path, f"a = {opening * depth}".encode())
    load_or_refuse(tmp_path, (".".join("a" * depth) + " = 1").encode())
    load_or_refuse(tmp_path, ("[" + ".".join("a" * depth) + "]").encode())
