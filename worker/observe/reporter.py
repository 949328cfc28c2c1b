"""Keeps the store informed: that this worker lives, what it owns, and how the connections it has are."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from connectors.connections.standing import Standing
from connectors.connections.store import Connections
from topics.errors import StoreUnavailable
from topics.event.event import new_id
from worker.clock import Clock
from worker.log_events import logger
from worker.observe.states import States

LOOK_SECONDS = 1.0
BEAT_SECONDS = 5.0
"""Between two signs of life: a third of what ``standing.SILENT_SECONDS`` takes for death."""


class StoreReporter:
    """Writes what changed since it last wrote. A store that is away is told everything when it is back.

    ``owned``: how many partitions this worker has.
    """

    def __init__(
        self, connections: Connections, states: States, clock: Clock, *, owned: Callable[[], int], member: str = ""
    ) -> None:
        self.name = f"{member or socket.gethostname()}:{os.getpid()}"
        self._id = new_id()
        self._connections = connections
        self._states = states
        self._clock = clock
        self._owned = owned
        self._written: dict[str, Standing] = {}
        self._owned_written = -1
        self._beat_at = float("-inf")
        self._writing: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.report()
            await self._clock.sleep(LOOK_SECONDS)

    async def report(self) -> None:
        now, owned, current = self._clock.monotonic(), self._owned(), dict(self._states.current)
        changed = [standing for slug, standing in current.items() if self._written.get(slug) != standing]
        gone = [slug for slug in self._written if slug not in current]
        if not changed and not gone and owned == self._owned_written and now - self._beat_at < BEAT_SECONDS:
            return
        self._writing = asyncio.ensure_future(
            asyncio.to_thread(self._connections.saw, self._id, self.name, owned, changed, gone)
        )
        try:
            await asyncio.shield(self._writing)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))
            return
        self._written, self._owned_written, self._beat_at = current, owned, now

    async def leave(self) -> None:
        """Tell the store that this worker has ended, so that nobody waits for it to time out."""
        if self._writing is not None:  # what a thread is writing comes before the end, not behind it
            await asyncio.gather(self._writing, return_exceptions=True)
        try:
            await asyncio.to_thread(self._connections.left, self._id)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))
