"""A refresh that was asked for: its receipt, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import ValidationError

from connectors.connections.store import Connection, Connections
from pq._inbox import Inbox
from pq.errors import BadField
from pq.receipt import Receipt
from topics.errors import WritebackError
from topics.event.refresh import OwnWrites, RefreshRequest, encode
from topics.log import Log, Position, Producer

IMPATIENCE_S = 5.0


class Process(Protocol):
    """What it needs of the session."""

    inbox: Inbox
    producer: Producer
    log: Log
    connections: Connections

    def say(self, message: str, *values: object) -> None: ...

    def not_sent(self, error: BaseException) -> None: ...


def refresh_request(
    connection: str,
    objects: Sequence[str] | None,
    *,
    full: bool,
    after: Mapping[int, OwnWrites],
    source: str,
    reply_to: int,
) -> RefreshRequest:
    """Raises ``BadField`` for objects that are no names."""
    try:
        return RefreshRequest(
            connection=connection,
            objects=None if objects is None else tuple(objects),
            full=full,
            after=dict(after),
            source=source,
            reply_to=reply_to,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadField(f"{'.'.join(map(str, first['loc']))}: {first['msg']}; objects is a list of names") from error


class Refreshing:
    """Of one connection; what the receipt asks (``pq.receipt.Waiting``)."""

    def __init__(self, session: Process, connection: Connection) -> None:
        self._session = session
        self._connection = connection

    def send(self, request: RefreshRequest, wait_s: float) -> Receipt:
        """Returns at once."""
        receipt = Receipt(request.id, self, wait_s)
        self._session.inbox.expect(receipt)
        receipt.track(self._session.producer.send(self._session.log.names.refresh, **encode(request)._asdict()))
        return receipt

    def wait_for(self, receipt: Receipt, seconds: float) -> None:
        inbox = self._session.inbox
        if seconds <= 0:
            inbox.drain()
            return
        if inbox.wait(lambda: receipt.done, min(seconds, IMPATIENCE_S)) or seconds <= IMPATIENCE_S:
            return
        self._session.say("waiting for the refresh of %s", self._connection.name)
        inbox.wait(lambda: receipt.done, seconds - IMPATIENCE_S)

    def why_pending(self, receipt: Receipt) -> str:  # noqa: ARG002 - all of a connection wait for the same
        try:
            connection = self._session.connections.get(self._connection.id)
        except WritebackError as error:
            return f"the refresh has not ended, and why cannot be asked now: {error}"
        if connection.state == "paused":
            reason = f": {connection.state_reason}" if connection.state_reason else ""
            return f"the connection is paused{reason}"
        return (
            f"the refresh of {connection.name} has not ended (see `writeback refreshes {connection.slug}`; "
            "nothing there? is a refresher running? writeback up, writeback refresher)"
        )

    def sent(self, position: Position) -> None: ...

    def not_sent(self, receipt: Receipt, error: BaseException) -> None:
        self._session.inbox.forget(receipt)
        self._session.not_sent(error)
