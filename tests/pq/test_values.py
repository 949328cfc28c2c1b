"""What scripts hold becomes JSON, or is refused by its field's name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from pq._values import merged, to_json_fields
from pq.errors import BadField


class Colour(Enum):
    RED = "red"


class NaTType(datetime):
    """What pandas calls its missing time."""


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (Decimal("100.05"), 100.05),
        (Decimal("1E+2"), 100),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Fraction(1, 2), 0.5),
        ((1, [Decimal(2)]), [1, [2]]),
        (MappingProxyType({"a": date(2026, 1, 2)}), {"a": "2026-01-02"}),
        (2**70, 2**70),
        (None, None),
    ],
)
def test_values_of_rows_become_json(given: Any, sent: Any) -> None:
    """Dates, decimals and the like go as people would write them in JSON."""
    assert to_json_fields({"field": given}) == {"field": sent}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (float("nan"), "field is nan, which JSON does not have: give None to empty the field, or leave it out"),
        (Decimal("Infinity"), "field is Decimal('Infinity'), which JSON does not have"),
        (NaTType(2026, 1, 2), "which JSON does not have: give None"),
        (b"x", "field is bytes, which JSON does not have: decode it, or give base64 text"),
        ({1}, "field is set, which JSON does not have: a set has no order, give a list"),
        (object(), "field is object, which JSON does not have"),
        ({"a": [1, {"b": b""}]}, "field.a[1].b is bytes"),
        ({1: "x"}, "field has the key 1; JSON's keys are text"),
        (Decimal("0.12345678901234567891"), "more digits than a JSON number keeps: give it as text, or round it"),
    ],
)
def test_what_json_does_not_have_is_refused_by_name(given: Any, told: str) -> None:
    """The error names the field, down to its place inside, and what to do."""
    with pytest.raises(BadField) as raised:
        to_json_fields({"field": given})

    assert told in str(raised.value)


def test_plain_rows_are_not_copied() -> None:
    """The usual row passes as it is: a loop over a million pays nothing."""
    row = {"id": 1, "name": "x", "price": 1.5, "active": True, "note": None}

    assert to_json_fields(row) is row


@pytest.mark.parametrize(
    ("positional", "keywords", "record"),
    [
        ((), {"a": 1}, {"a": 1}),
        (({"a": 1}, {"b": 2}), {"a": 3}, {"a": 3, "b": 2}),
        ((MappingProxyType({"a": 1}),), {}, {"a": 1}),
    ],
)
def test_dicts_and_keywords_are_one_record(
    positional: tuple[Mapping[str, Any], ...], keywords: dict[str, Any], record: dict[str, Any]
) -> None:
    """Later dicts win over earlier ones, keywords over dicts."""
    assert merged(positional, keywords) == record


def test_a_positional_argument_that_is_no_dict_raises() -> None:
    """As in the seed system; the message shows how to say it."""
    wrong: Any = ("john@acme.com",)
    with pytest.raises(BadField, match=r"argument 1 after the object's name is str; .* field='john@acme.com'"):
        merged(wrong, {})
