"""What scripts hold becomes JSON, or is refused by its field's name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from pq._values import merged, to_json_fields
from pq.errors import BadField


class Colour(Enum):
    RED = "red"


class NaTType(datetime):
    """What pandas calls its missing time."""


def _deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


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
        (Decimal("1E+400"), "field is 1E+400, beyond what JSON's readers take (1e308): give it as text"),
        (Fraction(1, 3), "field is 1/3, which no decimal number gives back"),
        (timedelta(1), "field is timedelta, which JSON does not have: say which unit the destination takes"),
        (bytearray(b"x"), "field is bytearray, which JSON does not have: decode it"),
        (np.bytes_(b"x"), "field is bytes_, which JSON does not have: decode it"),
        (np.float32("nan"), "field is nan, which JSON does not have: give None"),
        (np.datetime64("NaT"), "field is NaT, which JSON does not have: give None"),
        (np.timedelta64(1, "s"), "field is timedelta, which JSON does not have: say which unit"),
        (np.array([1]), "field is ndarray, which JSON does not have: give a list, .tolist()"),
        (pd.NaT, "field is NaT, which JSON does not have: give None"),
        (pd.NA, "field is <NA>, which JSON does not have: give None"),
        (np.ma.masked, "field is masked, which JSON does not have: give None"),
        (pd.Timedelta("1h"), "field is Timedelta, which JSON does not have: say which unit"),
        (pd.Series([1]), "field is Series, which JSON does not have: give a list, .tolist()"),
        (_deep(300), "is nested deeper than 190 levels"),
    ],
)
def test_what_json_does_not_have_is_refused_by_name(given: Any, told: str) -> None:
    """The error names the field, down to its place inside, and what to do."""
    with pytest.raises(BadField) as raised:
        to_json_fields({"field": given})

    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (np.bool_(True), True),  # noqa: FBT003 - numpy's own call
        (np.int64(2**62), 2**62),
        (np.uint8(3), 3),
        (np.float64(0.1), 0.1),
        (np.float32(0.1), 0.1),
        (np.float16(0.1), 0.1),
        (np.str_("x"), "x"),
        (np.array(3), 3),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (np.datetime64("2026-01-02T03:04:05", "ns"), "2026-01-02T03:04:05"),
        (np.datetime64("2026-01-02T03:04:05.120", "ns"), "2026-01-02T03:04:05.12"),
        (pd.Timestamp("2026-01-02 03:04:05.123456789", tz="UTC"), "2026-01-02T03:04:05.123456789+00:00"),
        ([np.bool_(False), {"x": np.float32(2.5)}], [False, {"x": 2.5}]),  # noqa: FBT003
    ],
)
def test_scalars_of_data_frames_become_what_they_show(given: Any, sent: Any) -> None:
    """numpy's and pandas's values arrive as a person reads them, in JSON's own types."""
    got = to_json_fields({"field": given})["field"]

    assert (got, type(got)) == (sent, type(sent))


@pytest.mark.parametrize("digits", ["12345678901234567.89", "0.12345678901234567891", "123456789.123456789", "1E-400"])
def test_a_decimal_keeps_its_digits(digits: str) -> None:
    """What a double would round stays a Decimal; it is neither rounded nor refused."""
    assert to_json_fields({"field": Decimal(digits)}) == {"field": Decimal(digits)}


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


def test_objects_within_objects_are_as_deep_as_json_may_be() -> None:
    """190 levels of objects pass unchanged; one more is an error that names the limit."""

    def within(levels: int) -> dict[str, Any]:
        return {"inner": within(levels - 1)} if levels > 1 else {"n": 1}

    assert to_json_fields(within(190)) == within(190)
    with pytest.raises(BadField, match="is nested deeper than 190 levels"):
        to_json_fields(within(191))
