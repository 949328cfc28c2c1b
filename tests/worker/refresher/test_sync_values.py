"""A vendor's values as those of typed columns."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.engine.manifest.read import ColumnType
from worker.refresher.sync.values import SQLITE, Holds, ValueRefused, rows_of


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        ("decimal", "1234567.25", Decimal("1234567.25")),
        ("decimal", "", None),
        ("decimal", 5, Decimal(5)),
        ("bigint", "42", 42),
        ("double", "2.5", 2.5),
        ("bool", "true", True),
        ("bool", "false", False),
        ("timestamp", "2026-11-29T08:00:00.000Z", datetime(2026, 11, 29, 8, tzinfo=UTC)),
        ("timestamp", 1_700_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("date", "2026-11-29", date(2026, 11, 29)),
        ("text", "", ""),
        ("text", 7, "7"),
        (None, {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_value_becomes_one_of_its_column(kind: ColumnType | None, value: Any, held: Any) -> None:
    """Text as vendors send it is a number, a time, a truth; an empty one is none."""
    row = rows_of("deal", {"v": kind} if kind else {}, ["id"], Holds())({"id": "1", "v": value})

    assert (row["v"], type(row["v"])) == (held, type(held))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("decimal", "much", "deal with id 1: the field v is 'much', which is no number"),
        ("decimal", "NaN", "which is no number"),
        ("decimal", "0.0000000001", "more digits than a column of 38 digits, 9 of them behind the point"),
        ("bigint", str(2**63), "which is more than 64 bits hold"),
        ("bool", "perhaps", "which is neither true nor false"),
        ("timestamp", "soon", "which is no time"),
        ("date", "31.12.2026", "which is no date"),
        ("text", "a\0b", "which holds a NUL character"),
        ("decimal", "12345678901234567.89", "which has more digits than the 15 that SQLite keeps"),
    ],
)
def test_a_value_that_cannot_is_named(kind: ColumnType, value: Any, said: str) -> None:
    """With its record and its field."""
    with pytest.raises(ValueRefused) as raised:
        rows_of("deal", {"v": kind}, ["id"], SQLITE)({"id": "1", "v": value})

    assert said in str(raised.value)


def test_a_record_without_its_key() -> None:
    """Is no row."""
    with pytest.raises(ValueRefused, match="a record of deal has no id, which is its key"):
        rows_of("deal", {}, ["id"], Holds())({"v": 1})


@pytest.mark.parametrize(
    "record", [{"id": "1", "name": "Ann", "__name__": "party"}, {"__name__": "party", "id": "1", "name": "Ann"}]
)
def test_two_fields_of_one_column(record: dict[str, str]) -> None:
    """That of the column's own name stays, wherever it stands; of two others nobody can say which is meant."""
    row_of = rows_of("party", {}, ["id"], Holds())

    assert row_of(record) == {"id": "1", "name": "Ann"}
    with pytest.raises(ValueRefused, match="the fields firstName and FirstName of party are one column, first_name"):
        row_of({"id": "1", "firstName": "Ann", "FirstName": "Ada"})
