"""From the values that databases, data frames and scripts hold to JSON; what cannot go is refused by its field's name.

numpy and pandas are recognised by what their values call themselves: neither is needed, and neither is imported.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Integral, Rational, Real
from typing import Any
from uuid import UUID

from topics.errors import BadValue
from topics.event.exact_json import MAX_DEPTH

_PLAIN = frozenset({str, int, bool, type(None)})
_MISSING = {"NAType", "NaTType", "MaskedConstant"}
_HINTS: dict[type, str] = {
    bytes: "decode it, or give base64 text",
    bytearray: "decode it, or give base64 text",
    memoryview: "decode it, or give base64 text",
    set: "a set has no order, give a list",
    frozenset: "a set has no order, give a list",
    timedelta: "say which unit the destination takes, for example .total_seconds()",
    complex: "give its parts",
}
_LISTS = {"ndarray", "Series", "Index", "DataFrame"}
_TRAILING_ZEROS = re.compile(r"(\.\d*?)0+$")


def to_json_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The same dict when everything in it is plain (the usual case, and a quick one), else a converted copy.

    What comes back holds the types that JSON has, and ``Decimal`` where a double would not give back the digits.
    Raises ``BadValue``.
    """
    return fields if _is_plain(fields, 1) else _object(fields, "", 1)


def to_json_value(value: Any, name: str) -> Any:
    """The same for any value; ``name`` is what an error calls it."""
    return _value(value, name, 1)


def _is_plain(fields: dict[str, Any], depth: int) -> bool:
    """Are the types in it those of JSON already, in the objects within it, too?"""
    for name, value in fields.items():
        kind = type(value)
        if type(name) is not str:
            return False
        if kind is dict:
            if depth >= MAX_DEPTH or not _is_plain(value, depth + 1):
                return False
        elif not (kind in _PLAIN or (kind is float and math.isfinite(value))):
            return False
    return True


def _object(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    converted = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise BadValue(f"{path or 'the record'} has the key {name!r}; JSON's keys are text")
        converted[name] = _value(item, f"{path}.{name}" if path else name, depth + 1)
    return converted


def _value(value: Any, path: str, depth: int) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (Mapping, list, tuple)) and depth > MAX_DEPTH:
        raise BadValue(f"{path[:60]}... is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return _object(value, path, depth)
    if isinstance(value, (list, tuple)):
        return [_value(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _scalar(value, path, depth)


def _scalar(value: Any, path: str, depth: int) -> Any:  # noqa: C901, PLR0911 - one line for each kind of value
    if isinstance(value, Enum):
        return _value(value.value, path, depth)
    if type(value).__module__.partition(".")[0] == "numpy" and not _is_missing(value):
        value = _from_numpy(value)
    if _is_missing(value):
        raise BadValue(f"{path} is {value!r}, which JSON does not have: give None to empty the field, or leave it out")
    if isinstance(value, str | UUID):
        return str(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _decimal(value, path)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Rational):
        return _fraction(value, path)
    if isinstance(value, Real):
        return float(value)
    raise BadValue(f"{path} is {type(value).__name__}, which JSON does not have{_hint(value)}")


def _from_numpy(value: Any) -> Any:
    """The Python value of a numpy scalar, by its kind; what has none comes back as it is.

    A float32 gives the number that its shortest text says: 0.1, where ``float()`` gives 0.10000000149011612. A
    datetime64 has nanoseconds, which ``datetime`` has not; its own text is ISO 8601.
    """
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if getattr(value, "shape", None) != ():
        return value
    if kind == "M":
        text = str(value)
        return _Missing("NaT") if text == "NaT" else _TRAILING_ZEROS.sub(r"\1", text).rstrip(".")
    if kind == "m":
        return timedelta() if str(value) != "NaT" else _Missing("NaT")
    if kind == "f":
        return Decimal(str(value)) if value.itemsize > 8 and math.isfinite(value) else float(str(value))
    return value.item() if kind in "biuU" else value


class _Missing:
    """A missing value of numpy, that shows itself by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def _is_missing(value: Any) -> bool:
    """NaN, infinity, and what data frames put where a value is missing (NaT is unlike itself, NA has no truth)."""
    if isinstance(value, _Missing) or type(value).__name__ in _MISSING:
        return True
    if isinstance(value, Decimal):
        return not value.is_finite()
    return isinstance(value, float) and not math.isfinite(value)


def _decimal(value: Decimal, path: str) -> int | float | Decimal:
    """Exactly the same number: a price must not change on its way. A ``Decimal`` only where a float would change it."""
    if math.isinf(nearest := float(value)):
        raise BadValue(f"{path} is {value}, beyond what JSON's readers take (1e308): give it as text")
    if value == value.to_integral_value():
        return int(value)
    return nearest if Decimal(repr(nearest)) == value else value


def _fraction(value: Any, path: str) -> float:
    nearest = value.numerator / value.denominator
    numerator, denominator = nearest.as_integer_ratio()
    if numerator * value.denominator != value.numerator * denominator:
        raise BadValue(f"{path} is {value}, which no decimal number gives back: round it, or give it as text")
    return float(nearest)


def _hint(value: Any) -> str:
    if type(value).__name__ in _LISTS:
        return ": give a list, .tolist()"
    return next((f": {hint}" for kind, hint in _HINTS.items() if isinstance(value, kind)), "")
