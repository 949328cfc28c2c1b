"""Looks at the destination: what a plan would send, beside what the records there really have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.contract import Connector
from worker.syncs.errors import SourceFailed
from worker.syncs.plan.file import Line
from worker.syncs.plan.target import Target
from worker.syncs.snapshot.compare import Change, Fields
from worker.syncs.source.ordering import Key


@dataclass
class Found:
    """``same``: records that have it all already. ``differing``: per key, field → (there, to be sent).

    ``absent``: the keys of records that are not there.
    """

    looked: int = 0
    same: int = 0
    differing: dict[Key, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    absent: list[Key] = field(default_factory=list)


def compared(target: Target, connector: Connector, lines: Iterable[Line], limit: int) -> Found:
    """The first ``limit`` changes of a plan, each with its record: one API call apiece.

    ``connector`` has the connection's secrets. Raises ``CallFailed`` with the vendor's words, and ``SourceFailed`` for
    records that cannot be looked for.
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
    try:
        for change in changes:
            found.looked += 1
            sent = target.fields(change)
            there = await _record(target, connector, change, sent)
            if there is None:
                found.absent.append(change.key)
                continue
            differing = {
                name: (there.get(name), value) for name, value in sent.items() if _text(there.get(name)) != _text(value)
            }
            if differing:
                found.differing[change.key] = differing
            else:
                found.same += 1
    finally:
        await connector.close()
    return found


async def _record(target: Target, connector: Connector, change: Change, sent: Fields) -> Fields | None:
    """The record's fields, or None when it is not there."""
    told = target.always[change.kind]
    by = "id" if "id" in sent else next(iter(told), None)
    if by is None:
        raise SourceFailed(f"sync {target.sync.name}: no field of its events tells a record, so none can be looked for")
    query: dict[str, Any] = {"properties": list(sent)}
    query |= {"id": sent["id"]} if by == "id" else {"searchfield": by, "searchterm": sent[by]}
    page = await connector.read(target.sync.object, query)
    return _flat(page.detail[0]) if page.detail else None


def _flat(record: Mapping[str, Any]) -> Fields:
    """A vendor's record with the fields on its first level: HubSpot and others have them one level down."""
    inner = [value for name, value in record.items() if name in {"properties", "fields", "attributes"}]
    return {**record, **(inner[0] if inner and isinstance(inner[0], dict) else {})}


def _text(value: Any) -> str:
    """As vendors write it back: HubSpot has texts for everything, and nothing for an empty field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
