"""Ordering keys: the quick way and the general way say the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.engine.template.keys import MAX_KEY, _general, compile_key
from connectors.engine.template.template import Static

STATIC: Static = {"settings": {}, "object": {}}
SHAPES = ["$unique.value? | fold", "$fields.id?", "$fields.id? | text", "$unique.value", "$fields.id"]
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
NAMES = st.sampled_from(["id", "email", "mail", "searchfield", "searchterm"])


@given(
    shape=st.sampled_from(SHAPES),
    aliases=st.sampled_from([{}, {"mail": "email"}]),
    fields=st.dictionaries(NAMES, VALUES, max_size=4),
)
def test_the_quick_way_says_the_same(shape: str, aliases: dict[str, str], fields: dict[str, Any]) -> None:
    """Whatever is in an event, its key is the one that the templates give."""
    quick = compile_key(shape, STATIC, "email", aliases)
    general = _general(shape, STATIC, "email", aliases)

    assert quick(fields) == general(fields)


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"email": " John@ACME.com "}, "john@acme.com"),
        ({"mail": "John@acme.com"}, "john@acme.com"),
        ({"email": 12}, "12"),
        ({"email": 12.0}, "12"),
        ({"email": ""}, None),
        ({"email": " "}, None),
        ({"email": None}, None),
        ({}, None),
        ({"searchfield": "ext", "searchterm": "E1", "email": "x"}, "e1"),
        ({"searchterm": "E1", "email": "x"}, "e1"),
    ],
)
def test_keys_of_a_unique_property(fields: dict[str, Any], key: str | None) -> None:
    """The value that names the record, without case, from wherever the event has it."""
    assert compile_key("$unique.value? | fold", STATIC, "email", {"mail": "email"})(fields) == key


def test_a_long_value_is_named_by_its_digest() -> None:
    """No key is longer than a key may be, and two long ones stay two."""
    key = compile_key("$fields.id?", STATIC, None, {})
    longest, longer, other = key({"id": "x" * MAX_KEY}), key({"id": "x" * (MAX_KEY + 1)}), key({"id": "y" * 2_000})

    assert longest == "x" * MAX_KEY
    assert longer is not None
    assert other is not None
    assert (len(longer), len(other), longer == other) == (64, 64, False)
