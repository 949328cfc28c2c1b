"""Compares a plan with the destination: what would be sent, and what the records there have now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors import capabilities
from connectors.capabilities import SEARCH
from connectors.contract import Connector
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.template.text import spelled
from connectors.engine.written_back import same
from connectors.errors import UnknownFunction
from topics.event.event import Operation
from worker.syncs.errors import SourceFailed
from worker.syncs.plan.file import Line
from worker.syncs.plan.target import Target
from worker.syncs.snapshot.compare import Change, Fields
from worker.syncs.source.ordering import Key


@dataclass
class Found:
    """What the destination has of a plan's changes.

    ``same``: the number of records that have all values already. ``differing``: by key, field → (value there, value
    to be sent). ``absent``: the keys of records that do not exist there.
    """

    looked: int = 0
    same: int = 0
    differing: dict[Key, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    absent: list[Key] = field(default_factory=list)


def compared(target: Target, connector: Connector, lines: Iterable[Line], limit: int) -> Found:
    """Compare the first ``limit`` changes of a plan with their records. Each costs one API call.

    ``connector`` has the connection's secrets. Raises ``CallFailed`` with the vendor's words, and ``SourceFailed`` for
    records that cannot be looked up.
    """
    return asyncio.run(_compared(target, connector, _first(target, lines, limit)))


def _first(target: Target, lines: Iterable[Line], limit: int) -> Iterator[Change]:
    for line in lines:
        for change in line.changes:
            if change.kind in target.functions:
                if limit <= 0:
                    return
                limit -= 1
                yield change


async def _compared(target: Target, connector: Connector, changes: Iterable[Change]) -> Found:
    found = Found()
    look = Look(target, connector)
    try:
        for change in changes:
            found.looked += 1
            differing = await look.differing(change)
            if look.removes(change):  # a record that should go and is not there is as the sync wants it
                differing = {} if differing is None else {"record": ("there", "removed")}
            if differing is None:
                found.absent.append(change.key)
            elif differing:
                found.differing[change.key] = differing
            else:
                found.same += 1
    finally:
        await connector.close()
    return found


class Look:
    """Reads records of one kind, each by its id or a unique field.

    Raises ``SourceFailed`` where the connector cannot look records up.
    """

    def __init__(self, target: Target, connector: Connector) -> None:
        self._target = target
        self._connector = connector
        self._any_case = isinstance(connector, HttpConnector) and connector.any_case
        self._reading = capabilities.reading(target.connection, target.sync.object)
        if not self._reading.kinds:
            raise self._failed(f"{target.connection.connector} has no get, list or findone of {target.sync.object}")

    def removes(self, change: Change) -> bool:
        return self._target.functions[change.kind].operation is Operation.DELETE

    async def differing(self, change: Change) -> dict[str, tuple[Any, Any]] | None:
        """Field → (value there, value to be sent), for those that differ; None when there is no such record."""
        given = self._target.fields(change)
        query = self._query(change, given)
        sent = {name: one for name, one in self._named(change, given).items() if name not in {*query.values(), *query}}
        if self._reading.selects is not None:
            query[self._reading.selects] = list(sent)
        try:
            page = await self._connector.read(self._target.sync.object, query)
        except UnknownFunction as error:
            raise self._failed(str(error)) from error
        if not page.detail:
            return None
        there = _flat(page.detail[0])
        found = {name: (self._of(there, name), one) for name, one in sent.items()}
        return {name: pair for name, pair in found.items() if not same(pair[1], pair[0], adds_members=True)}

    def _named(self, change: Change, fields: Fields) -> Fields:
        """The fields under the vendor's names."""
        if isinstance(self._connector, HttpConnector):
            operation = self._target.functions[change.kind].operation
            fields = dict(self._connector.named(self._target.sync.object, operation, fields))
        return {name: value for name, value in fields.items() if name not in SEARCH}

    def _query(self, change: Change, given: Fields) -> dict[str, Any]:
        """What finds the record: its id, the event's own search fields, a unique field, or else the sync's key."""
        if given.get("id") is not None:
            return {"id": given["id"]}
        if given.keys() >= SEARCH:
            return {name: given[name] for name in sorted(SEARCH)}
        target, operation = self._target, self._target.functions[change.kind].operation
        unique = capabilities.identity(target.connection, target.sync.object, operation).name
        told = {name: value for name in target.always[change.kind] if (value := given.get(name)) is not None}
        if unique is not None and (value := self._of(given, unique)) is not None:
            told = {unique: value}
        named = self._named(change, told)
        if not named:
            raise SourceFailed(
                f"sync {target.sync.name}: no field of its events tells a record, so none can be looked for"
            )
        if not isinstance(self._connector, HttpConnector):
            return dict(named)  # the row of a SQL table is found by all columns of its key
        return dict(zip(("searchfield", "searchterm"), next(iter(named.items())), strict=True))

    def _of(self, fields: Fields, name: str) -> Any:
        return (spelled(fields, name) if self._any_case else fields).get(name)

    def _failed(self, reason: str) -> SourceFailed:
        name = self._target.connection.name
        return SourceFailed(f"{name} cannot be looked at (--against-destination): {reason}")


def _flat(record: Mapping[str, Any]) -> Fields:
    """A vendor's record with its fields on the first level; HubSpot and others nest them in a member."""
    inner = [value for name, value in record.items() if name in {"properties", "fields", "attributes"}]
    return {**record, **(inner[0] if inner and isinstance(inner[0], dict) else {})}
