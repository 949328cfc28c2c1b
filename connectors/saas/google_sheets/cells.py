"""A value as a cell: a text stays the text that it is, whatever it begins with. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from topics.event import exact_json

MOST: Final = 50_000
"""Characters of a cell."""
EXACT: Final = 2**53
"""Whole numbers up to here are exact in a cell; a longer one goes in as text, so that no digit is lost."""
FIELDS: Final = "userEnteredValue"

Cell = dict[str, Any]


def cell(name: str, value: Any, *, formulas: bool) -> Cell:
    """None empties the cell. Raises ``ValueError`` for what does not fit."""
    if value is None or value == "":
        return {}
    if isinstance(value, bool):
        return {FIELDS: {"boolValue": value}}
    if isinstance(value, int | float | Decimal) and _is_exact(
        Decimal(repr(value) if isinstance(value, float) else value)
    ):
        return {FIELDS: {"numberValue": int(value) if value == int(value) else float(value)}}
    text = _text(value)
    if len(text) > MOST:
        raise ValueError(f"{name} has {len(text)} characters; a cell holds {MOST}")
    kind = "formulaValue" if formulas and isinstance(value, str) and text.startswith("=") else "stringValue"
    return {FIELDS: {kind: text}}


def _is_exact(number: Decimal) -> bool:
    return abs(number) <= EXACT if number == int(number) else Decimal(repr(float(number))) == number


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return exact_json.plain(value)
    return str(value) if isinstance(value, int) else exact_json.dumps(value).decode()


def row(cells: Sequence[Cell]) -> dict[str, Any]:
    return {"values": list(cells)}
