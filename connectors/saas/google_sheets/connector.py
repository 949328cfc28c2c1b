"""Google Sheets: rows of one spreadsheet, by the names in a sheet's first row and the values of its key column."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from connectors.contract import Absent, CannotTell, Finding, Found, Page, Rejected, Verdict
from connectors.engine.manifest.read import Sync
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.plan import Plan
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.runner.source import Asking, Source
from connectors.engine.runner.written import Identified
from connectors.errors import BadConnection, UnknownFunction, Unreachable
from connectors.saas.google_sheets.book import Book
from connectors.saas.google_sheets.layout import Layout, spreadsheet_id
from connectors.saas.google_sheets.reading import page_of
from connectors.saas.google_sheets.rehearsal import answer
from connectors.saas.google_sheets.source import SheetSource
from connectors.saas.google_sheets.turn import EMPTY, key_of, turn
from topics.event.event import Event, Operation


class GoogleSheetsConnector(HttpConnector):
    """One spreadsheet; see ``connectors.contract.Connector``."""

    any_case = True

    def __init__(self, manifest: Any, settings: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        try:
            given = settings.get("spreadsheet_id")
            settings = settings if given is None else {**settings, "spreadsheet_id": spreadsheet_id(str(given))}
        except ValueError as error:
            raise BadConnection(f"a google_sheets connection: {error}") from error
        super().__init__(manifest, settings, *args, **kwargs)
        url = f"{self.sender.base.url}/v4/spreadsheets/{self.values['spreadsheet_id']}"
        self.book = Book(self.sender, self.asking, url)
        self._read_book = Book(self.sender, self.asking, url, paced=True)
        self._turns = asyncio.Lock()
        """Between the reading and the writing of a turn no other one may move the rows."""

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        title, plan = batch[0].object, self.plan(batch[0].object, batch[0].operation)
        async with self._turns:
            layout = await self.book.layout(title, _keys(batch, plan.unique))
            if not isinstance(layout, Layout):
                return [layout] * len(batch)
            made = turn(dict(enumerate(batch)), layout, plan.unique, formulas=bool(self.values["formulas"]))
            if made.requests:
                seconds = max((event.options.timeout_s or 0.0 for event in batch), default=0.0) or None
                assert plan.batch is not None  # every operation has one
                refused = await self.book.write(made.requests, plan.batch.rules, seconds)
                if refused is not None:
                    self.book.forget(title)
                    if isinstance(refused, Rejected) and len(made.done) > 1:
                        refused = replace(refused, whole=True)
                    made.done = dict.fromkeys(made.done, refused)
        verdicts = {**made.done, **made.settled}
        return [verdicts[place] for place in range(len(batch))]

    async def find(self, events: Sequence[Event]) -> list[Finding]:
        """Is there a row with this key? An add refuses a key that is there, so that the row is its own."""
        plan = self.plan(events[0].object, events[0].operation)
        layout = await self.book.layout(events[0].object, _keys(events, plan.unique))
        if isinstance(layout, Rejected):
            return [CannotTell(layout.reason)] * len(events)
        if not isinstance(layout, Layout):
            raise Unreachable(getattr(layout, "reason", "no answer"))
        return [_finding(event, layout, plan.unique) for event in events]

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        """``id``: the row with that key; ``searchfield`` and ``searchterm``: rows with that value; else: every row."""
        unique = self.compiler.unique(object_name)
        return await page_of(self._read_book, object_name, query, bookmark, unique=unique)

    def rehearsed(self, asked: Prepared, events: Sequence[Event]) -> Any:
        return answer(asked, events)

    def syncs(self) -> dict[str, Sync]:
        """The sheets that the setting ``refresh_sheets`` names."""
        sync = self.manifest.syncs()["any"]
        names = self.values["refresh_sheets"]
        return {one: sync for one in names if isinstance(one, str)} if isinstance(names, list) else {}

    def identified(self, name: str) -> Identified:
        """A row by the value in its key column: the number that it has changes with every row above it."""
        unique = self.compiler.unique(name)
        return super().identified(name) if unique is None else Identified(unique, unique, by_vendor_id=True)

    def source(self, object_name: str, pace: Pace | None = None) -> Source:
        specs = self.syncs()
        if object_name not in specs:
            known = ", ".join(specs) or "nothing"
            raise UnknownFunction(
                f"cannot refresh {object_name}: this connection reads {known}; "
                "the setting refresh_sheets names the sheets"
            )
        asking = Asking(self.sender, self.asking, pace or Pace(self.limits))
        static = {"settings": self.values, "object": {}}
        return SheetSource(object_name, specs[object_name], static, asking, url=self.book.url)

    def _adapted(self, plan: Plan) -> Plan:
        """An add can be looked for where there is a key."""
        new = plan.function.operation in {Operation.ADD, Operation.MESSAGE}
        return replace(plan, function=replace(plan.function, findable=new and plan.unique is not None))


def _keys(events: Sequence[Event], unique: str | None) -> frozenset[str]:
    """The columns by which these events' rows are found; who names none is refused later, by name."""
    names = set()
    for event in events:
        try:
            key = None if dict(event.fields) == EMPTY else key_of(event, unique)
        except ValueError:
            continue
        if key is not None:
            names.add(key[0])
    return frozenset(names)


def _finding(event: Event, layout: Layout, unique: str | None) -> Finding:
    try:
        key = key_of(event, unique)
        if key is None:
            return CannotTell(f"the sheet {event.object!r} has no key column: a second row would look like the first")
        layout.column(key[0])
        row = layout.row_of(*key)
    except ValueError as error:
        return CannotTell(str(error))
    return Absent() if row is None else Found({"row": row}, key[1])
