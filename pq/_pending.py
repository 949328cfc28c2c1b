"""Why an outcome has not come, as far as it can be seen from here: the store, the log, and a worker's last word."""

from __future__ import annotations

from concurrent.futures import Future

from connectors.connections.store import Connections
from topics.log import Log, Position


def why_pending(log: Log, connections: Connections, group: str, connection_id: int, sent: Future[Position]) -> str:
    """One line. Raises ``WritebackError`` when store or log cannot be asked."""
    connection = connections.get(connection_id)
    if not sent.done() and connection.state == "active":
        return "the log has not confirmed it yet"
    standing = connections.standings()[connection.slug]
    return _by_place(log, group, sent.result()) if standing.goes_on else f"the connection waits: {standing}"


def _by_place(log: Log, group: str, position: Position) -> str:
    lag = log.lag(group, position.partition.topic).get(position.partition)
    if lag is None:
        return f"its topic {position.partition.topic} is gone"
    before = position.offset - (lag.committed or 0)
    if before > 0:
        ahead = "1 earlier event is" if before == 1 else f"{before:,} earlier events are"
        return f"the connection is active; {ahead} before it"
    return "the connection is active; it is the worker's turn: its call is under way, or tried again"
