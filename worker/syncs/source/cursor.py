"""The highest value that a cursor has reached, as JSON. The next run begins before it, by how late rows may come."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from worker.syncs.definition.bounds import seconds
from worker.syncs.errors import SourceFailed


def kept(value: Any) -> dict[str, Any]:
    """The value as JSON. Raises ``SourceFailed`` for one that has no order, such as a boolean."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal | datetime | date):
        raise SourceFailed(f"the cursor is {type(value).__name__}: take a column of times, numbers or texts")
    if isinstance(value, datetime):
        return {"kind": "time", "value": value.isoformat()}
    if isinstance(value, date):
        return {"kind": "date", "value": value.isoformat()}
    return {"kind": "text" if isinstance(value, str) else "number", "value": value}


def value_of(said: dict[str, Any]) -> Any:
    match said["kind"]:
        case "time":
            return datetime.fromisoformat(said["value"])
        case "date":
            return date.fromisoformat(said["value"])
        case _:
            return said["value"]


def start(said: dict[str, Any], late: str | float) -> Any:
    """The value from which rows are read.

    ``late``: a span of time (as text, or in seconds), or a number for a cursor of numbers. Text may hold times.
    """
    value = value_of(said)
    if isinstance(value, int | float | Decimal):
        return (
            value
            if isinstance(late, str)
            else value - Decimal(str(late))
            if isinstance(value, Decimal)
            else value - late
        )
    back = timedelta(seconds=seconds(late) if isinstance(late, str) else late)
    if isinstance(value, datetime):
        return value - back
    if isinstance(value, date):
        return value - timedelta(days=-(-back // timedelta(days=1)))
    return _text_before(value, back)


def _text_before(text: str, back: timedelta) -> str:
    """An earlier time in the same spelling. A text that is not a time is returned as it is."""
    if len(text) < 19 or text[10] not in "T ":
        return text
    try:
        before = datetime.fromisoformat(text) - back
    except ValueError:
        return text
    written = before.isoformat(sep=text[10], timespec="microseconds" if "." in text else "seconds")
    return written.replace("+00:00", "Z") if text.endswith("Z") else written
