"""What Google might answer to what is asked before a turn is written: for ``connectors try``.

The sheet has the columns of the first event, and of an update or a deletion the row that it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.engine.runner.calls import Prepared
from topics.event import exact_json
from topics.event.event import Event, Operation

SAID = ("searchfield", "searchterm")
"""How a row is found, where the event says it: no columns."""


def answer(asked: Prepared, events: Sequence[Event]) -> dict[str, Any] | None:
    """None: the request is not one of those."""
    if not events:
        return None
    title, fields = events[0].object, events[0].fields
    if asked.method == "GET":
        grid = {"rowCount": 1_000, "columnCount": 26}
        return {"sheets": [{"properties": {"sheetId": 0, "title": title, "gridProperties": grid}}]}
    if not str(asked.url).endswith(":batchGetByDataFilter"):
        return None
    header = [name for name in dict.fromkeys((*fields, fields.get("searchfield"))) if name and name not in SAID]
    there = events[0].operation in {Operation.UPDATE, Operation.DELETE}
    columns = [[name, *([_value(fields, name)] if there else [])] for name in header]
    ranges = []
    for one in exact_json.loads(asked.body or b"{}")["dataFilters"]:
        at = one["gridRange"].get("startColumnIndex")
        values = [header] if at is None else [[cell] for cell in columns[at]]
        ranges.append({"dataFilters": [one], "valueRange": {"range": f"'{title}'!A1", "values": values}})
    return {"valueRanges": ranges}


def _value(fields: Any, name: str) -> Any:
    return fields.get("searchterm") if fields.get("searchfield") == name else fields.get(name)
