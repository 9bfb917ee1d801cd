"""The scanner finds everything that the TOML parser finds, and where."""

from typing import Any

import pytest
import tomli
from hypothesis import example, given
from hypothesis import strategies as st

from triggerdev.config import positions
from triggerdev.config.positions import KeyPath, scan


def leaves(value: Any, path: KeyPath = ()) -> dict[KeyPath, Any]:
    items = (
        enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else None
    )
    if items is None:
        return {path: value}
    return {p: v for key, item in items for p, v in leaves(item, (*path, key)).items()}


def assert_places_are_right(text: str) -> None:
    places = scan(text)
    for path, value in leaves(tomli.loads(text)).items():
        place = places[path]
        assert place.value is not None
        written = text[place.value.start : place.value.end]
        assert tomli.loads(f"value = {written}")["value"] == value
        for length in range(1, len(path)):
            assert path[:length] in places


DOCUMENT = '''
# comment = "no"
title = "a # no comment"   # yes
"quoted key" . inner = 1
dotted.path.value = [1, 2.5, ["x", 'y'], {a = 1, "b.c" = {d = true}}]
date = 1979-05-27 07:32:32
basic = """one "" two
\\" three""""
literal = \'\'\'it's''\'\'\'

[table.sub]
key = "é" # wide
[[list]]
n = 1
[list.inner]
m = 2
[[list]]
n = 3
[[list.deep]]
x = 1
[[list.deep]]
x = [
  1, # first
  2,
]
[table]
late = 'v'
'''


def test_every_leaf_of_a_rich_document_has_its_place() -> None:
    assert_places_are_right(DOCUMENT)


def test_a_key_s_place_is_its_own_part_of_a_dotted_key() -> None:
    text = "retries.default.max_attempts = 3"
    key = scan(text)["retries", "default", "max_attempts"].key
    assert key is not None
    assert text[key.start : key.end] == "max_attempts"


def test_tables_of_an_array_are_numbered() -> None:
    places = scan(DOCUMENT)
    second = places["list", 1, "n"].value
    assert second is not None
    assert DOCUMENT[second.start] == "3"
    assert ("list", 1, "deep", 1, "x", 1) in places


def test_brackets_nested_too_deeply_are_refused_where_they_start() -> None:
    depth = positions.MAX_DEPTH + 2
    with pytest.raises(positions.NestedTooDeeplyError) as caught:
        scan("a = " + "[" * depth + "]" * depth)
    assert caught.value.offset > positions.MAX_DEPTH


SNIPPETS = [
    "a",
    "b",
    '"c d"',
    "'e'",
    ".",
    " = ",
    "1",
    "-0.5e3",
    "true",
    '"s"',
    "''",
    '"\\u0041\\""',
    '"""x\n"y"""',
    "'''\n''z'''",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    ",",
    "\n",
    " ",
    "# c\n",
    "1979-05-27T07:32:32Z",
]


@given(st.lists(st.sampled_from(SNIPPETS), max_size=24).map("".join))
@example("a = {b = [{c.d = 1}, {}], e = ''}\n[f]\n[[g]]\n[[g]]\na = 1\n")
@example('a = """"quoted""""\n')
@example("'a.b'.\"c\" = [\n# x\n1 # y\n, 2 ,\n]\r\n")
def test_whatever_the_parser_accepts_the_scanner_places(text: str) -> None:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    assert_places_are_right(text.replace("\r\n", "\n"))
