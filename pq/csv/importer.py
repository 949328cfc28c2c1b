"""Sends an event for each row of a file, pipelined; knows at any moment up to which line the log has everything."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from uuid_utils import UUID, uuid5

from pq._channel import Channel
from pq.csv.fields import Fields
from pq.csv.rejects import Rejects
from pq.csv.rows import Row
from pq.errors import BadField
from pq.receipt import Receipt
from topics.errors import LogError, RecordRefused, WritebackError
from topics.event import exact_json
from topics.event.event import Operation
from topics.log import Position

NAMESPACE = UUID("6f0b7a52-8f1e-5b0e-9d0a-2f6a55d3f1c4")


class ImportStopped(WritebackError):
    """The log did not take a line; the message says from which line to go on."""


@dataclass(frozen=True, slots=True)
class Target:
    """What every row becomes. ``run`` makes the ids of one run of the same file unlike those of another."""

    channel: Channel
    operation: Operation
    object: str
    run: str = ""

    def event_id(self, line: int, key: str | None, fields: dict[str, Any]) -> str:
        """The same when the same line sends the same, whatever the file is called, however often it is sent.

        So a second run after a crash is recognised as the same events: by the vendors that take an idempotency key, in
        the ledger and among the dead letters. A corrected row, mapping or type is another event.
        """
        told = [self.run, self.channel.connection.slug, self.operation, self.object, str(line), key or ""]
        return str(uuid5(NAMESPACE, "\x1f".join([*told, exact_json.dumps(fields).decode()])))


class Sample(NamedTuple):
    """A row as it would be sent."""

    line: int
    id: str
    key: str | None
    fields: dict[str, Any]


class CsvImport:
    """``sent``: events that the log has; ``receipts``: theirs, where outcomes are wanted.

    ``next_line``: what comes before it needs no second import, whatever happens next.
    """

    def __init__(self, target: Target, fields: Fields, rejects: Rejects, reject: Callable[[Row, str], None]) -> None:
        self._target = target
        self._fields = fields
        self._rejects = rejects
        self._on_reject = reject
        self._unconfirmed: deque[tuple[Row, Future[Position]]] = deque()
        self._behind = 0
        self.sent = 0
        self.receipts: deque[Receipt] = deque()

    def samples(self, rows: Iterable[Row]) -> Iterator[Sample]:
        """What would be sent; rejects are told all the same."""
        target = self._target
        for row in rows:
            fields = self._fields_of(row)
            if fields is None:
                continue
            try:
                key = self._key(fields)
                target.channel.check(target.operation, target.object, fields, key=key)
            except (BadField, RecordRefused) as error:
                self._reject(row, str(error))
            else:
                yield Sample(row.line, target.event_id(row.line, key, fields), key, fields)

    def send(self, rows: Iterable[Row], *, wait: bool) -> Iterator[int]:
        """Send them, and yield each line as it is left behind. Raises ``ImportStopped``."""
        for row in rows:
            fields = self._fields_of(row)
            if fields is not None:
                self._send(row, fields, wait=wait)
            self._behind = row.line + 1
            self._confirm(wait=False)
            yield row.line

    def finish(self) -> None:
        """Wait until the log has what was sent. Raises ``ImportStopped``."""
        self._confirm(wait=True)

    def stopped(self) -> None:
        """Nothing more is sent: count what the log has of what was handed to it, without waiting."""
        self.sent += sum(sent.done() and sent.exception() is None for _, sent in self._unconfirmed)

    @property
    def next_line(self) -> int:
        return self._unconfirmed[0][0].line if self._unconfirmed else self._behind

    def _send(self, row: Row, fields: dict[str, Any], *, wait: bool) -> None:
        target = self._target
        send = target.channel.write if wait else target.channel.send
        try:
            key = self._key(fields)
            event_id = target.event_id(row.line, key, fields)
            sent = send(target.operation, target.object, fields, event_id=event_id, key=key, backfill=True)
        except (BadField, RecordRefused) as error:
            self._reject(row, str(error))
        except LogError as error:
            self._behind = row.line
            raise self._stop(row, error) from error
        else:
            self._unconfirmed.append((row, sent.sent if isinstance(sent, Receipt) else sent))
            if isinstance(sent, Receipt):
                self.receipts.append(sent)

    def _fields_of(self, row: Row) -> dict[str, Any] | None:
        if row.reason:
            self._reject(row, row.reason)
            return None
        try:
            return self._fields.of(row.cells)
        except ValueError as error:
            self._reject(row, str(error))
            return None

    def _key(self, fields: dict[str, Any]) -> str | None:
        """The connector's, so that events about one record are in one order whoever sends them; else the column's."""
        key = self._target.channel.key(self._target.operation, self._target.object, fields)
        return str(fields[self._fields.key]) if key is None and self._fields.key is not None else key

    def _reject(self, row: Row, reason: str) -> None:
        self._rejects.add(row, reason)
        self._on_reject(row, reason)

    def _confirm(self, *, wait: bool) -> None:
        while self._unconfirmed and (wait or self._unconfirmed[0][1].done()):
            row, sent = self._unconfirmed[0]
            try:
                sent.result()
            except RecordRefused as error:
                self._reject(row, str(error))
            except LogError as error:
                raise self._stop(row, error) from error
            else:
                self.sent += 1
            self._unconfirmed.popleft()

    @staticmethod
    def _stop(row: Row, error: LogError) -> ImportStopped:
        return ImportStopped(f"line {row.line} was not taken by the log: {error}")
