"""Why an outcome has not come, as far as it can be seen from here: the store, the log, and a worker's last word."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Final

from connectors.connections.store import Connections
from topics.event.result import StateChange
from topics.log import Log, Position

IN_WORDS: Final = {
    "held": "a worker cannot open the connection",
    "unknown": "a worker found no such connection in its store",
    "down": "the destination is down",
    "half-open": "the destination was down and is being tried again",
}
"""The states in which nothing goes out although the connection is active."""
NOBODY: Final = "no worker has read this connection's events yet; is one running? (writeback up, writeback worker)"


def why_pending(log: Log, connections: Connections, group: str, connection_id: int, sent: Future[Position]) -> str:
    """One line. Raises ``WritebackError`` when store or log cannot be asked."""
    connection = connections.get(connection_id)
    if connection.state != "active":
        reason = f": {connection.state_reason}" if connection.state_reason else ""
        return f"the connection is {connection.state}{reason}"
    if not sent.done():
        return "the log has not confirmed it yet"
    seen = connections.seen().get(connection.slug)
    if seen is not None and seen.state in IN_WORDS:
        return _as_seen(seen)
    return _by_place(log, group, sent.result(), read=seen is not None)


def _as_seen(seen: StateChange) -> str:
    moment = datetime.fromtimestamp(seen.time, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{IN_WORDS[seen.state]}{f': {seen.reason}' if seen.reason else ''} (since {moment})"


def _by_place(log: Log, group: str, position: Position, *, read: bool) -> str:
    lag = log.lag(group, position.partition.topic).get(position.partition)
    if lag is None or (lag.committed is None and not read):
        return NOBODY
    before = position.offset - (lag.committed or 0)
    if before > 0:
        ahead = "1 earlier event is" if before == 1 else f"{before:,} earlier events are"
        return f"{ahead} before it; the destination may be slow or throttled, or no worker runs now"
    return "it is the worker's turn: tried again, throttled, or no worker runs now (see `writeback topics lag`)"
