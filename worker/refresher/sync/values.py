"""Converts a vendor's values to the types of their columns; an error names the record and the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final

from connectors.engine.manifest.read import ColumnType
from connectors.engine.runner.source import parse_time
from topics.errors import WritebackError
from worker.refresher.naming import in_warehouse

LARGEST: Final = 2**63 - 1
DIGITS: Final = (38, 9)
"""Precision and scale of a decimal column, as dlt creates it everywhere."""


SHAPES: Final = 1_000
"""Sets of fields, of records of one object, that are remembered."""


class ValueRefused(WritebackError):
    """A value that its column, or the warehouse, cannot hold."""


@dataclass(frozen=True, slots=True)
class Holds:
    """How many significant digits of a decimal number a kind of warehouse can hold."""

    name: str = "a column"
    digits: int = DIGITS[0]

    def decimal(self, value: Any) -> Decimal:
        number = _decimal(value)
        if len(number.normalize().as_tuple().digits) > self.digits:
            raise ValueError(f"which has more digits than the {self.digits} that {self.name} keeps")
        return number


SQLITE: Final = Holds("SQLite", 15)
"""SQLite keeps a number with a fraction as a double."""


def rows_of(
    name: str,
    types: Mapping[str, ColumnType],
    key: Sequence[str],
    holds: Holds,
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What makes rows with typed values of an object's records; it raises ``ValueRefused``.

    Of two fields that are one column in a warehouse (``name`` and ``__name__``, which Tryton sends with every record)
    that of the column's own name stays, and the other is left out.
    """
    converts: dict[str, Callable[[Any], Any]] = {
        field: holds.decimal if kind == "decimal" else _CONVERT.get(kind, _plain) for field, kind in types.items()
    }
    never_empty = {field for field, kind in types.items() if kind != "text"}

    def row_of(record: Mapping[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        left_out = _left_out(name, tuple(record))
        for field, value in record.items():
            if left_out and field in left_out:
                continue
            if value is None or (value == "" and field in never_empty):
                row[field] = None
                continue
            try:
                row[field] = converts.get(field, _plain)(value)
            except (ValueError, InvalidOperation, OverflowError) as error:
                which = ", ".join(f"{column} {record.get(column)}" for column in key)
                raise ValueRefused(
                    f"{name} with {which}: the field {field} is {_shown(value)}, {error}; correct the record, "
                    "or leave the field out of what is read"
                ) from error
        for column in key:
            if row.get(column) in (None, ""):
                raise ValueRefused(f"a record of {name} has no {column}, which is its key: {_shown(record)}")
        return row

    return row_of


@lru_cache(SHAPES)
def _left_out(name: str, fields: tuple[str, ...]) -> frozenset[str]:
    """Those of an object's fields whose column another one has. Raises ``ValueRefused`` where none has its name."""
    of_columns: dict[str, list[str]] = {}
    for field in fields:
        of_columns.setdefault(in_warehouse(field), []).append(field)
    several = {column: some for column, some in of_columns.items() if len(some) > 1}
    for column, some in several.items():
        if column not in some:
            raise ValueRefused(
                f"the fields {' and '.join(some)} of {name} are one column, {column}: leave one of them out of what is "
                "read"
            )
    return frozenset(field for column, some in several.items() for field in some if field != column)


def _plain(value: Any) -> Any:
    """Refuse what warehouses refuse or cut off: NUL in a text, integers of more than 64 bits."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("which holds a NUL character")
    elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
        raise ValueError("which is more than 64 bits hold")
    return value


def _text(value: Any) -> str:
    return str(_plain(value if isinstance(value, str) else str(value)))


def _bigint(value: Any) -> int:
    try:
        number = value if type(value) is int else int(str(value))
    except ValueError:
        raise ValueError("which is no whole number") from None
    return int(_plain(number))


def _decimal(value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("which is no number") from None
    if not number.is_finite():
        raise ValueError("which is no number")
    whole = max(number.adjusted() + 1, 1)
    if whole > DIGITS[0] - DIGITS[1] or round(number, DIGITS[1]) != number:
        raise ValueError(
            f"which has more digits than a column of {DIGITS[0]} digits, {DIGITS[1]} of them behind the point"
        )
    return number


def _double(value: Any) -> float:
    try:
        return value if type(value) is float else float(str(value))
    except ValueError:
        raise ValueError("which is no number") from None


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    said = known.get(str(value).lower())
    if said is None:
        raise ValueError("which is neither true nor false")
    return said


def _timestamp(value: Any) -> datetime:
    try:
        return parse_time(value)
    except (ValueError, OverflowError, OSError):
        raise ValueError("which is no time") from None


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(str(value)) if len(str(value)) == 10 else parse_time(value).date()
    except (ValueError, OverflowError, OSError):
        raise ValueError("which is no date") from None


_CONVERT: Final[dict[str, Callable[[Any], Any]]] = {
    "text": _text,
    "bigint": _bigint,
    "double": _double,
    "bool": _bool,
    "timestamp": _timestamp,
    "date": _date,
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
