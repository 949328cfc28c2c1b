"""Deletes, every minute, what is done and old of the partitions that are ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from topics.log import Log, Partition
from topics.log.retention import Retention
from worker.clock import Clock

LOOK_SECONDS = 60.0
MORE_SECONDS = 1.0
"""Between two looks, and between two deletions of a lot of it."""


async def delete_done(
    log: Log, group: str, keep_seconds: float | None, owned: Callable[[], Iterable[Partition]], clock: Clock
) -> None:
    """Until cancelled; returns at once when everything is kept for ever (None)."""
    if keep_seconds is None:
        return
    retention = Retention(log, group, keep_seconds)
    while True:
        await clock.sleep(LOOK_SECONDS)
        while await asyncio.to_thread(retention.delete, list(owned()), clock.now()):
            await clock.sleep(MORE_SECONDS)
