"""Tells every change of a connection's state on the ledger, for whoever follows it; and a quarantine to the store."""

from __future__ import annotations

import asyncio

from connectors.connections.store import Connections
from connectors.errors import UnknownConnection
from topics.errors import RecordRefused, StoreUnavailable
from topics.event.result import StateChange, pack_state
from worker.clock import Clock
from worker.engine.settlement.publisher import RetryingPublisher
from worker.log_events import logger
from worker.process.background import BackgroundTasks

STORE_SECONDS = 1.0
"""Between two tries at a store that is away."""


class StateAnnouncer:
    def __init__(
        self,
        connections: Connections,
        results: RetryingPublisher,
        clock: Clock,
        tasks: BackgroundTasks,
    ) -> None:
        self._connections = connections
        self._results = results
        self._clock = clock
        self._tasks = tasks

    def tell(self, change: StateChange) -> None:
        self._tasks.spawn(self._publish(change))

    def quarantined(self, slug: str, reason: str) -> None:
        """Into the store, until it has it: it holds for every worker, and an operator ends it there."""
        self._tasks.spawn(self._quarantine(slug, reason))

    async def _quarantine(self, slug: str, reason: str) -> None:
        while True:
            try:
                await asyncio.to_thread(self._connections.set_state, slug, "quarantined", reason)
            except StoreUnavailable as error:
                logger().warning("store.unavailable", error=str(error))
                await self._clock.sleep(STORE_SECONDS)
            except UnknownConnection:
                return  # removed meanwhile: ``changes.py`` sees that
            else:
                return

    async def _publish(self, change: StateChange) -> None:
        try:
            await self._results.publish(key=change.connection.encode(), value=pack_state(change))
        except RecordRefused as error:  # the topic was made too small by hand: metrics and log events say it too
            logger().error("state.refused", connection=change.connection, state=change.state, error=str(error))
