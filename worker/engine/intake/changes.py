"""What operators change in the store while the worker runs: seen within a second, taken over in good order."""

from __future__ import annotations

import asyncio

from connectors.connections.refresh.policy import is_read_here
from connectors.connections.store import Connections
from connectors.errors import BadSecret, UnknownConnection
from topics.errors import StoreUnavailable
from worker.clock import Clock
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.intake.holds import PartitionHolds
from worker.engine.intake.intake import ConnectionIntake, Reads
from worker.engine.intake.partitions import Partitions
from worker.engine.intake.pauses import PartitionPauses
from worker.engine.intake.router import Router
from worker.log_events import logger
from worker.process.background import BackgroundTasks

WATCH_SECONDS = 1.0
"""How soon an operator's pause, resume or change of a connection is seen."""
SECRETS_SECONDS = 30.0
"""How often a connection that is down looks whether its secrets in the store are others than it was opened with."""


class Changes:
    """``grace_seconds``: how long a connection that changes waits for its calls under way.

    ``reads``: connections that a refresh reads, whose writes leave it a part of the rate.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        router: Router,
        partitions: Partitions,
        holds: PartitionHolds,
        pauses: PartitionPauses,
        clock: Clock,
        tasks: BackgroundTasks,
        grace_seconds: float,
        reads: Reads,
    ) -> None:
        self._reads = reads
        self._connections = connections
        self._router = router
        self._partitions = partitions
        self._holds = holds
        self._pauses = pauses
        self._clock = clock
        self._tasks = tasks
        self._grace_seconds = grace_seconds
        self._secrets_at = 0.0
        self._changing: set[str] = set()
        self._held_at: dict[str, int] = {}
        self._strangers: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(WATCH_SECONDS)
            for intake in self._router.intakes.values():
                if intake.dispatcher is not None and intake.dispatcher.destination.paused:
                    intake.dispatcher.destination.shed()
            await self._holds.obey()
            served = {slug for slug, intake in self._router.intakes.items() if intake.assignments}
            try:
                revisions = await asyncio.to_thread(self._connections.revisions)
                being_read = await asyncio.to_thread(self._reads)
            except StoreUnavailable as error:
                logger().warning("store.unavailable", error=str(error))
                continue
            self._tell_strangers(served - revisions.keys(), len(revisions))
            renewed = await self._renewed()
            for intake in list(self._router.intakes.values()):
                dispatcher = intake.dispatcher
                if intake.slug in self._changing:
                    continue
                if dispatcher is None:
                    self._try_now(intake, revisions.get(intake.slug, 0))
                    continue
                self._held_at.pop(intake.slug, None)
                under_way = intake.slug in being_read and is_read_here(dispatcher.connection)
                dispatcher.destination.share_with_read(under_way=under_way)
                if intake.slug in renewed or dispatcher.connection.revision != revisions.get(intake.slug):
                    self._changing.add(intake.slug)
                    self._tasks.spawn(self._change(intake, dispatcher))  # one that is slow to end holds up no other

    def _tell_strangers(self, strangers: set[str], own: int) -> None:
        """Once: whoever started this worker on the wrong store, or an empty one, learns it before anything waits."""
        if strangers - self._strangers:
            logger().warning("topics.of_others", connections=sorted(strangers), own=own)
        self._strangers = strangers

    def _try_now(self, intake: ConnectionIntake, revision: int) -> None:
        """Try a held connection again at once, because an operator has changed or resumed it."""
        known = self._held_at.setdefault(intake.slug, revision)
        if known != revision:
            self._held_at[intake.slug] = revision
            self._router.open_now(intake)

    async def _renewed(self) -> set[str]:
        """Connections that are down, and whose secrets in the store have changed since they were opened."""
        now = self._clock.monotonic()
        if now < self._secrets_at:
            return set()
        self._secrets_at = now + SECRETS_SECONDS
        renewed = set()
        for intake in list(self._router.intakes.values()):
            if intake.dispatcher is None or intake.dispatcher.destination.breaker.state != "open" or not intake.secrets:
                continue
            try:
                stored = await asyncio.to_thread(self._connections.secrets, intake.dispatcher.connection)
            except (StoreUnavailable, BadSecret, UnknownConnection):
                continue  # opening it anew would fail as well, and the store's silence is told elsewhere
            if stored != intake.secrets:
                renewed.add(intake.slug)
        return renewed

    async def _change(self, intake: ConnectionIntake, dispatcher: Dispatcher) -> None:
        """Close the connection in good order and open it as it is now."""
        try:
            logger().info("connection.changed", connection=intake.slug)
            for assignment in intake.assignments.values():
                self._pauses.hold(assignment, "opening")
            dispatcher.destination.pause()
            await self._partitions.drain(list(intake.assignments.values()), self._grace_seconds)
            for assignment in list(intake.assignments.values()):
                self._partitions.reread(assignment)
            for assignment in intake.assignments.values():
                self._pauses.release(assignment, "paused")
                self._pauses.release(assignment, "down")
            await intake.close()
            self._router.open(intake)
        finally:
            self._changing.discard(intake.slug)
