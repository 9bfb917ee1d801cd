"""Values to JSON and back."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from triggerdev import PayloadError
from triggerdev.sdk import serialise


class Model(BaseModel):
    at: datetime


@dataclass
class Point:
    x: int
    tags: set[str]


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_json_values_come_back_as_they_were(value: Any) -> None:
    assert serialise.load(serialise.dump(value), serialise.JSON) == value


def test_objects_are_written_as_data() -> None:
    value = {"model": Model(at=datetime(2024, 1, 1, tzinfo=UTC)), "point": Point(1, {"b", "a"})}
    assert json.loads(serialise.dump(value)) == {
        "model": {"at": "2024-01-01T00:00:00Z"},
        "point": {"x": 1, "tags": ["a", "b"]},
    }
    assert serialise.dump(timedelta(minutes=1)) == "60.0"
    assert serialise.dump("text") == '"text"'


def test_integers_beyond_64_bits_are_exact_also_among_objects() -> None:
    value = {"n": 2**80, "point": Point(1, {"a"}), "at": datetime(2024, 1, 1, tzinfo=UTC)}
    assert json.loads(serialise.dump(value))["n"] == 2**80


def test_what_cannot_be_written_is_named_with_its_place() -> None:
    with pytest.raises(PayloadError, match=r"payload.a\[1\].b: a `object` object cannot be written as JSON"):
        serialise.dump_payload({"a": [0, {"b": object()}]})
    with pytest.raises(PayloadError, match=r"payload.x: a `bytes` object"):
        serialise.dump_payload({"x": b"raw"})
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(PayloadError, match="nested too deeply"):
        serialise.dump_payload(loop)


def test_payloads_over_10_mb_are_refused() -> None:
    assert serialise.dump_payload("x" * 10_485_758) is not None
    with pytest.raises(PayloadError, match="10,485,761 bytes as JSON"):
        serialise.dump_payload("x" * 10_485_759)
    with pytest.raises(PayloadError, match="10 MB"):
        serialise.dump_payload("é" * 6_000_000)


def test_superjson_is_revived() -> None:
    packet = {
        "json": {
            "when": "1970-01-01T00:00:00.000Z",
            "n": "123456789012345678901234567890",
            "nothing": None,
            "set": [1, 2],
            "map": [["a", "1970-01-01T00:00:01.000Z"]],
            "url": "https://example.com/",
            "nan": "NaN",
            "deep": {"a.b": [{"at": "1970-01-01T00:00:00.000Z"}]},
            "first": {"x": 1},
            "second": None,
        },
        "meta": {
            "values": {
                "when": ["Date"],
                "n": ["bigint"],
                "nothing": ["undefined"],
                "set": ["set"],
                "map": ["map", {"0.1": ["Date"]}],
                "url": ["URL"],
                "nan": ["number"],
                "deep.a\\.b.0.at": ["Date"],
            },
            "referentialEqualities": {"first": ["second"]},
        },
    }
    value = serialise.load(json.dumps(packet), serialise.SUPERJSON)
    assert value["when"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert value["n"] == 123456789012345678901234567890
    assert value["nothing"] is None
    assert value["set"] == {1, 2}
    assert value["map"] == {"a": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)}
    assert value["url"] == "https://example.com/"
    assert math.isnan(value["nan"])
    assert value["deep"]["a.b"][0]["at"] == datetime(1970, 1, 1, tzinfo=UTC)
    assert value["second"] is value["first"]


def test_a_superjson_value_can_be_typed_at_its_root() -> None:
    text = '{"json":"1970-01-01T00:00:00.000Z","meta":{"values":["Date"]}}'
    assert serialise.load(text, serialise.SUPERJSON) == datetime(1970, 1, 1, tzinfo=UTC)


def test_other_packet_types() -> None:
    assert serialise.load("plain", serialise.TEXT) == "plain"
    assert serialise.load(None, serialise.JSON) is None
    with pytest.raises(PayloadError, match="Not valid JSON"):
        serialise.load("{", serialise.JSON)
    with pytest.raises(PayloadError, match="application/store"):
        serialise.load("{}", "application/store")
