"""Numbers keep their digits through an event, and what no worker could read is refused before it is sent."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.errors import MalformedEvent
from topics.event import exact_json
from topics.event.codec import Encoded, Stamp, decode
from topics.event.event import NO_OPTIONS, Operation, now
from topics.log import Partition, Record


def record(encoded: Encoded) -> Record:
    place = Partition("writeback.events.raw", 0)
    return Record(place, 0, 0, encoded.key, encoded.value, encoded.headers)


def carried(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as a worker reads them."""
    stamp = Stamp(Operation.ADD, "raw", "thing", "test", NO_OPTIONS)
    return decode(record(stamp.encode("1", now(), None, fields))).fields


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.1", 1.1),
        ("1e5", 1e5),
        ("100", 100),
        ("9007199254740993", 9007199254740993),
        ("9007199254740993.0", Decimal("9007199254740993.0")),
        ("9007199254740993e0", Decimal(9007199254740993)),
        ("12345678901234567.89", Decimal("12345678901234567.89")),
        ("123456789.123456789", Decimal("123456789.123456789")),
        ("1e-400", Decimal("1e-400")),
    ],
)
def test_a_number_is_a_decimal_only_where_a_float_has_other_digits(text: str, value: Any) -> None:
    """On the command line, and through a record to the worker."""
    read = exact_json.loads(f'{{"a": [{text}]}}')["a"][0]
    plain = f'{{"operation": "add", "object": "thing", "fields": {{"a": {text}}}}}'
    through = decode(Record(Partition("writeback.events.raw", 0), 0, 0, None, plain.encode())).fields["a"]

    assert (read, type(read)) == (value, type(value))
    assert (through, type(through)) == (value, type(value))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**300), max_value=10**300))
def test_any_decimal_arrives_with_its_value(value: Decimal) -> None:
    """Whatever its digits and exponent: equal as numbers, never rounded."""
    arrived = carried({"d": value})["d"]

    assert Decimal(repr(arrived) if isinstance(arrived, float) else arrived) == value


def test_a_decimal_is_written_as_plain_digits() -> None:
    """As a JSON number, not as text and without an exponent, in every depth."""
    assert exact_json.dumps({"a": Decimal("1E-5"), "b": [Decimal("1.10"), {"c": Decimal("1E+2")}]}) == (
        b'{"a":0.00001,"b":[1.10,{"c":100}]}'
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": NaN}', "NaN is no JSON: send null"),
        ('{"a": -Infinity}', "-Infinity is no JSON"),
        ('{"a": 1e999}', "the number 1e999 is beyond what a double takes"),
        ('{"a": {"b": ["\\ud800"]}}', "a.b[0] holds half a surrogate pair"),
        ('{"\\ud800": 1}', "the name '\\ud800' holds half a surrogate pair"),
        ('{"a": 1, "a": 2}', "a is given twice"),
        ('{"a": ' + "9" * 5_000 + "}", "an integer of 5,000 digits"),
        ("[" * 100_000, "nested deeper than 190 levels"),
        ('{"a": ' + "[" * 195 + "]" * 195 + "}", "a is nested deeper than 190 levels"),
    ],
)
def test_json_that_no_worker_reads_is_refused(text: str, told: str) -> None:
    """With the field's name where there is one, always as a ``ValueError``."""
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is compared below
        exact_json.loads(text)

    assert told in str(raised.value)


def test_what_is_as_deep_as_allowed_is_read() -> None:
    """The limit of the producer is below that of the worker."""
    nested: Any = 1
    for _ in range(exact_json.MAX_DEPTH - 1):
        nested = [nested]

    assert carried({"a": nested}) == {"a": nested}


def test_a_number_beyond_a_double_is_named() -> None:
    """A record of someone else's with 1e400 in it is malformed, and the field is told."""
    place = Partition("writeback.events.raw", 0)
    value = b'{"operation": "add", "object": "thing", "fields": {"a": [1e400]}}'

    with pytest.raises(MalformedEvent, match=r"1e308\): fields.a.0"):
        decode(Record(place, 0, 0, None, value))


def test_readers_see_numbers() -> None:
    """A Decimal is shown as a number, beside whatever JSON does not know, in lines or on one."""
    value = {"a": [Decimal("12345678901234567.89"), Decimal("0.00000000000000000001")], "b": Path("x"), "c": "\u00e9"}

    assert exact_json.shown(value) == ('{"a": [12345678901234567.89, 0.00000000000000000001], "b": "x", "c": "\u00e9"}')
    assert exact_json.shown({"n": Decimal(1)}, indent=2) == '{\n  "n": 1\n}'
