"""Upserts: Odoo's ``load``, the import of its own screens, with an external id in every row.

The same rows again find the same records, so an upsert may be repeated. A call is all or nothing and names the rows at
fault: they get their verdicts, and the others go out again without them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from connectors.contract import Delivered, Evidence, Rejected, Retry, Verdict
from connectors.engine.template.text import as_text
from connectors.saas.odoo.values import Fields

EXTERNAL_ID: Final = "external_id"
AGAIN: Final = ("could not serialize access", "deadlock detected", "could not obtain lock")
"""Somebody else wrote the same record at the same moment: ``load`` reports it as a fault of the row."""

Ask = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""(method, arguments) to what Odoo answered, or to a verdict when it is no answer."""


@dataclass(frozen=True, slots=True)
class Row:
    """One event: the columns that it fills, and its cells in their order."""

    place: int
    columns: tuple[str, ...]
    cells: tuple[str, ...]


def row_of(place: int, values: Mapping[str, Any], fields: Fields) -> Row:
    """``values`` are checked. Raises ``ValueError`` for what a row cannot hold."""
    external_id = str(as_text(values.get(EXTERNAL_ID) or "")).strip()
    if not external_id:
        raise ValueError(
            f"an upsert needs {EXTERNAL_ID}, the name by which the record is found again, as in shop.sku_1"
        )
    cells = {"id": external_id}
    for name, value in values.items():
        if name != EXTERNAL_ID:
            column, cell = _cell(name, value, str(fields[name]["type"]))
            cells[column] = cell
    return Row(place, tuple(cells), tuple(cells.values()))


def _cell(name: str, value: Any, kind: str) -> tuple[str, str]:
    if kind == "one2many":
        raise ValueError(f"{name} is a list of records of their own, which an upsert cannot carry: use add, or update")
    if kind == "many2one":
        return f"{name}/.id", "" if value is False else str(value)
    if kind == "many2many":
        return f"{name}/.id", ",".join(str(one) for one in _linked(name, value))
    if kind == "boolean":
        return name, "1" if value else "0"
    return name, "" if value is False else str(as_text(value))


def _linked(name: str, commands: Any) -> Sequence[Any]:
    match commands:
        case [[6, 0, ids]]:
            return list(ids)
        case [[5, 0, 0]]:
            return []
        case _:
            raise ValueError(f"{name}: an upsert takes a list of ids")


async def load(ask: Ask, rows: Sequence[Row]) -> dict[int, Verdict]:
    """A verdict for each row, by its place. Rows with other columns travel apart: an empty cell empties a field."""
    verdicts: dict[int, Verdict] = {}
    alike: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        alike.setdefault(row.columns, []).append(row)
    for columns, group in alike.items():
        verdicts |= await _load(ask, columns, group)
    return verdicts


async def _load(ask: Ask, columns: tuple[str, ...], rows: list[Row]) -> dict[int, Verdict]:
    # UTC: load reads times in the time zone of the key's owner
    arguments = {"fields": columns, "data": [row.cells for row in rows], "context": {"tz": "UTC"}}
    answer = await ask("load", arguments)
    if not isinstance(answer, Mapping):
        return {row.place: answer for row in rows}
    ids, messages = answer.get("ids"), answer.get("messages") or []
    if isinstance(ids, list) and len(ids) == len(rows):
        return {row.place: Delivered({"id": record}, str(record)) for row, record in zip(rows, ids, strict=True)}
    verdicts = {rows[number].place: verdict for number, verdict in _refused(messages, len(rows)).items()}
    rest = [row for row in rows if row.place not in verdicts]
    if len(rest) == len(rows):
        return await _halves(ask, columns, rows, messages)
    return verdicts | (await _load(ask, columns, rest) if rest else {})


async def _halves(ask: Ask, columns: tuple[str, ...], rows: list[Row], messages: Any) -> dict[int, Verdict]:
    """Refused, and no row named: the culprit is looked for."""
    if len(rows) == 1:
        return {rows[0].place: _verdict(str(messages)[:300])}
    middle = len(rows) // 2
    return await _load(ask, columns, rows[:middle]) | await _load(ask, columns, rows[middle:])


def _refused(messages: Sequence[Any], count: int) -> dict[int, Verdict]:
    """By the number of the row. A message without a number says only that there are more."""
    refused: dict[int, Verdict] = {}
    for one in messages:
        number = one.get("record") if isinstance(one, Mapping) and one.get("type") == "error" else None
        if isinstance(number, int) and 0 <= number < count:
            refused.setdefault(number, _verdict(str(one.get("message", ""))))
    return refused


def _verdict(words: str) -> Verdict:
    evidence = Evidence(200, words)
    if any(again in words for again in AGAIN):
        return Retry(words[:300], evidence=evidence)
    return Rejected(words[:300] or "Odoo does not load this row, and does not say why", evidence)
