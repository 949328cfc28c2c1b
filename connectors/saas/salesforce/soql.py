"""Questions in SOQL, with every value and every name made harmless. Pure.

https://developer.salesforce.com/docs/atlas.en-us.soql_sosl.meta/soql_sosl/sforce_api_calls_soql_select_quotedstringescapes.htm
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from topics.event import exact_json

NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}")
PATH: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,254}(\.[A-Za-z][A-Za-z0-9_]{0,254}){0,5}")
"""A field, or one of a parent: ``Account.Name``."""
EVERY_FIELD: Final = "FIELDS(ALL)"
MOST_OF_EVERY: Final = 200
"""Records of a question for every field."""
MOST: Final = 2_000

_ESCAPES: Final = str.maketrans(
    {"\\": r"\\", "'": r"\'", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"}
)


def literal(value: Any) -> str:
    """A value as SOQL writes it. Raises ``ValueError`` for what it cannot write."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return exact_json.plain(Decimal(repr(value)))
    if isinstance(value, Decimal):
        return exact_json.plain(value)
    if isinstance(value, str):
        return f"'{value.translate(_ESCAPES)}'"
    raise ValueError(f"{value!r} cannot be searched for: give a text, a number, true or false")


def field(name: Any) -> str:
    """The name of a field. Raises ``ValueError``."""
    if not isinstance(name, str) or PATH.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a field, such as Email, External_Id__c or Account.Name")
    return name


def select(
    sobject: str,
    fields: Sequence[str],
    where: Sequence[str] = (),
    order: str | None = None,
    limit: int | None = None,
) -> str:
    """``fields`` and ``where`` are SOQL already; every one of ``where`` must be true."""
    conditions = [one for one in where if one]
    parts = [f"SELECT {','.join(fields)} FROM {sobject}"]  # noqa: S608 - names and values are checked above
    if conditions:
        parts.append(
            "WHERE " + " AND ".join(conditions if len(conditions) == 1 else [f"({one})" for one in conditions])
        )
    if order is not None:
        parts.append(f"ORDER BY {order}")
    if limit is not None:
        parts.append(f"LIMIT {limit}")
    return " ".join(parts)


def page_size(wanted: Any, *, every_field: bool) -> int:
    """How many records a question asks for. Raises ``ValueError``."""
    most = MOST_OF_EVERY if every_field else MOST
    if wanted is None:
        return MOST_OF_EVERY
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        raise ValueError(f"limit is {wanted!r}, not a number of records from 1 on")
    return min(wanted, most)
