"""Rows read from a sheet by scripts, page by page or by a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.contract import Page
from connectors.errors import CallFailed
from connectors.saas.google_sheets.book import Book, failed
from connectors.saas.google_sheets.layout import (
    FIRST_ROW,
    HEADER_ROW,
    Layout,
    Sheet,
    header_of,
    key_text,
    record_of,
    rows_between,
)

TAKES: Final = frozenset({"id", "searchfield", "searchterm", "limit"})
PAGE: Final = 500
MOST_FOUND: Final = 100
"""Rows with one value that are read at once."""


async def page_of(
    book: Book, title: str, query: Mapping[str, Any], bookmark: str | None, *, unique: str | None
) -> Page:
    """Raises ``CallFailed``."""
    if unknown := sorted(set(query) - TAKES):
        raise CallFailed(f"this read does not take {', '.join(unknown)}; it takes {', '.join(sorted(TAKES))}")
    limit = query.get("limit", PAGE)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise CallFailed(f"limit is {limit!r}, not a number of rows from 1 on")
    field, term = query.get("searchfield"), query.get("searchterm")
    if query.get("id") is not None:
        field, term = unique, query["id"]
        if field is None:
            raise CallFailed(
                f'{title!r} has no key column: name it in the setting unique, as in {{"{title}": "email"}}'
            )
    if field is None:
        return await _listed(book, title, int(bookmark or FIRST_ROW), limit)
    if term is None:
        raise CallFailed(f"a search by {field} needs a searchterm")
    return await _found(book, title, str(field), key_text(term), min(limit, MOST_FOUND))


async def _found(book: Book, title: str, field: str, term: str, limit: int) -> Page:
    layout = await book.layout(title, frozenset({field}))
    if not isinstance(layout, Layout):
        raise failed(layout)
    try:
        layout.column(field)
    except ValueError as error:
        raise CallFailed(str(error)) from error
    rows = layout.rows_of(field, term)[:limit]
    if not rows:
        return Page([])
    answer = await book.values_of(layout.sheet, [rows_between(row, row) for row in rows])
    if not isinstance(answer, list):
        raise failed(answer)
    return Page([record_of(layout.header, one[0] if one else []) for one in answer])


async def _listed(book: Book, title: str, start: int, limit: int) -> Page:
    sheet = await book.sheet(title, anew=True)
    if not isinstance(sheet, Sheet):
        raise failed(sheet)
    if start > sheet.rows:
        return Page([])
    end = min(start + limit - 1, sheet.rows)
    answer = await book.values_of(sheet, [HEADER_ROW, rows_between(start, end)])
    if not isinstance(answer, list):
        raise failed(answer)
    header = header_of(answer[0][0] if answer[0] else [])
    records = [record_of(header, one) for one in answer[1] if any(value != "" for value in one)]
    return Page(records, str(end + 1) if end < sheet.rows else None)
