"""Carries one connection's events: says which may go out now. What makes the calls is ``calls.py`` beside this file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from connectors.connections.store import Connection
from connectors.contract import NO_EVIDENCE, Connector, Function
from topics.event.event import Event
from topics.log import Record
from worker.clock import Timer
from worker.engine.decide.decide import Bury, announced_letter, may_have_happened
from worker.engine.destination.destination import Destination
from worker.engine.dispatch.calls import Calls
from worker.engine.dispatch.settle import Settler
from worker.engine.lane.assignment import Assignment, Batch, Delivery
from worker.engine.lane.functions import Functions, suspected
from worker.engine.lane.lane import Lane
from worker.engine.lane.parking import CLOSING, KeyPark
from worker.engine.lane.window import LONGEST_WAIT
from worker.engine.ports import DispatchContext
from worker.process.background import BackgroundTasks

NEVER_IN_A_LANE = frozenset({"malformed", "unknown-function", "unknown-connection"})
AT_ONCE = 0.001
"""Seconds: no request over a network is answered in less."""


class Dispatcher:
    """One open connection.

    ``park``: a record whose event died is parked (policy ``on_dead: park``); None: its later events go on.
    """

    def __init__(
        self, connection: Connection, connector: Connector, context: DispatchContext, park: KeyPark | None = None
    ) -> None:
        """Raises ``BadConnection`` for limits and policies that cannot be kept."""
        self.connection = connection
        self.connector = connector
        self.lane = Lane(coalesce=bool(connection.policy.get("coalesce")))
        self.destination = Destination(connection, connector, self.lane, context)
        self.park = park
        self._tasks = BackgroundTasks(context.worker.failed)
        self._functions = Functions(connection, connector)
        self._settler = Settler(
            connection,
            connector,
            context,
            lane=self.lane,
            destination=self.destination,
            park=park,
            tasks=self._tasks,
            pump=self.pump,
        )
        self._calls = Calls(
            connection.slug,
            connector,
            context,
            lane=self.lane,
            destination=self.destination,
            settler=self._settler,
        )
        self._worker = context.worker
        self._clock = context.clock
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._probing = False

    @property
    def out(self) -> int:
        """Calls under way."""
        return self._calls.under_way

    # -- in ---------------------------------------------------------------------------------------------------------

    def adopt(self, assignment: Assignment) -> None:
        """A partition of this connection is ours."""
        self.lane.adopt(assignment)
        self.destination.share()

    def disown(self, assignment: Assignment) -> None:
        self.lane.drop(assignment)
        self.destination.share()

    def function(self, event: Event) -> Function:
        """Raises ``connectors.errors.UnknownFunction``."""
        return self._functions.of(event)

    def announced_letter(self, record: Record, function: Function, assignment: Assignment) -> Bury | None:
        """The letter of an event that gets no call: an earlier owner announced it, or its call may have happened.

        None for any other event. Where keys are parked most are decided later, when it is the key's turn (``_sift``).
        """
        tries = assignment.progress.tries(record.offset)
        if tries is not None and tries.letter_cause and (self.park is None or tries.letter_cause in NEVER_IN_A_LANE):
            return announced_letter(tries.letter_cause)
        if self.park is None and _given_up(function) and suspected(record, function, assignment):
            return may_have_happened(assignment.progress.began(record.offset))
        return None

    def accept(self, record: Record, event: Event, function: Function, assignment: Assignment) -> None:
        """Take a routed event into the lane; ``pump`` sends it."""
        delivery = Delivery(record, event, function, assignment)
        now = self._clock.monotonic()
        due = 0.0
        tries = assignment.progress.tries(delivery.offset)
        if tries is not None:
            delivery.spent, delivery.first_at = tries.spent, tries.first_at
            due = now + tries.due - self._clock.now() if tries.due else 0.0
            delivery.letter_cause = tries.letter_cause
        if delivery.letter_cause:
            delivery.doubtful = tries is not None and tries.doubt
        elif suspected(record, function, assignment):
            delivery.suspect = True
            if function.findable:
                due = max(due, now + function.settle_after)
            else:
                delivery.doubtful = True
        self.lane.add(delivery, now, due)

    # -- out --------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Start every call that may start now, and set the alarm for the next moment that matters."""
        self._start()

    def _start(self, carrier: asyncio.Task[None] | None = None) -> Batch | None:
        """Start what may start. The first batch is returned to the task ``carrier``; the others get new tasks."""
        own = None
        for batch in self._startable():
            if own is None and carrier is not None:
                own, task = batch, carrier
            else:
                task = asyncio.create_task(self._carry(batch))
            self._calls.take(batch, task)
        return own

    def _startable(self) -> Iterator[Batch]:
        """Batches that may go out now, each to be started before the next is asked for."""
        now = self._clock.monotonic()
        destination = self.destination
        throttle, breaker = destination.throttle, destination.breaker
        alarm = self.lane.release_due(now)
        wait = 0.0
        while self.lane.ready and self.out < int(throttle.concurrency):
            if destination.paused or not breaker.allows(self.out) or not self._worker.awake():
                break
            wait = throttle.wait(now)
            if wait > 0:
                break
            batch = self.lane.take(int(throttle.concurrency))
            if batch is None:
                break
            if self.park is not None and batch.action == "deliver":
                self._sift(batch, self.park)
            if batch.deliveries:
                throttle.spend(now)
                yield batch
        if self.lane.unannounced:
            wait = throttle.wait(now)
        if wait > 0:
            soon = now + (wait if wait <= LONGEST_WAIT else wait - LONGEST_WAIT / 2)  # in time to announce it
            alarm = soon if alarm is None else min(alarm, soon)
        if breaker.state == "open" and not self._probing:
            alarm = breaker.probe_at if alarm is None else min(alarm, breaker.probe_at)
        self._announce(wait)
        self._alarm(alarm)

    def _sift(self, batch: Batch, park: KeyPark) -> None:
        """Take out what is not sent: closing records, and what has to wait behind a dead letter."""
        going = []
        for delivery in batch.deliveries:
            blocked_by = park.blocks(delivery)
            if delivery.function is CLOSING:
                self._settler.close(delivery, park)
            elif blocked_by is not None:
                self._settler.divert(delivery, park, blocked_by)
            elif delivery.letter_cause:
                self._settler.bury(delivery, announced_letter(delivery.letter_cause), NO_EVIDENCE)
            elif delivery.suspect and not delivery.calls and _given_up(delivery.function):
                began = delivery.assignment.progress.began(delivery.offset)
                self._settler.bury(delivery, may_have_happened(began), NO_EVIDENCE)
            else:
                going.append(delivery)
        self.lane.keep_back(batch, going)

    def _announce(self, wait: float) -> None:
        """Ask for the commit that announces waiting calls: at once when nothing else is ready or all slots are taken.

        While no call can go out (for the next ``wait`` seconds, or while the destination is down) none is announced.
        """
        destination, window = self.destination, self.lane.window
        window.shut = destination.paused or destination.breaker.state == "open" or wait > LONGEST_WAIT
        if window.shut:
            for assignment in self.lane.withdraw():
                self._worker.dirty(assignment)
            if destination.paused:
                return
        window.limit(int(destination.throttle.concurrency), destination.throttle.rate)
        held = self.lane.held
        tell = self._worker.dirty if self.lane.ready and not held else self._worker.urgent
        for assignment in self.lane.assignments.values():
            if assignment.committed_round == assignment.round and (
                assignment.wants_commit or (held and assignment.unconfirmed)
            ):
                tell(assignment)

    def _alarm(self, when: float | None) -> None:
        if when is None or (self._timer is not None and self._timer_at <= when):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._clock.call_at(when, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        breaker = self.destination.breaker
        if breaker.state == "open" and not self._probing and self._clock.monotonic() >= breaker.probe_at:
            self._probing = True
            self._tasks.spawn(self._probe())
        self.pump()

    async def _probe(self) -> None:
        try:
            await self.destination.probe()
        finally:
            self._probing = False
        self.pump()

    async def _carry(self, batch: Batch) -> None:
        """Make this call, then the next that may start: a task for each would cost as much as all the queueing."""
        following: Batch | None = batch
        try:
            while following is not None:
                began = self._clock.monotonic()
                await self._calls.make(following)
                if self._clock.monotonic() - began < AT_ONCE:
                    await asyncio.sleep(0)  # a call that was none (no field to send) must not keep others from theirs
                following = self._start(asyncio.current_task())
        except Exception as error:  # noqa: BLE001 - a bug of ours: the worker ends, and says so
            self._worker.failed(error)

    # -- life -------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()
        await self.connector.close()


def _given_up(function: Function) -> bool:
    """A call of this function that may have happened is never repeated, and the vendor cannot be asked about it."""
    return function.on_unknown == "dead_letter" and not function.findable
