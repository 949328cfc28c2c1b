"""A sheet for the warehouse: every column as text, for a column of a sheet may hold anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Final

from connectors.engine.manifest.read import ColumnType, Sync
from connectors.engine.runner.calls import Prepared, compile_call
from connectors.engine.runner.source import Asking, Kind, Row, Source, SourcePage
from connectors.engine.template.template import Static
from connectors.engine.template.text import as_text
from connectors.errors import CallFailed
from connectors.saas.google_sheets.book import sheets_of, sheets_url, values_in, values_url
from connectors.saas.google_sheets.layout import FIRST_ROW, HEADER, Sheet, header_of, record_of

PAGE: Final = 5_000
"""Rows of a call."""


class SheetSource(Source):
    def __init__(self, name: str, spec: Sync, static: Static, asking: Asking, *, url: str) -> None:
        super().__init__(name, spec, static, asking)
        self._url = url
        base = asking.sender.base
        self._values_call = compile_call(spec.all, base, static)
        sheets = spec.all.model_copy(update={"succeeds_when": "type(sheets) == 'array'"})
        self._sheets_call = compile_call(sheets, base, static)

    async def properties(self) -> dict[str, ColumnType]:
        (header,) = await self._values([(await self._sheet()).at(HEADER)])
        return dict.fromkeys(record_of(header_of(header[0] if header else []), []), "text")

    async def pages(
        self,
        kind: Kind,  # noqa: ARG002 - there is one
        names: Sequence[str],  # noqa: ARG002 - those of the first row, page by page
        *,
        since: datetime | None = None,  # noqa: ARG002
        bookmark: str | None = None,
    ) -> AsyncIterator[SourcePage]:
        """Every row that holds anything, with its number. Raises ``CallFailed``, ``Unreachable``."""
        sheet = await self._sheet()
        start = int(bookmark or FIRST_ROW)
        while start <= sheet.rows:
            end = min(start + PAGE - 1, sheet.rows)
            first, values = await self._values([sheet.at(HEADER), sheet.at(f"{start}:{end}")])
            header = header_of(first[0] if first else [])
            found = [(number, one) for number, one in enumerate(values, start) if any(value != "" for value in one)]
            start = end + 1
            rows = [_row(number, header, one) for number, one in found]
            yield SourcePage(rows, bookmark=str(start) if start <= sheet.rows else None)

    async def _sheet(self) -> Sheet:
        """Raises ``CallFailed``."""
        prepared = Prepared("GET", sheets_url(self._url), dict(self._asking.sender.base.headers), None)
        _, body = await self._asking.ask(prepared, self._sheets_call, f"reading the sheets for {self.name}")
        sheets = sheets_of(body)
        found = next((one for one in sheets if one.title == self.name), None)
        if found is None:
            there = ", ".join(one.title for one in sheets)
            raise CallFailed(f"the spreadsheet has no sheet {self.name!r}; there are {there}")
        return found

    async def _values(self, ranges: Sequence[str]) -> list[list[list[Any]]]:
        prepared = Prepared("GET", values_url(self._url, ranges), dict(self._asking.sender.base.headers), None)
        _, body = await self._asking.ask(prepared, self._values_call, f"reading the sheet {self.name}")
        return values_in(body)


def _row(number: int, header: Sequence[str], values: Sequence[Any]) -> Row:
    record = record_of(header, values)
    return {"row_number": number, **{name: None if one is None else as_text(one) for name, one in record.items()}}
