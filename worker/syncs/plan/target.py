"""The destination of a sync: what each change of a row becomes there, as an event."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any
from uuid import UUID

from connectors.connections.store import Connection
from connectors.contract import Connector, Function
from topics.event import exact_json
from topics.event.codec import Encoded, Stamp
from topics.event.event import Operation, Options, now_text
from topics.names import MAX_EVENT_BYTES
from worker.syncs.definition.model import Sync
from worker.syncs.errors import BadSync
from worker.syncs.snapshot.compare import Change, Fields, Kind
from worker.syncs.source.shape import Shape

MAX_KEY = 1_024
ROOM = 16_384
"""Bytes that a key and headers never reach: the whole record is measured only when its value leaves less than this."""
BACKFILL = Options(backfill=True)
"""Live events go before the events of a sync."""


class Unsendable(ValueError):
    """No event can be made of this change; the message says why."""


@dataclass(frozen=True)
class Target:
    """``functions``: the operation that each kind of change becomes.

    ``always``: by kind, the fields that its events carry besides those that changed: those of the key, and those that
    the vendor requires.
    """

    sync: Sync
    connection: Connection
    connector: Connector
    functions: Mapping[Kind, Function]
    always: Mapping[Kind, tuple[str, ...]]

    def event(self, run: str, change: Change) -> tuple[str, Encoded]:
        """The event's id and its record. Raises ``Unsendable``.

        The id is a digest of the run and the content, so a change that is sent again after a crash is the same event.
        """
        fields = self.fields(change)
        function = self.functions[change.kind]
        key = self._key(change, fields)
        if not 0 < len(key) <= MAX_KEY:
            raise Unsendable(f"the key has {len(key):,} characters; it has 1 to {MAX_KEY:,}")
        try:
            value = exact_json.dumps(fields)
            if len(value) > exact_json.MAX_DIGITS:  # may have an integer that is too long for a worker to read
                exact_json.check(fields)
            identifier = _identifier(
                f"{self.sync.name}\0{run}\0{function.operation}\0{change.key!r}\0".encode() + value
            )
            encoded = self._stamps[change.kind].seal(identifier, now_text(), key, value)
        except ValueError as error:
            raise Unsendable(str(error)) from error
        if len(value) > MAX_EVENT_BYTES - ROOM:
            size = len(encoded.key) + len(value) + sum(len(name) + len(text or b"") for name, text in encoded.headers)
            if size > MAX_EVENT_BYTES:
                raise Unsendable(f"the event has {size:,} bytes; it may have {MAX_EVENT_BYTES:,}")
        return identifier, encoded

    def key(self, change: Change) -> str:
        """The event's ordering key: it names the destination's record, whose events keep their order."""
        return self._key(change, self.fields(change))

    def _key(self, change: Change, fields: Fields) -> str:
        function = self.functions[change.kind]
        return self.connector.record_key(function.object, function.operation, fields) or _joined(change)

    def fields(self, change: Change) -> Fields:
        """The event's fields: those that changed, or, for a removed row, those that identify the record."""
        if change.kind == "removed":
            put = self.sync.removed if isinstance(self.sync.removed, dict) else {}
            return {**self._told(change), **put}
        whole = self.functions[change.kind].operation is Operation.MESSAGE
        if change.names is None or change.kind != "changed" or whole:
            return change.row
        return {**self._told(change), **{name: change.row[name] for name in change.names}}

    def _told(self, change: Change) -> Fields:
        return {name: change.row[name] for name in self.always[change.kind] if name in change.row}

    @cached_property
    def _stamps(self) -> dict[Kind, Stamp]:
        slug, source = self.connection.slug, self.sync.source
        return {kind: Stamp(one.operation, slug, one.object, source, BACKFILL) for kind, one in self.functions.items()}


def target_of(sync: Sync, shape: Shape, connection: Connection, connector: Connector) -> Target:
    """Checks that the connection has what the sync asks for. Raises ``UnknownFunction`` and ``BadSync``."""
    from connectors.capabilities import lacking  # noqa: PLC0415 - the catalogue, for a check

    functions = {kind: connector.function(sync.object, operation) for kind, operation in _operations(sync).items()}
    sent = list(dict.fromkeys([*shape.fields, *shape.constants]))
    always: dict[Kind, tuple[str, ...]] = {}
    for kind, function in functions.items():
        put = sync.removed if kind == "removed" and isinstance(sync.removed, dict) else {}

        def lacks(names: Collection[str], operation: Operation = function.operation) -> str | None:
            return lacking(connection, sync.object, operation, names)

        if reason := lacks({*sent, *put}):
            raise BadSync(
                f"sync {sync.name}, connection {connection.name}: {reason}; the rows become "
                f"{', '.join(sorted(sent)) or 'nothing'}. Add the column to map"
                + (", or set a field instead: removed: {field: value}" if kind == "removed" else "")
            )
        needed = [name for name in sent if lacks({*sent, *put} - {name})]
        always[kind] = tuple(dict.fromkeys([*shape.key_fields, *needed]))
    return Target(sync, connection, connector, functions, always)


def _operations(sync: Sync) -> dict[Kind, Operation]:
    if sync.mode == "full":
        return {"full": sync.operation}
    changed = Operation.UPDATE if sync.operation is Operation.ADD else sync.operation
    made: dict[Kind, Operation] = {"added": sync.operation, "changed": changed}
    if sync.mode == "mirror":
        gone = Operation.DELETE if sync.removed == "delete" else changed
        made["removed"] = gone
    return made


def _joined(change: Change) -> str:
    parts: tuple[Any, ...] = change.key if isinstance(change.key, tuple) else (change.key,)
    return "/".join(str(part) for part in parts)


def _identifier(told: bytes) -> str:
    """A UUID of version 8, the one for ids that are made of a digest (RFC 9562)."""
    number = int.from_bytes(blake2b(told, digest_size=16).digest())
    number = number & ~(0xF << 76) | (0x8 << 76)
    number = number & ~(0x3 << 62) | (0x2 << 62)
    return str(UUID(int=number))
