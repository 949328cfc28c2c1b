"""Values as text, as form-like APIs, paths and keys need them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from topics.event import exact_json


def as_text(value: Any) -> Any:
    """Values as text: ``true``, ``12.5``, nothing as ``""``, lists of scalars joined with ``;``, the rest as JSON.

    A mapping is converted one level deep.
    """
    if isinstance(value, dict):
        return {key: _scalar_text(item) for key, item in value.items()}
    return _scalar_text(value)


def _scalar_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number_text(value)
    if isinstance(value, Decimal):
        return exact_json.plain(value)
    if isinstance(value, list) and all(isinstance(item, str | int | float | Decimal) for item in value):
        return ";".join(_scalar_text(item) for item in value)
    return "" if value is None else exact_json.dumps(value).decode()


def _number_text(value: float) -> str:
    """Digits without an exponent. 1.0 becomes 1: an integer column with missing values is often read as floats."""
    if isinstance(value, int) or not value:
        return str(int(value))
    digits = exact_json.plain(Decimal(repr(value)))
    return digits.removesuffix(".0")


def spelled(fields: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """The fields; one whose name differs only in case is renamed to ``name``."""
    if name is None or name in fields:
        return fields
    same = next((one for one in fields if one.casefold() == name.casefold()), None)
    if same is None:
        return fields
    return {name if one == same else one: value for one, value in fields.items()}


def fold(value: Any) -> Any:
    """The text in lower case, without outer blanks, so that two spellings of an e-mail address are one key."""
    return _scalar_text(value).strip().casefold()
