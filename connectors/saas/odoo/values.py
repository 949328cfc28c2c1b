"""What Odoo takes without a word and stores as something else: caught, or put right, before it is sent. Pure.

Observed on Odoo 18: a many2one given a name is emptied, a boolean given the text "false" becomes true, a date given a
time loses it, a datetime with a ``T`` or an offset is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

Fields = Mapping[str, Mapping[str, Any]]
"""What ``fields_get`` says of a model: by name, its ``type``, ``relation``, ``readonly``."""

KEPT_BY_ODOO: Final = frozenset(
    {"id", "display_name", "create_date", "create_uid", "write_date", "write_uid", "payment_state"}
)
"""Computed by Odoo: a new record cannot be given one. In a change they are read back."""
_TRUTH: Final = {"true": True, "false": False, "1": True, "0": False}


Models = Mapping[str, Fields]


def checked(model: str, values: Mapping[str, Any], models: Models, *, new: bool) -> dict[str, Any]:
    """The values as Odoo stores them; those of lines inside it as well, where ``models`` has their model.

    Raises ``ValueError`` that names the field and what to give instead.
    """
    return {name: _checked(model, name, value, models, new=new) for name, value in values.items()}


def lines_of(values: Mapping[str, Any], fields: Fields) -> set[str]:
    """The models of the records that are given inside a record."""
    return {
        str(fields[name]["relation"])
        for name, value in values.items()
        if fields.get(name, {}).get("type") == "one2many" and isinstance(value, list) and value
    }


def _checked(model: str, name: str, value: Any, models: Models, *, new: bool) -> Any:
    """Raises ``ValueError``."""
    fields = models[model]
    if name not in fields:
        near = get_close_matches(name, fields, 1)
        raise ValueError(f"{model} has no field {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    if new and name in KEPT_BY_ODOO:
        raise ValueError(f"{name} is kept by Odoo itself: a new {model} cannot be given one")
    return _shaped(name, False if value is None else value, fields[name], models)  # false is what Odoo calls empty


def _shaped(name: str, value: Any, field: Mapping[str, Any], models: Models) -> Any:
    match field["type"]:
        case "many2one":
            return _one(name, value, field.get("relation"))
        case "boolean":
            return _boolean(name, value)
        case "date":
            return _date(name, value)
        case "datetime":
            return _datetime(name, value)
        case "one2many" | "many2many":
            return _many(name, value, str(field.get("relation")), models)
        case _:
            return value


def _one(name: str, value: Any, relation: Any) -> Any:
    if value is False or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, Sequence) and not isinstance(value, str) and value and isinstance(value[0], int):
        return value[0]  # [id, name], as reading gives it
    raise ValueError(f"{name} takes the id of a {relation}, not {value!r}: Odoo would empty it without a word")


def _boolean(name: str, value: Any) -> bool:
    known = _TRUTH.get(str(value).strip().lower())
    if known is None:
        raise ValueError(f"{name} is true or false, not {value!r}: Odoo takes every text for true, 'false' as well")
    return known


def _date(name: str, value: Any) -> Any:
    if isinstance(value, str) and len(value.strip()) > 10:
        raise ValueError(f"{name} is a date (2026-01-31), not {value!r}: Odoo would cut the time off")
    return value


def _datetime(name: str, value: Any) -> Any:
    """Odoo wants UTC, and neither ``T`` nor an offset."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise ValueError(f"{name} is a time such as 2026-01-31T12:00:00Z, not {value!r}") from error
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).strftime("%Y-%m-%d %H:%M:%S")


def _many(name: str, value: Any, relation: str, models: Models) -> Any:
    """A list of records becomes the command that makes them, a list of ids the one that links them."""
    if value is False:
        return [[5, 0, 0]]
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{name} is a list of records, of ids, or of Odoo's commands, not {value!r}")  # noqa: TRY004 - as above
    if value and all(isinstance(one, Mapping) for one in value):
        return [[0, 0, _line(relation, one, models, new=True)] for one in value]
    if value and all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        return [[6, 0, list(value)]]
    return [_command(relation, one, models) for one in value]


def _command(relation: str, command: Any, models: Models) -> Any:
    match command:
        case [0, zero, Mapping() as line]:
            return [0, zero, _line(relation, line, models, new=True)]
        case [1, record, Mapping() as line]:
            return [1, record, _line(relation, line, models, new=False)]
        case _:
            return command


def _line(relation: str, line: Mapping[str, Any], models: Models, *, new: bool) -> dict[str, Any]:
    return checked(relation, line, models, new=new) if relation in models else dict(line)


def same(sent: Any, stored: Any) -> bool:
    """Did Odoo keep what was sent? A many2one is read as [id, name], what is empty as false."""
    if isinstance(stored, list) and len(stored) == 2 and isinstance(stored[1], str):
        stored = stored[0]
    return bool(sent == stored or (not sent and not stored))
