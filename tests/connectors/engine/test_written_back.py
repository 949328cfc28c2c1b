"""What was sent against what is there: the forms in which vendors and warehouses give a value back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.engine.written_back import same

NEW_YEAR = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("New name", "New name"),
        (" New name ", "New name"),
        ("Jose\u0301", "Jos\u00e9"),
        ("John@Acme.com", "john@acme.com"),
        (5, "5"),
        ("5", 5),
        ("1234567.250", Decimal("1234567.25")),
        (Decimal("0.1000"), 0.1),
        (100.05, Decimal("100.05")),
        (123456789.123456789, 123456789.12345679),
        (True, True),
        ("true", True),
        (1, True),
        (False, 0),
        (True, "true"),
        ("false", False),
        (None, None),
        ("", None),
        (False, None),
        (None, ""),
        (None, False),
        ("2026-01-01T12:30:00.123Z", NEW_YEAR),
        ("2026-01-01T13:30:00+01:00", NEW_YEAR),
        ("2026-01-01 12:30:00", NEW_YEAR.replace(tzinfo=None)),
        (1_767_270_600_000, NEW_YEAR),
        ("1767270600000", NEW_YEAR),
        ("2026-01-01T12:30:00Z", "2026-01-01 12:30:00.000000"),
        ("2026-01-01", date(2026, 1, 1)),
        ("2026-01-01T00:00:00Z", date(2026, 1, 1)),
        (["a", "b"], ["a", "b"]),
        ({"a": 1, "b": [True]}, {"b": [True], "a": 1.0}),
        (["a", 1], '["a", 1]'),
        (7, [7, "Acme"]),
        ({"amount": "10.00", "on": "2026-01-31"}, {"amount": 10, "on": "2026-01-31T00:00:00"}),
        (["a", "b"], "a;b"),
        ("b;a", "a;b"),
        (";c", "a;b;c"),
    ],
)
def test_the_same_in_another_form(sent: Any, found: Any) -> None:
    """Is the same."""
    assert same(sent, found)


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ("New name", "new name"),
        ("a", None),
        (0, None),
        (0, ""),
        ("", "a"),
        (None, 0),
        (5, "50"),
        ("5a", 5),
        (100.05, 100.06),
        (Decimal("0.10000000000000001"), Decimal("0.1")),
        ("yes please", True),
        (True, 0),
        (True, None),
        ("2026-01-01T12:30:01Z", NEW_YEAR),
        ("soon", NEW_YEAR),
        (True, NEW_YEAR),
        ("2026-01-02", date(2026, 1, 1)),
        ("2026-01-01", "2026-01-02"),
        (["a", "b"], ["b", "a"]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": True}, {"a": 1}),
        (7, [8, "Acme"]),
        ({"a": [1]}, {"a": 1}),
        ("no json", ["a"]),
        ("a;b", "a"),
        (";c", "a;b"),
    ],
)
def test_another_value(sent: Any, found: Any) -> None:
    """Is another value."""
    assert not same(sent, found)


@pytest.mark.parametrize(
    ("sent", "found", "alike"),
    [
        ({"Name": "Acme"}, '{"ContactID": "1", "Name": "Acme"}', True),
        ({"Name": "Acme"}, {"Name": "Other"}, False),
        ([{"Quantity": 10}], [{"Quantity": 10.0, "LineAmount": 5}], True),
        ([{"Quantity": 10}], [{"Quantity": 10}, {"Quantity": 1}], False),
        ([{"Quantity": 10}, {}], [{"Quantity": 10}], False),
        ({"Name": None}, {"ContactID": "1"}, False),
        ("2026-01-31", "/Date(1769817600000+0000)/", True),
        ("2026-01-30", "/Date(1769817600000+0000)/", False),
    ],
)
def test_a_vendor_that_adds_members(sent: Any, found: Any, alike: bool) -> None:
    """What was sent of a document's parts is what is compared; a line more or less is a difference."""
    assert same(sent, found, adds_members=True) is alike
