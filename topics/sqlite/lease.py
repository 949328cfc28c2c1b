"""The lease of a group: a row with an epoch, and a counter that the owner increments.

A watcher measures with its own monotonic clock how long the counter has stood still, and takes the lease over after
``TAKEOVER_SECONDS``. The epoch rises with every owner, and a commit under an old epoch is refused.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

BEAT_SECONDS = 0.5
TAKEOVER_SECONDS = 3.0


class Lease(NamedTuple):
    epoch: int
    beats: int
    owner: str | None


def read(connection: Connection, group: str) -> Lease | None:
    row = connection.exec_driver_sql("SELECT epoch, beats, owner FROM leases WHERE group_name = ?", (group,)).first()
    return Lease(row[0], row[1], row[2]) if row is not None else None


def take(connection: Connection, group: str, owner: str, seen: Lease | None) -> int | None:
    """The new epoch; None when the row has changed since it was seen: somebody was faster, or the owner is alive."""
    if read(connection, group) != seen:
        return None
    epoch = seen.epoch + 1 if seen is not None else 1
    connection.exec_driver_sql("INSERT OR REPLACE INTO leases VALUES (?, ?, 0, ?)", (group, epoch, owner))
    return epoch


def beat(connection: Connection, group: str, epoch: int) -> bool:
    """Increment the counter. Returns whether the group is still ours."""
    result = connection.exec_driver_sql(
        "UPDATE leases SET beats = beats + 1 WHERE group_name = ? AND epoch = ? AND owner IS NOT NULL", (group, epoch)
    )
    return result.rowcount == 1


def holds(connection: Connection, group: str, epoch: int) -> bool:
    lease = read(connection, group)
    return lease is not None and lease.epoch == epoch and lease.owner is not None


def release(connection: Connection, group: str, epoch: int) -> None:
    """Give the lease up, so that the next owner need not wait."""
    connection.exec_driver_sql("UPDATE leases SET owner = NULL WHERE group_name = ? AND epoch = ?", (group, epoch))


class Watch:
    """Measures how long another's lease has stood still. It is told the time of this process's monotonic clock."""

    def __init__(self) -> None:
        self._seen: Lease | None = None
        self._since = 0.0

    def may_take(self, lease: Lease | None, now: float) -> bool:
        """Whether the lease is free: never held, released, or without a beat for ``TAKEOVER_SECONDS``."""
        if lease is None or lease.owner is None:
            return True
        if lease != self._seen:
            self._seen, self._since = lease, now
        return now - self._since >= TAKEOVER_SECONDS
