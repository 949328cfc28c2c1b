"""One connection, as this process writes to it and reads from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol

from pydantic_core import to_json

from connectors import capabilities
from connectors.capabilities import Identity
from connectors.connections.store import Connection
from connectors.contract import Connector
from connectors.errors import UnknownFunction
from pq._inbox import Inbox
from pq._values import to_json_fields
from pq.errors import BadField
from pq.receipt import LONGEST_WAIT_S, SHORT_WAIT_S, Receipt
from topics.errors import RecordRefused, WritebackError
from topics.event import exact_json
from topics.event.codec import Encoded, Stamp
from topics.event.event import Operation, Options, new_id, now_text
from topics.event.exact_json import MAX_DIGITS
from topics.event.refresh import OwnWrites
from topics.log import Position, Producer
from topics.names import MAX_EVENT_BYTES

IMPATIENCE_S = 5.0
"""After this long a script that waits is told on stderr what it waits for."""
MAX_KEY = 1_024


class _Kind(NamedTuple):
    """What all writes with the same function and the same waiting time have in common."""

    operation: Operation
    object: str
    patience_s: float
    stamp: Stamp
    identity: Identity


class Process(Protocol):
    """What a channel needs of the session it belongs to, which all channels of a process share."""

    source: str
    inbox: Inbox
    producer: Producer

    def ask(self, connection: Connection, question: Callable[[Connector], Coroutine[Any, Any, Any]]) -> Any: ...

    def why_pending(self, connection_id: int, sent: Future[Position]) -> str: ...

    def say(self, message: str, *values: object) -> None: ...

    def not_sent(self, error: BaseException) -> None: ...


class Channel:
    """Thread-safe. ``write`` is what a loop over a million rows calls: nothing in it asks the network."""

    def __init__(self, session: Process, connection: Connection, connector: Connector, topic: str) -> None:
        self.connection = connection
        self._session = session
        self._connector = connector
        self.topic = topic
        self._kinds: dict[tuple[Operation, str, bool, bool | float, bool, bool], _Kind] = {}
        self._own: dict[int, tuple[int, int]] = {}
        self._noting = threading.Lock()

    def write(
        self,
        operation: Operation,
        object_name: str,
        fields: dict[str, Any],
        *,
        timeout: bool | float = False,
        searchfield: str | None = None,
        event_id: str | None = None,
        key: str | None = None,
        backfill: bool = False,
    ) -> Receipt:
        """Hand an event to the log and return at once. ``searchfield``: the one of its fields that finds the record.

        Raises ``UnknownFunction``, ``BadField``, ``RecordRefused`` (larger than an event may be), so that a script's
        own mistake is raised at the line that made it.
        """
        kind = self._kind(operation, object_name, timeout, backfill, reply=True)
        if searchfield is not None and kind.identity.by_unique and searchfield != kind.identity.name:
            fields = {**fields, "searchfield": searchfield, "searchterm": fields[searchfield]}
        receipt = Receipt(event_id or new_id(), self, kind.patience_s)
        record_key, value, headers = self._record(kind, receipt.id, key, fields)
        inbox = self._session.inbox
        inbox.expect(receipt)
        try:
            sent = self._session.producer.send(self.topic, key=record_key, value=value, headers=headers)
        except BaseException:
            inbox.forget(receipt)
            raise
        receipt.track(sent)
        return receipt

    def key(self, operation: Operation, object_name: str, fields: Mapping[str, Any]) -> str | None:
        """The ordering key that the connector gives such an event."""
        return self._connector.record_key(object_name, self._operation(operation, object_name), fields)

    def send(
        self,
        operation: Operation,
        object_name: str,
        fields: dict[str, Any],
        *,
        event_id: str,
        key: str | None = None,
        timeout: bool | float = False,
        backfill: bool = False,
        reply: bool = False,
    ) -> Future[Position]:
        """The same without a receipt, for a caller that has its own ids or keys.

        ``key``: None takes the connector's. ``backfill``: live events go first. ``reply``: the outcome is sent to this
        process's inbox.
        """
        kind = self._kind(operation, object_name, timeout, backfill, reply=reply)
        record_key, value, headers = self._record(kind, event_id, key, fields)
        return self._session.producer.send(self.topic, key=record_key, value=value, headers=headers)

    def check(self, operation: Operation, object_name: str, fields: dict[str, Any], *, key: str | None = None) -> None:
        """Raises what ``send`` would raise for this event, and sends nothing."""
        kind = self._kind(operation, object_name, timeout=False, backfill=True, reply=False)
        record_key, value, headers = self._record(kind, new_id(), key, fields)
        size = len(record_key) + len(value) + sum(len(name) + len(text or b"") for name, text in headers)
        if size > MAX_EVENT_BYTES:
            raise RecordRefused(f"the event has {size:,} bytes; it may have {MAX_EVENT_BYTES:,}")

    def function(self, operation: Operation, object_name: str) -> None:
        """Raises ``UnknownFunction`` when the connector does not have it."""
        self._operation(operation, object_name)

    def lacking(self, operation: Operation, object_name: str, sent: Collection[str]) -> str | None:
        """Why no event with these fields can be delivered, or None."""
        return capabilities.lacking(self.connection, object_name, self._operation(operation, object_name), sent)

    def _record(self, kind: _Kind, event_id: str, key: str | None, fields: dict[str, Any]) -> Encoded:
        found_by = kind.identity
        if found_by.by_unique and found_by.name is None and not {"searchfield", found_by.instead} & fields.keys():
            raise BadField(capabilities.no_unique(self.connection, kind.object, kind.operation))
        sendable = to_json_fields(fields)
        if key is None:
            key = self._connector.record_key(kind.object, kind.operation, sendable)
        if key is not None and not 0 < len(key) <= MAX_KEY:
            raise BadField(f"the key of this {kind.object} has {len(key)} characters; it has 1 to {MAX_KEY}")
        if (refused := self._connector.refuses(kind.object, kind.operation, sendable)) is not None:
            raise BadField(f"this {kind.object} cannot be sent: {refused}")
        try:
            value = to_json(sendable) if sendable is fields else exact_json.dumps(sendable)
            if len(value) > MAX_DIGITS:  # long enough for an integer that no worker reads
                exact_json.check(sendable)
            return kind.stamp.seal(event_id, now_text(), key, value)
        except ValueError as error:  # half a surrogate pair, a NUL in the key
            raise BadField(f"this {kind.object} cannot be sent: {_reason(sendable, error)}") from error

    def _kind(
        self, operation: Operation, object_name: str, timeout: bool | float, backfill: bool, *, reply: bool
    ) -> _Kind:
        which = (operation, object_name, timeout is True, timeout, backfill, reply)  # True and 1 are the same to a dict
        return self._kinds.get(which) or self._kinds.setdefault(
            which, self._new_kind(*which[:2], timeout, backfill, reply=reply)
        )

    def _new_kind(
        self, operation: Operation, object_name: str, timeout: bool | float, backfill: bool, *, reply: bool
    ) -> _Kind:
        actual = self._operation(operation, object_name)
        patience_s = _patience(timeout)
        options = Options(
            short=timeout is True,
            timeout_s=None if isinstance(timeout, bool) else min(patience_s, 3_600.0),
            backfill=backfill,
            reply_to=self._session.inbox.partition if reply else None,
        )
        stamp = Stamp(actual, self.connection.slug, object_name, self._session.source, options)
        found_by = capabilities.identity(self.connection, object_name, actual)
        return _Kind(actual, object_name, patience_s, stamp, found_by)

    def _operation(self, operation: Operation, object_name: str) -> Operation:
        """For the object ``message``, ``add`` and ``message`` are the same: the one of them that the connector has."""
        if object_name == "message" and operation in {Operation.ADD, Operation.MESSAGE}:
            try:
                return self._connector.function(object_name, Operation.MESSAGE).operation
            except UnknownFunction:
                operation = Operation.ADD
        return self._connector.function(object_name, operation).operation

    def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None) -> Any:
        """A page, straight from the vendor."""
        return self._session.ask(self.connection, lambda connector: connector.read(object_name, query, bookmark))

    def call(self, path: str, **request: Any) -> Any:
        return self._session.ask(self.connection, lambda connector: connector.call(path, **request))

    def settle_writes(self, seconds: float) -> bool:
        """Wait for the outcomes of this process's own writes on this connection; whether all have come."""
        mine = [receipt for receipt in self._session.inbox.unanswered() if receipt.belongs_to(self)]

        def done() -> bool:
            while mine and mine[-1].done:
                mine.pop()
            return not mine

        return self._session.inbox.wait(done, seconds)

    def wait_for(self, receipt: Receipt, seconds: float) -> None:
        inbox = self._session.inbox
        if seconds <= IMPATIENCE_S or inbox.wait(lambda: receipt.done, IMPATIENCE_S):
            inbox.wait(lambda: receipt.done, min(seconds, IMPATIENCE_S))
            return
        self._session.say("waiting for an outcome on %s: %s", self.connection.name, self.why_pending(receipt))
        inbox.wait(lambda: receipt.done, seconds - IMPATIENCE_S)

    def why_pending(self, receipt: Receipt) -> str:
        try:
            return self._session.why_pending(self.connection.id, receipt.sent)
        except WritebackError as error:
            return f"the outcome has not come, and cannot be asked about now: {error}"

    def sent(self, position: Position) -> None:
        """A write of this process lies there: a refresh that it asks for comes after it."""
        number, offset = position.partition.number, position.offset
        with self._noting:
            first, last = self._own.get(number, (offset, offset))
            self._own[number] = min(first, offset), max(last, offset)

    @property
    def own_writes(self) -> dict[int, OwnWrites]:
        """By partition, from the first to the last of those that the log has."""
        with self._noting:
            return {number: OwnWrites(first=first, last=last) for number, (first, last) in self._own.items()}

    def not_sent(self, receipt: Receipt, error: BaseException) -> None:
        self._session.inbox.forget(receipt)
        self._session.not_sent(error)


def _reason(fields: dict[str, Any], error: ValueError) -> str:
    """What is wrong with these fields, by the field's name where it is one of them."""
    try:
        exact_json.check(fields)
    except ValueError as named:
        return str(named)
    return str(error)


def _patience(timeout: bool | float) -> float:
    if isinstance(timeout, bool):
        return SHORT_WAIT_S if timeout else LONGEST_WAIT_S
    if not timeout > 0:
        raise BadField(f"timeout is {timeout!r}; it is True (few retries) or a number of seconds")
    return float(timeout)
