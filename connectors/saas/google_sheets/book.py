"""One spreadsheet over the wire: where things are in its sheets, what is in them, and the writing of a turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from connectors.contract import Rejected, Retry, Verdict
from connectors.engine.runner import question
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import Expected, compile_says
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules
from connectors.errors import CallFailed
from connectors.saas.google_sheets.layout import (
    HEADER_ROW,
    Area,
    Layout,
    Sheet,
    columns_of,
    header_of,
    title_in,
    whole_column,
)
from topics.event import exact_json

SHEETS: Final = "sheets.properties(sheetId,title,gridProperties(rowCount,columnCount))"
TRIES: Final = 4
RENAMED: Final = Retry("the sheet has got another name while it was read")
_RENDER: Final = (("valueRenderOption", "UNFORMATTED_VALUE"), ("dateTimeRenderOption", "FORMATTED_STRING"))
_DONE: Final = Expected(says=compile_says(["spreadsheetId", "type(replies) == 'array'"]))
_VALUES: Final = Expected(says=compile_says(["type(valueRanges) == 'array'"]))
_SHEETS: Final = Expected(says=compile_says(["type(sheets) == 'array'"]))


class Book:
    """``rules``: those of calls that only ask. ``paced``: it is read at the connection's pace, for a script.

    A turn writes to a sheet by its number, so its rows are read by that number too: a name may go to another sheet.
    """

    def __init__(self, sender: Sender, rules: Rules, url: str, *, paced: bool = False) -> None:
        self.url = url
        self._sender = sender
        self._rules = rules
        self._paced = paced
        self._sheets: dict[str, Sheet] = {}
        self._headers: dict[str, tuple[str, ...]] = {}

    async def sheet(self, title: str, *, anew: bool = False) -> Sheet | Verdict:
        """Its number and its size."""
        if anew or title not in self._sheets:
            answer = await self._ask("GET", sheets_url(self.url), _SHEETS, self._rules)
            if not isinstance(answer, dict):
                return answer  # type: ignore[no-any-return]  # a verdict
            self._sheets = {one.title: one for one in sheets_of(answer)}
        known = self._sheets.get(title)
        if known is None:
            there = ", ".join(self._sheets) or "none"
            return Rejected(f"the spreadsheet has no sheet {title!r}; there are {there}")
        return known

    async def layout(self, title: str, keys: frozenset[str]) -> Layout | Verdict:
        """The first row as it is now, and what is in the key columns: one call, when the first row is as it was."""
        refused: Verdict = Retry(f"the first row of {title!r} changed while it was read, {TRIES} times")
        for _ in range(TRIES):
            sheet = await self.sheet(title)
            if not isinstance(sheet, Sheet):
                return sheet
            known = self._headers.get(title, ())
            columns = columns_of(known, keys)
            answer = await self.values_of(sheet, [HEADER_ROW, *map(whole_column, columns.values())])
            if not isinstance(answer, list):
                self.forget(title)
                if answer is not RENAMED and not isinstance(answer, Rejected):
                    return answer
                refused = answer  # what was known of it may be old: it is looked for once more
                continue
            self._headers[title] = header = header_of(answer[0][0] if answer[0] else [])
            if not keys or header == known:
                found = [[one[0] if one else None for one in column] for column in answer[1:]]
                return Layout(sheet, header, dict(zip(columns, found, strict=True)))
        return refused

    async def values_of(self, sheet: Sheet, areas: Sequence[Area]) -> list[list[list[Any]]] | Verdict:
        """Of each area its rows; rows and cells that are empty at the end are left out.

        ``RENAMED``, where the sheet of this number has no longer this title.
        """
        filters = [{"gridRange": {"sheetId": sheet.number, **area}} for area in areas]
        body = exact_json.dumps({"dataFilters": filters, **dict(_RENDER)})
        answer = await self._ask("POST", f"{self.url}/values:batchGetByDataFilter", _VALUES, self._rules, body)
        if not isinstance(answer, dict):
            return answer  # type: ignore[no-any-return]  # a verdict
        places = [one["valueRange"]["range"] for one in answer["valueRanges"]]
        if any(title_in(place) != sheet.title for place in places):
            return RENAMED
        found = _of_areas(answer["valueRanges"], areas)
        if found is None:
            return Retry(f"{len(areas)} ranges were asked for, and the answer has others: {places}")
        return [one.get("values") or [] for one in found]

    async def write(self, requests: Sequence[Mapping[str, Any]], rules: Rules, seconds: float | None) -> Verdict | None:
        """All of the requests or none; None: they are carried out."""
        body = exact_json.dumps({"requests": list(requests)})
        answer = await self._ask("POST", f"{self.url}:batchUpdate", _DONE, rules, body, seconds)
        return None if isinstance(answer, dict) else answer

    def forget(self, title: str) -> None:
        """What was known of a sheet may no longer be so."""
        self._headers.pop(title, None)
        self._sheets.pop(title, None)

    async def _ask(  # noqa: PLR0917 - a call and what is expected of it
        self,
        method: str,
        url: str,
        expected: Expected,
        rules: Rules,
        body: bytes | None = None,
        seconds: float | None = None,
    ) -> Any:
        """The body of an answer, or the verdict that stands in its way. Raises ``CallFailed`` where it is paced."""
        prepared = Prepared(method, url, dict(self._sender.base.headers), body)
        return await question.ask(self._sender, prepared, rules, expected, seconds=seconds, paced=self._paced)


def _of_areas(matched: Sequence[Mapping[str, Any]], areas: Sequence[Area]) -> list[Mapping[str, Any]] | None:
    """Of each area its range: the answer says which filters a range matched, one or several, and promises no order."""
    known = {
        _told(one.get("gridRange") or {}): each["valueRange"]
        for each in matched
        for one in each.get("dataFilters") or ()
    }
    found = [known[_told(area)] for area in areas if _told(area) in known]
    return found if len(found) == len(areas) else None


def _told(area: Mapping[str, int]) -> frozenset[tuple[str, int]]:
    """Without the zeros, which may be left out."""
    return frozenset((name, at) for name, at in area.items() if at and name != "sheetId")


def failed(verdict: Verdict) -> CallFailed:
    """The error of a read that met this verdict."""
    evidence = getattr(verdict, "evidence", None)
    status, excerpt = (None, "") if evidence is None else (evidence.status, evidence.excerpt)
    return CallFailed(getattr(verdict, "reason", "no answer"), status=status, excerpt=excerpt)


def sheets_url(url: str) -> str:
    return f"{url}?{urlencode({'fields': SHEETS})}"


def sheets_of(answer: Mapping[str, Any]) -> list[Sheet]:
    """Every sheet of a spreadsheet, with its size."""
    found = []
    for properties in (one["properties"] for one in answer["sheets"]):
        grid = properties.get("gridProperties") or {}
        size = (grid.get("rowCount", 0), grid.get("columnCount", 0))
        found.append(Sheet(properties["title"], properties.get("sheetId", 0), *size))
    return found


def values_url(url: str, ranges: Sequence[str]) -> str:
    """Numbers as numbers, times as the sheet shows them."""
    return f"{url}/values:batchGet?{urlencode([*(('ranges', one) for one in ranges), *_RENDER])}"


def values_in(answer: Mapping[str, Any]) -> list[list[list[Any]]]:
    return [one.get("values") or [] for one in answer["valueRanges"]]
