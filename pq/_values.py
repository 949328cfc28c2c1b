"""From the values scripts hold (database rows, data frames) to JSON; what cannot go is refused by its field's name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from typing import Any
from uuid import UUID

from pq.errors import BadField

_PLAIN = frozenset({str, int, bool, type(None)})


def merged(positional: tuple[Mapping[str, Any], ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """One dict of all dicts, the keywords last. Raises ``BadField`` for a positional argument that is no dict."""
    if not positional:
        return keywords
    fields: dict[str, Any] = {}
    for number, given in enumerate(positional, start=1):
        if type(given) is not dict and not isinstance(given, Mapping):  # the first is quick
            raise BadField(
                f"argument {number} after the object's name is {type(given).__name__}; give a dict, "
                f"or name the field: field={given!r}"
            )
        fields.update(given)
    fields.update(keywords)
    return fields


def to_json_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """The same dict when everything in it is plain (the usual case, and a quick one), else a converted copy."""
    for name, value in fields.items():
        kind = type(value)
        if type(name) is not str or not (kind in _PLAIN or (kind is float and math.isfinite(value))):
            return _object(fields, "")
    return fields


def _object(value: Mapping[Any, Any], path: str) -> dict[str, Any]:
    converted = {}
    for name, item in value.items():
        if not isinstance(name, str):
            raise BadField(f"{path or 'the record'} has the key {name!r}; JSON's keys are text")
        converted[name] = _value(item, f"{path}.{name}" if path else name)
    return converted


def _value(value: Any, path: str) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return _object(value, path)
    if isinstance(value, (list, tuple)):
        return [_value(item, f"{path}[{index}]") for index, item in enumerate(value)]
    return _scalar(value, path)


def _scalar(value: Any, path: str) -> Any:
    if _is_missing(value):
        raise BadField(f"{path} is {value!r}, which JSON does not have: give None to empty the field, or leave it out")
    if isinstance(value, Enum):
        return _value(value.value, path)
    if isinstance(value, str | UUID):
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value, path)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    hint = {"bytes": "decode it, or give base64 text", "set": "a set has no order, give a list"}
    raise BadField(
        f"{path} is {type(value).__name__}, which JSON does not have"
        + (f": {hint[type(value).__name__]}" if type(value).__name__ in hint else "")
    )


def _is_missing(value: Any) -> bool:
    """NaN, infinity, and what data frames put where a value is missing (NaT is unlike itself, NA has no truth)."""
    if type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float | Decimal) and not math.isfinite(value)


def _number(value: Decimal, path: str) -> int | float:
    """Exactly the same number, or not at all: a price must not change on its way."""
    if value == value.to_integral_value():
        return int(value)
    nearest = float(value)
    if Decimal(repr(nearest)) != value:
        raise BadField(f"{path} is {value}, more digits than a JSON number keeps: give it as text, or round it")
    return nearest
