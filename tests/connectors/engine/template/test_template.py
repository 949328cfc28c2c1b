"""Placeholders, filled in."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.engine.template.placeholders import fields_named
from connectors.engine.template.template import Missing, Scope, Static, compile_text, compile_value
from connectors.engine.template.text import as_text
from topics.event.event import Event, Operation

STATIC: Static = {"settings": {"prefix": "/v3", "n": 5}, "object": {"type": "contacts"}}
EVENT = Event(operation=Operation.ADD, connection="c", object="o", id="e-1", key="k-1")


def fill(shape: Any, fields: dict[str, Any], unique: str | None = None) -> Any:
    return compile_value(shape, STATIC, fields_named(shape))(Scope(fields, EVENT, unique))


@pytest.mark.parametrize(
    ("shape", "fields", "filled"),
    [
        ("$fields", {"a": 1}, {"a": 1}),
        ({"id": "$fields.id", "rest": "$fields"}, {"id": 7, "a": 1}, {"id": 7, "rest": {"a": 1}}),
        ({"a": "$fields.a?", "b": 2}, {}, {"b": 2}),
        (["$fields.a?", "$fields.b?"], {"b": 1}, [1]),
        (
            "$fields | text",
            {"a": 1, "b": None, "c": True, "d": [1, "x"], "e": 1.0},
            {
                "a": "1",
                "b": "",
                "c": "true",
                "d": "1;x",
                "e": "1",
            },
        ),
        (
            {"e": "$event.id", "k": "$event.key", "i": "$event.idempotency_key"},
            {},
            {"e": "e-1", "k": "k-1", "i": "e-1"},
        ),
        ({"t": "$object.type", "n": "$settings.n"}, {}, {"t": "contacts", "n": 5}),
        ("$$fields", {}, "$fields"),
        ("plain", {}, "plain"),
        (
            {"deep": {"list": [{"x": "$fields.x"}]}, "none": None},
            {"x": 0},
            {"deep": {"list": [{"x": 0}]}, "none": None},
        ),
    ],
)
def test_bodies(shape: Any, fields: dict[str, Any], filled: Any) -> None:
    """A shape is filled in from the event; what is named one by one is not repeated in $fields."""
    assert fill(shape, fields) == filled


def test_the_unique_property() -> None:
    """It is what the script says, else what is configured; $record has it in any case."""
    shape = {"p": "$unique.field", "v": "$unique.value", "r": "$record"}

    assert fill(shape, {"email": "a@b", "n": 1}, "email") == {
        "p": "email",
        "v": "a@b",
        "r": {"email": "a@b", "n": 1},
    }
    assert fill(shape, {"searchfield": "ext", "searchterm": 3, "n": 1}, "email") == {
        "p": "ext",
        "v": 3,
        "r": {"ext": 3, "n": 1},
    }


@pytest.mark.parametrize("fields", [{}, {"id": None}])
def test_what_is_missing_is_named(fields: dict[str, Any]) -> None:
    """A field that a request cannot do without is named."""
    with pytest.raises(Missing, match=r"^id$"):
        fill({"id": "$fields.id"}, fields)


def test_paths() -> None:
    """Values become one segment each, whatever they hold."""
    path = compile_text("{settings.prefix}/{object.type}/{id}/x", STATIC, in_path=True)
    assert not isinstance(path, str)

    assert path(Scope({"id": 12})) == "/v3/contacts/12/x"
    assert path(Scope({"id": 12.0})) == "/v3/contacts/12/x"
    assert path(Scope({"id": "a/b?c=ü"})) == "/v3/contacts/a%2Fb%3Fc%3D%C3%BC/x"
    assert compile_text("{settings.prefix}/{object.type}", STATIC, in_path=True) == "/v3/contacts"


@pytest.mark.parametrize("value", ["", None, ".", "..", {}, [1]])
def test_values_that_would_name_another_path(value: Any) -> None:
    """An empty id would name the whole collection: it is as good as missing."""
    path = compile_text("/contacts/{id}", STATIC, in_path=True)
    assert not isinstance(path, str)

    with pytest.raises(Missing, match="id"):
        path(Scope({"id": value}))


def test_large_numbers_stay_exact() -> None:
    """Ids are not turned into floats on their way to text."""
    assert [as_text(one) for one in (2**63, 1.5, -0.5, 1.0)] == ["9223372036854775808", "1.5", "-0.5", "1"]


def test_numbers_become_plain_digits() -> None:
    """Vendors read 0.00001, and take 1e-05 for a text or refuse it."""
    assert [as_text(one) for one in (0.00001, 1e16, -2.5e20, -0.0)] == [
        "0.00001",
        "10000000000000000",
        "-250000000000000000000",
        "0",
    ]
