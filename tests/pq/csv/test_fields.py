"""From cells to fields: names, types, empty cells, keys."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest

from pq.csv.fields import Fields, guess
from pq.csv.rows import BadFile


def fields(columns: str = "email,age", **options: Any) -> Fields:
    return Fields(columns.split(","), **{"renamed": {}, "types": {}, **options})


def test_everything_is_text_unless_said_otherwise() -> None:
    """A postal code keeps its zero."""
    assert fields("zip").of(["01234"]) == {"zip": "01234"}


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("int", "42", 42),
        ("int", " +42 ", 42),
        ("float", " 5. ", 5.0),
        ("float", "-.5e2", -50.0),
        ("float", "100.05", 100.05),
        ("bool", "Yes", True),
        ("bool", "0", False),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("json", "12345678901234567.89", Decimal("12345678901234567.89")),
        ("float", "12345678901234567.89", Decimal("12345678901234567.89")),
        ("str", "42", "42"),
    ],
)
def test_types(kind: str, cell: str, value: Any) -> None:
    """--types says what a column holds."""
    assert fields("x", types={"x": kind}).of([cell]) == {"x": value}


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("int", "4.5"),
        ("int", "1_000"),
        ("int", "\u0663"),
        ("float", "1_000.5"),
        ("float", "\u0663.5"),
        ("float", "1e400"),
        ("float", "infinity"),
        ("float", "nan"),
        ("float", "1,5"),
        ("bool", "maybe"),
        ("json", "{"),
        ("json", "NaN"),
        ("json", "1e999"),
        ("json", "[" * 100_000),
        ("json", r'"\ud83d"'),
    ],
)
def test_a_cell_that_is_not_of_its_type(kind: str, cell: str) -> None:
    """The reason names the field and what it holds."""
    with pytest.raises(ValueError, match=re.escape(f"x is {cell[:60]!r}: ")):
        fields("x", types={"x": kind}).of([cell])


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1), ("-7", -7), ("1.5", 1.5), ("1.50", "1.50"), ("-0", "-0"),
        ("123456789.123456789", "123456789.123456789"),
        ("true", True), ("False", False),
        ("007", "007"), ("+32", "+32"), ("1e5", "1e5"), ("1,5", "1,5"), ("1234567890123456789", "1234567890123456789"),
        ("-", "-"), (" 1", " 1"), ("NaN", "NaN"),
    ],
)  # fmt: skip
def test_guessing_takes_only_what_can_be_nothing_else(cell: str, value: Any) -> None:
    """--infer leaves numbers that may be identifiers alone."""
    assert guess(cell) == value
    assert type(guess(cell)) is type(value)


def test_columns_are_renamed_and_left_out() -> None:
    """--map old=new, and --map old= for a column that is no field."""
    made = fields("Email,Age,Note", renamed={"Email": "email", "Note": ""}, types={"Age": "int"}, key="Email")

    assert (made.of(["a@b.c", "7", "x"]), made.key) == ({"email": "a@b.c", "Age": 7}, "email")


@pytest.mark.parametrize(
    ("empty", "record"),
    [("skip", {"email": "x"}), ("null", {"email": "x", "age": None}), ("text", {"email": "x", "age": ""})],
)
def test_empty_cells(empty: str, record: dict[str, Any]) -> None:
    """By default an empty cell leaves the field alone: an import should not wipe what others filled in."""
    assert fields(empty=empty).of(["x", ""]) == record


def test_a_row_without_its_key_is_refused() -> None:
    """It would be nobody's."""
    with pytest.raises(ValueError, match="email is empty, and it is the key"):
        fields(key="email").of(["", "7"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"renamed": {"mail": "email"}}, "--map names 'mail', .* it has email, age"),
        ({"types": {"mail": "int"}}, "--types names 'mail', .* it has email, age$"),
        ({"key": "mail"}, "--key names 'mail'"),
        ({"renamed": {"age": "email"}}, "--map makes two columns email: leave one of them out"),
        ({"types": {"age": "number"}}, "--types says 'number'; it is one of str, int, float, bool, json"),
    ],
)
def test_a_slip_in_an_option_is_found_before_the_first_row(options: dict[str, Any], told: str) -> None:
    """It would be a slip in every event."""
    with pytest.raises(BadFile, match=told):
        fields(**options)


def test_a_header_that_was_not_split_has_a_hint() -> None:
    """A header in which another delimiter stands is taken for one column; the message then suggests --delimiter."""

    with pytest.raises(BadFile, match="it has email:age; if that is several columns, --delimiter names"):
        fields("email:age", key="email")
    with pytest.raises(BadFile, match=r"it has mail, age$"):
        fields("mail,age", key="email")


@pytest.mark.parametrize("header", ["# export of 2026", "// export", "ada@x.org,Ada", "Ada,2026-01-31", "7,Ada"])
def test_a_file_without_a_header_is_told_so(header: str) -> None:
    """Its first row, or a comment above the header, is no list of names."""
    with pytest.raises(BadFile, match="is hardly the name of one: the file's first line is to name the columns"):
        fields(header, key="email")


def test_a_slip_in_a_name_is_not_taken_for_a_missing_header() -> None:
    """The columns that there are say enough."""
    with pytest.raises(BadFile, match=r"it has e-mail, first name, 1st$"):
        fields("e-mail,first name,1st", key="email")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("1x", "j is '1x': not JSON: something follows the JSON at character 2"),
        ("{'a': 1}", "a name in double quotes is missing at character 2"),
        ("[1, 2", "a comma or a closing bracket is missing at its end"),
        ('["\\q"]', "a backslash is not written as \\\\ at character 3"),
        ('{"a":\n"b}', "a text is not closed that begins at line 2, character 1"),
        (" ", "not JSON: it is empty"),
    ],
)
def test_what_is_wrong_with_json_is_said_in_plain_words(cell: str, told: str) -> None:
    """Not in those of the parser, and with the place."""
    with pytest.raises(ValueError, match=re.escape(told)):
        fields("j", types={"j": "json"}).of([cell])
