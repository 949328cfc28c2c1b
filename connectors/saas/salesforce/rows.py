"""Records as the CSV of a Bulk API 2.0 job, and a job's results back to the records. Pure.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/datafiles_csv_valid_record_rows.htm
Results come in another order than the rows, and with the columns that were sent: those are what names a record.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.engine.template.text import as_text
from connectors.saas.salesforce.records import SHORT_ID
from topics.event.event import Operation

NULL: Final = "#N/A"
"""Empties a field; an empty cell leaves it as it is."""
MOST_BYTES: Final = 3_000_000
"""Of one job's CSV: its results have every row again, and have to be read whole."""

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of one job, by the places of their events."""

    columns: tuple[str, ...]
    rows: Mapping[int, Row]

    def csv(self) -> bytes:
        return _written(self.columns, self.rows.values())


def row_of(record: Mapping[str, Any]) -> Row | None:
    """The cells of a record; None for one that a CSV cannot say."""
    row: Row = {}
    for name, value in record.items():
        if name == "attributes":
            continue
        if isinstance(value, Mapping):  # a lookup by an external id: {"Account": {"Account_Key__c": "A-7"}}
            row |= {f"{name}.{inner}": _cell(one) for inner, one in value.items() if inner != "attributes"}
        else:
            row["Id" if name == "id" else name] = _cell(value)
        if value == NULL or isinstance(value, list):
            return None
    return row


def _cell(value: Any) -> str:
    text = "" if value is None else str(as_text(value))
    return text or NULL


def sheets_of(rows: Mapping[int, Row]) -> Iterator[Sheet]:
    """All rows, in as many jobs as their size needs."""
    columns = tuple(dict.fromkeys(name for row in rows.values() for name in row))
    part: dict[int, Row] = {}
    size = 0
    for place, row in rows.items():
        length = len(_written(columns, [row]))
        if part and size + length > MOST_BYTES:
            yield Sheet(columns, part)
            part, size = {}, 0
        part[place] = row
        size += length
    if part:
        yield Sheet(columns, part)


class Owners:
    """Whose result is which. Two events with the same key are the same row: either result is right for either.

    ``unique``: the field whose values no two records share; a new record without one goes by all that it holds.
    """

    def __init__(self, sheet: Sheet, operation: Operation, unique: str | None) -> None:
        self._columns = sheet.columns
        self._by_id = operation in {Operation.UPDATE, Operation.DELETE}
        named = unique is not None and all(row.get(unique, NULL) != NULL for row in sheet.rows.values())
        self._unique = unique if named else None
        self._places: dict[Any, deque[int]] = {}
        for place, row in sheet.rows.items():
            self._places.setdefault(self._key(row), deque()).append(place)

    def take(self, result: Mapping[str, str]) -> int | None:
        """The place of the event that a result is about; None: nobody's."""
        places = self._places.get(self._key(result))
        return places.popleft() if places else None

    def _key(self, row: Mapping[str, str]) -> Any:
        if self._by_id:
            return (row.get("Id") or row.get("sf__Id") or "")[:SHORT_ID]
        if self._unique is not None:
            return row.get(self._unique, "").casefold()
        return tuple(row.get(name, "") for name in self._columns)


def results_of(text: Any) -> list[dict[str, str]]:
    """The rows of a result; none where there is nothing."""
    return list(csv.DictReader(io.StringIO(text))) if isinstance(text, str) else []


def error_of(result: Mapping[str, str]) -> dict[str, Any]:
    """``CODE:words:fields --`` as a result of Collections would say it."""
    code, _, words = (result.get("sf__Error") or "").partition(":")
    words = words.removesuffix("--").rstrip()
    return {"success": False, "errors": [{"statusCode": code, "message": words.removesuffix(":"), "fields": []}]}


def _written(columns: Sequence[str], rows: Any) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()
