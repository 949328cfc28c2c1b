"""A connection's place in the worker, from the first record on: opened off the loop, held when it cannot be opened."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping
from typing import Literal

from connectors.connections.refresh.policy import is_read_here, wants_after_writeback
from connectors.connections.store import Connection, Connections
from connectors.contract import Connector
from connectors.errors import BadConnection, UnknownConnection
from dead_letter.store.parking import Parking
from topics.errors import StoreUnavailable
from topics.log import Partition, Record
from topics.names import slug_of
from topics.store.orders import Orders
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.lane.assignment import Assignment
from worker.engine.lane.parking import STORE_PAUSE, KeyPark, RetryingParkedKeyStore
from worker.engine.ports import DispatchContext
from worker.engine.settlement.after_writeback import AfterWriteback
from worker.log_events import logger
from worker.process.background import BackgroundTasks

Build = Callable[[Connection, dict[str, str]], Connector]
"""A connector for a connection and its secrets; a secret that the vendor replaces is replaced in that mapping too."""
State = Literal["closed", "open", "unknown", "held"]

LONGEST_PAUSE = 30.0
REASON_CHARACTERS = 250


class ConnectionIntake:
    """``waiting``: records that came before the connection was open, in the log's order.

    ``secrets``: those it was opened with; ``Build`` keeps them up to date when the vendor replaces one.
    ``again_at``: when one that is held is tried again, in monotonic seconds. ``unknown``: the store has no connection
    of this slug; below the offsets of ``bury_below`` its events are dead-lettered, as an operator has ordered.
    """

    def __init__(self, slug: str) -> None:
        self.slug = slug
        self.state: State = "closed"
        self.reason = ""
        self.again_at = 0.0
        self.bury_below: Mapping[Partition, int] = {}
        self.secrets: dict[str, str] = {}
        self.dispatcher: Dispatcher | None = None
        self.assignments: dict[object, Assignment] = {}
        self.waiting: list[tuple[Assignment, Record]] = []
        self.opening: asyncio.Task[None] | None = None

    def is_buried(self, partition: Partition, offset: int) -> bool:
        return offset < self.bury_below.get(partition, 0)

    @property
    def idle(self) -> bool:
        """It was never opened, as no event of it has come yet."""
        return self.state == "closed" and self.opening is None and not self.waiting

    @property
    def records(self) -> int:
        """Records in memory: in the lane, on their way to the dead letters, or waiting for the connection to open."""
        return sum(assignment.records for assignment in self.assignments.values()) + len(self.waiting)

    @property
    def bytes(self) -> int:
        waiting = sum(record.size for _, record in self.waiting)
        return sum(assignment.bytes for assignment in self.assignments.values()) + waiting

    async def close(self) -> None:
        if self.opening is not None:
            self.opening.cancel()
            self.opening = None
        dispatcher, self.dispatcher, self.state = self.dispatcher, None, "closed"
        if dispatcher is not None:  # what comes while it closes waits for the next one
            await dispatcher.close()


Reads = Callable[[], Collection[str]]
"""The connections that a refresh reads now, by slug. Blocks; raises ``StoreUnavailable``."""


def nothing_is_read() -> Collection[str]:
    """The answer where it is not known which connections a refresh reads."""
    return ()


Opened = Callable[[ConnectionIntake, Dispatcher | None], None]
"""Called on the loop with the dispatcher of a connection that is open; None: it is unknown, and to be dead-lettered.

