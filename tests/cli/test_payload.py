"""Payloads are checked before anything is sent."""

from pathlib import Path

import pytest

from triggerdev import errors
from triggerdev.cli.payload import read_payload


def test_json_is_passed_on_as_it_was_written() -> None:
    assert read_payload('{"a": 1.10,  "b": "é"}', None) == '{"a": 1.10,  "b": "é"}'


def test_no_payload_is_none() -> None:
    assert read_payload(None, None) is None


def test_a_file_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_bytes(b"\xef\xbb\xbf[1]")
    assert read_payload(None, str(file)) == "[1]"


def test_a_mistake_is_shown_with_a_caret() -> None:
    with pytest.raises(errors.PayloadError) as caught:
        read_payload('{"name": Ada}', None)
    assert str(caught.value).splitlines() == [
        "payload is no JSON, line 1 column 10: Expecting value",
        '    {"name": Ada}',
        "             ^",
    ]


def test_of_a_long_line_only_the_part_around_the_mistake_is_shown() -> None:
    text = "[" + "1," * 5000 + "?" + ",1" * 5000 + "]"
    with pytest.raises(errors.PayloadError) as caught:
        read_payload(text, None)
    _, shown, caret = str(caught.value).splitlines()
    assert len(shown) < 120
    assert shown[caret.index("^")] == "?"


def test_control_characters_in_it_stay_visible_and_the_caret_in_place() -> None:
    with pytest.raises(errors.PayloadError) as caught:
        read_payload('["\u202e", ?]', None)
    _, shown, caret = str(caught.value).splitlines()
    assert "\\u202e" in shown
    assert shown[caret.index("^")] == "?"


def test_the_shells_quotes_are_explained() -> None:
    with pytest.raises(errors.PayloadError, match="JSON has double quotes"):
        read_payload("{'a': 1}", None)
    with pytest.raises(errors.PayloadError, match="A text must be in double quotes"):
        read_payload("hello", None)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "[" * 100_000])
def test_what_python_takes_but_json_does_not_is_refused(text: str) -> None:
    with pytest.raises(errors.PayloadError, match="is no JSON"):
        read_payload(text, None)


def test_more_than_three_megabytes_are_refused(tmp_path: Path) -> None:
    big = '"' + "x" * 10_485_759 + '"'
    with pytest.raises(errors.PayloadError, match=r"10,485,761 bytes; at most 10,485,760"):
        read_payload(big, None)
    file = tmp_path / "big.json"
    file.write_text(big)
    with pytest.raises(errors.PayloadError, match="larger than 10,485,760 bytes"):
        read_payload(None, str(file))


def test_text_and_file_exclude_each_other() -> None:
    with pytest.raises(errors.UsageError, match="exclude each other"):
        read_payload("1", "x.json")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match=r"missing\.json: No such file"):
        read_payload(None, str(tmp_path / "missing.json"))
    (tmp_path / "latin").write_bytes(b'"\xe9"')
    with pytest.raises(errors.PayloadError, match=r"no UTF-8 text \(byte 1\)"):
        read_payload(None, str(tmp_path / "latin"))
