"""What scripts hand over, as JSON has it; a value that cannot go is a ``BadField`` at the line that gave it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pq.errors import BadField
from topics.errors import BadValue
from topics.event import values


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
    """``topics.event.values.to_json_fields``. Raises ``BadField``."""
    try:
        return values.to_json_fields(fields)
    except BadValue as error:
        raise BadField(str(error)) from error


def to_json_value(value: Any, name: str) -> Any:
    """``topics.event.values.to_json_value``. Raises ``BadField``."""
    try:
        return values.to_json_value(value, name)
    except BadValue as error:
        raise BadField(str(error)) from error
