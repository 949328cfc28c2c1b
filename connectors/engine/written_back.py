"""Whether a vendor, or a warehouse that was filled from it, holds the value that was sent. Pure.

The type of the warehouse's value decides how they are compared, since vendors return the same value in another form: a
number as text, a time in another zone, true as 1, an empty text as null, an e-mail address in lower case, the options
of a multiple choice in another order.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from connectors.engine.runner.source import DOTNET, parse_time
from connectors.engine.template.text import as_text

DOUBLE: Final = Decimal("1e-14")
"""The relative error allowed for a double: SQLite keeps fractions as doubles of 15 digits."""
SECOND: Final = 1.0
"""The error allowed for a time: vendors keep whole seconds or milliseconds; what was sent may be more exact."""

_TRUTH: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")
_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+")


def same(sent: Any, found: Any, *, adds_members: bool = False) -> bool:
    """``sent`` is JSON, ``found`` what the vendor or the warehouse's driver returns.

    ``adds_members``: the vendor adds members of its own to each JSON object that it was sent.
    """
    if found is None:
        return _empty(sent)
    if _empty(sent) and sent is not False:
        return _empty(found)
    if adds_members and isinstance(sent, Mapping | list):
        found = _without_further(sent, _parsed(found))
    return _same_value(sent, found)


def _without_further(sent: Any, found: Any) -> Any:
    match sent, found:
        case Mapping(), Mapping():
            return {name: _without_further(sent[name], value) for name, value in found.items() if name in sent}
        case list(), list():
            return [*map(_without_further, sent, found), *found[len(sent) :]]
    return found


def _same_value(sent: Any, found: Any) -> bool:
    match found:
        case bool():
            return _TRUTH.get(str(as_text(sent)).strip().lower()) is found
        case int() | float() | Decimal():
            return _same_number(sent, found)
        case datetime():
            return _same_moment(sent, found)
        case date():
            return _same_day(sent, found)
        case Mapping() | list():
            return _same_json(_parsed(sent), found)
    return _same_text(sent, str(found))


def _empty(value: Any) -> bool:
    """Whether the value means nothing: Odoo returns false for that, HubSpot an empty text."""
    return value is None or value is False or (isinstance(value, str | list) and not value)


def _same_number(sent: Any, found: Any) -> bool:
    if isinstance(sent, bool):
        return Decimal(str(found)) == int(sent)
    wanted, there = _number(sent), _number(found)
    if wanted is None or there is None:
        return False
    return wanted == there or (isinstance(found, float) and abs(wanted - there) <= abs(there) * DOUBLE)


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _same_moment(sent: Any, found: datetime) -> bool:
    moment = _moment(sent)
    there = found if found.tzinfo else found.replace(tzinfo=UTC)
    return moment is not None and abs((moment - there).total_seconds()) < SECOND


def _same_day(sent: Any, found: date) -> bool:
    moment = _moment(sent)
    return moment is not None and moment.date() == found


def _moment(value: Any) -> datetime | None:
    try:
        return None if isinstance(value, bool) else parse_time(value.strip() if isinstance(value, str) else value)
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _same_json(sent: Any, found: Any) -> bool:
    match sent, found:
        case (int() | str(), [int() as number, str()]):  # Odoo's other record: its id and its name
            return _same_number(sent, number)
        case Mapping(), Mapping():
            return sent.keys() == found.keys() and all(_same_json(value, found[name]) for name, value in sent.items())
        case list(), list():
            return len(sent) == len(found) and all(_same_json(*pair) for pair in zip(sent, found, strict=True))
        case (bool(), _) | (_, bool()):
            return sent is found
        case (int() | float() | Decimal(), int() | float() | Decimal()):
            return _same_number(sent, found)
    return not isinstance(sent, Mapping | list) and not isinstance(found, Mapping | list) and same(sent, found)


def _same_text(sent: Any, found: str) -> bool:
    if isinstance(sent, Mapping | list) and _same_json(sent, _parsed(found)):
        return True
    wanted, there = (unicodedata.normalize("NFC", text).strip() for text in (str(as_text(sent)), found))
    if wanted == there or (not isinstance(sent, str) and _number(there) is not None and _same_number(sent, there)):
        return True
    if _ADDRESS.fullmatch(wanted) and _ADDRESS.fullmatch(there):
        return wanted.casefold() == there.casefold()
    if ";" in wanted:
        return _same_choice(wanted, there)
    if _TIME.fullmatch(wanted) and (_TIME.fullmatch(there) or DOTNET.fullmatch(there)):
        moment = _moment(there)
        return moment is not None and _same_moment(wanted, moment)
    return False


def _same_choice(wanted: str, there: str) -> bool:
    """Compares HubSpot's multiple choices: it reorders them, and a text that begins with ``;`` adds to those there."""
    asked = {one.strip() for one in wanted.split(";") if one.strip()}
    chosen = {one.strip() for one in there.split(";") if one.strip()}
    return asked <= chosen if wanted.startswith(";") else asked == chosen