Whoever is called makes the dispatcher the connection's and hands over what waited, in one step: a record that found the
dispatcher before that would pass those that wait, and they would be taken for done.
"""
CaughtUp = Callable[[ConnectionIntake, Assignment], None]
"""Called on the loop when the parked keys of an assignment are known."""


class ConnectionOpener:
    """Opens connections. ``after_writeback`` learns which of them want a refresh of what was written."""

    def __init__(
        self,
        connections: Connections,
        build: Build,
        context: DispatchContext,
        after_writeback: AfterWriteback,
        *,
        parking: Parking | None = None,
        orders: Orders | None = None,
        reads: Reads = nothing_is_read,
    ) -> None:
        self._orders = orders
        self._reads = reads
        self._connections = connections
        self._parking = parking
        self._build = build
        self._context = context
        self._after_writeback = after_writeback
        self._clock = context.clock
        self._tasks = BackgroundTasks(context.worker.failed)

    def open(self, intake: ConnectionIntake, opened: Opened) -> None:
        if intake.opening is None:
            intake.opening = self._tasks.spawn(self._open(intake, opened))

    def open_now(self, intake: ConnectionIntake, opened: Opened) -> None:
        """One that is held: do not wait for the next try."""
        if intake.opening is not None and intake.state in {"held", "unknown"}:
            intake.opening.cancel()
            intake.opening = None
            self.open(intake, opened)

    def catch_up(self, intake: ConnectionIntake, assignment: Assignment, caught_up: CaughtUp) -> None:
        """Read again which keys of the connection are parked; the assignment's records wait for it."""
        self._tasks.spawn(self._catch_up(intake, assignment, caught_up))

    async def close(self) -> None:
        await self._tasks.close()

    async def _catch_up(self, intake: ConnectionIntake, assignment: Assignment, caught_up: CaughtUp) -> None:
        while (park := intake.dispatcher.park if intake.dispatcher else None) is not None and self._parking is not None:
            changes = park.changes
            try:
                rows = await asyncio.to_thread(self._parking.parked, intake.slug)
            except StoreUnavailable as error:
                logger().warning("store.unavailable", error=str(error))
                await self._clock.sleep(STORE_PAUSE)
                continue
            if park.changes == changes:  # else something of ours is in between: read once more
                park.load(rows)
                break
            await self._clock.sleep(0.01)
        if assignment.open:
            caught_up(intake, assignment)

    async def _open(self, intake: ConnectionIntake, opened: Opened) -> None:
        """Until it is open, or there are events of an unknown one that were ordered into the dead letters.

        A store that is down, a manifest that does not load or a secret that does not decrypt holds this one only.
        """
        pause, dispatcher = 0.5, None
        while True:
            try:
                dispatcher = await self._dispatcher(intake)
            except UnknownConnection:
                if await self._stranger(intake, pause):
                    break
                await self._clock.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this connection's and is told
                intake.state, intake.reason = "held", _held_because(intake.slug, error)
                intake.again_at = self._clock.monotonic() + pause
                logger().error("connection.held", connection=intake.slug, reason=intake.reason, retry_in=pause)
                await self._clock.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
            else:
                break
        intake.opening = None
        opened(intake, dispatcher)

    async def _stranger(self, intake: ConnectionIntake, pause: float) -> bool:
        """The store does not know it: its events are another store's, until an operator says that they are nobody's.

        Whether there is something to be dead-lettered.
        """
        if intake.state != "unknown":
            await self._forget(intake.slug)
            logger().warning("connection.unknown", connection=intake.slug)
        intake.state, intake.reason = "unknown", no_connection(intake.slug)
        intake.again_at = self._clock.monotonic() + pause
        intake.bury_below = await self._buried(intake.slug)
        return any(intake.is_buried(owner.partition, record.offset) for owner, record in intake.waiting)

    async def _buried(self, slug: str) -> Mapping[Partition, int]:
        if self._orders is None:
            return {}
        try:
            orders = await asyncio.to_thread(self._orders.waiting)
        except StoreUnavailable as error:
            logger().warning("store.unavailable", error=str(error))
            return {}
        buried = [order for order in orders.values() if order.kind == "bury" and slug_of(order.partition.topic) == slug]
        return {order.partition: order.below for order in buried}

    async def _dispatcher(self, intake: ConnectionIntake) -> Dispatcher:
        connection, secrets = await asyncio.to_thread(self._look_up, intake.slug)
        park = await asyncio.to_thread(self._park, connection)
        under_way = connection.slug in await asyncio.to_thread(self._reads)
        connector = self._build(connection, secrets)
        dispatcher = Dispatcher(connection, connector, self._context, park)
        dispatcher.destination.share_with_read(under_way=under_way and is_read_here(connection))
        intake.secrets = secrets
        intake.state, intake.reason = "open", ""
        self._after_writeback.set_wanted(intake.slug, wanted=wants_after_writeback(connection))
        logger().info(
            "connection.opened",
            connection=intake.slug,
            connector=connector.name,
            version=connector.version,
            state=connection.state,
        )
        return dispatcher

    def _park(self, connection: Connection) -> KeyPark | None:
        on_dead = connection.policy.get("on_dead", "continue")
        if on_dead == "continue":
            if self._parking is not None and self._parking.parked(connection.slug):
                self._parking.clear(connection.slug)  # from the time when it was "park": they flow again
            return None
        if on_dead != "park":
            raise BadConnection(f"the policy on_dead is {on_dead!r}; it is continue or park")
        if self._parking is None:
            raise BadConnection("the policy on_dead is park, and this worker was given no store for parked keys")
        parked = self._parking.parked(connection.slug)
        return KeyPark(connection.slug, RetryingParkedKeyStore(self._parking, self._clock), parked)

    async def _forget(self, slug: str) -> None:
        """Delete the parked keys of the connection that is gone: a new one under its slug begins without any."""
        if self._parking is not None:
            with contextlib.suppress(StoreUnavailable):  # it was there a moment ago; the next record asks again
                await asyncio.to_thread(self._parking.clear, slug)

    def _look_up(self, slug: str) -> tuple[Connection, dict[str, str]]:
        connection = self._connections.get(slug)
        if connection.slug != slug:  # a name that reads like another's slug
            raise UnknownConnection(f"no connection has the slug {slug!r}")
        return connection, self._connections.secrets(connection)


def no_connection(slug: str) -> str:
    return (
        f"no connection has the slug {slug!r} in this worker's store: is it the right store? "
        f"`writeback connections add` makes one, `writeback topics bury {slug}` dead-letters its events on purpose"
    )


def _held_because(slug: str, error: Exception) -> str:
    """Why it is held, cut where it is too long, but never so that the command which tries again is lost."""
    said = (str(error) or repr(error))[:REASON_CHARACTERS]
    return f"it cannot be opened: {said}; it is tried again, now by `writeback connections resume {slug}`"
