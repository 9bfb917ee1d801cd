"""Metadata: keys and values that cannot be stored are refused at the call, also outside of runs."""

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from triggerdev import PayloadError, metadata

KEYS = ["", "$", "$.", "$.a[", "$.a..b", "$.a[x]", 5, None, "$.a.__proto__.b", "constructor", "$.prototype"]
CALLS: dict[str, Callable[[Any], Any]] = {
    "set": lambda key: metadata.set(key, 1),
    "delete": metadata.delete,
    "append": lambda key: metadata.parent.append(key, 1),
    "remove": lambda key: metadata.root.remove(key, 1),
    "increment": metadata.increment,
    "decrement": metadata.decrement,
    "get": metadata.get,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("key", KEYS)
def test_what_is_no_key_is_named(call: str, key: Any) -> None:
    with pytest.raises(PayloadError, match="metadata key: ") as caught:
        CALLS[call](key)
    assert repr(key) in str(caught.value)


def test_a_path_that_is_too_deep_is_refused() -> None:
    with pytest.raises(PayloadError, match="101 steps; 100 are allowed"):
        metadata.set("$" + ".a" * 101, 1)


@pytest.mark.parametrize("value", [threading.Lock(), {"a": [object()]}, "\ud800", b"x"])
def test_a_value_that_is_no_json_is_named_with_its_key(value: Any) -> None:
    for change in (metadata.set, metadata.append, metadata.remove, metadata.root.set):
        with pytest.raises(PayloadError, match="metadata 'progress'"):
            change("progress", value)


@pytest.mark.parametrize("value", ["1", True, None, [], math.inf, math.nan])
def test_only_numbers_are_added(value: Any) -> None:
    with pytest.raises(PayloadError, match=r"'n': .* is no number to add"):
        metadata.increment("n", value)
    with pytest.raises(PayloadError, match=r"'n': .* is no number to subtract"):
        metadata.root.decrement("n", value)


@pytest.mark.parametrize("value", [5, "x", [1], None])
def test_only_a_mapping_takes_the_place_of_all(value: Any) -> None:
    with pytest.raises(PayloadError, match=r"metadata\.replace\(.*give a mapping"):
        metadata.replace(value)


def test_a_value_over_the_limit_is_named_with_its_key_and_size() -> None:
    for change in (metadata.set, metadata.parent.append, metadata.root.set):
        with pytest.raises(
            PayloadError, match=r"metadata 'report': the value is 262,147 bytes as JSON; 262,144"
        ):
            change("report", "x" * 262_145)


def test_outside_of_runs_changes_do_nothing_and_can_be_chained() -> None:
    metadata.set("a", 1).append("b", 2).increment("c").decrement("c").remove("b", 2).delete("a")
    metadata.parent.set("a", 1).replace({"x": 1})
    metadata.root.increment("a")
    assert metadata.current() == {}
    assert metadata.get("$.a.b", "nothing") == "nothing"
    metadata.sync.flush()
    metadata.sync.refresh()
