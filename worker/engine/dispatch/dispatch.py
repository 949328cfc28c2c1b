"""Carries one connection's events: batch → deliver, then ``worker/engine/dispatch/settle.py`` decides and settles."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from connectors.connections.store import Connection
from connectors.contract import NO_EVIDENCE, CannotTell, Connector, Finding, Function, Unknown, Verdict
from connectors.errors import Unreachable
from topics.event.event import Event
from topics.log import Record
from worker.background import BackgroundTasks
from worker.clock import Timer
from worker.engine.decide.decide import Bury, announced_letter, may_have_happened
from worker.engine.destination.destination import Destination
from worker.engine.dispatch.settle import Settler
from worker.engine.lane.assignment import Assignment, Batch, Delivery
from worker.engine.lane.functions import Functions, suspected
from worker.engine.lane.lane import Lane
from worker.engine.lane.parking import CLOSING, KeyPark
from worker.engine.lane.window import LONGEST_WAIT
from worker.engine.ports import Call, DispatchContext
from worker.log_events import logger

NEVER_IN_A_LANE = frozenset({"malformed", "unknown-function", "unknown-connection"})
AT_ONCE = 0.001
"""Seconds: no request over a network is answered in less."""


class Dispatcher:
    """One open connection.

    ``park``: a record whose event died is parked (policy ``on_dead: park``); None: its later events go on.
    ``out``: calls under way.
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
        self.out = 0
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
        self._worker = context.worker
        self._clock = context.clock
        self._passes = context.passes
        self._call_seconds = context.counters.calls[connection.slug]
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._probing = False

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
        """Not called any more: its letter was announced; or it may have happened, and the policy says not to try again.

        Where keys are parked this is found out in the key's own turn, but for letters that park none.
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
        """The first of what starts is the ``carrier``'s own, and returned to it; the others get one each."""
        own = None
        for batch in self._startable():
            self.out += 1
            if own is None and carrier is not None:
                own, task = batch, carrier
            else:
                task = asyncio.create_task(self._carry(batch))
            batch.assignment.calls[id(batch)] = task
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
        """Calls wait to be announced: soon, and at once when nothing else is ready, or when all slots are taken.

        While none can go out (for the next ``wait`` seconds, or for as long as the destination is) none is announced.
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

    # -- deliver ----------------------------------------------------------------------------------------------------

    async def _carry(self, batch: Batch) -> None:
        """One call, and then the next that may start: a task for each would cost as much as all its queueing."""
        following: Batch | None = batch
        try:
            while following is not None:
                began = self._clock.monotonic()
                await (self._deliver(following) if following.action == "deliver" else self._find(following))
                if self._clock.monotonic() - began < AT_ONCE:
                    await asyncio.sleep(0)  # a call that was none (no field to send) must not keep others from theirs
                following = self._start(asyncio.current_task())
        except Exception as error:  # noqa: BLE001 - a bug of ours: the worker ends, and says so
            self._worker.failed(error)

    async def _deliver(self, batch: Batch) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        events = []
        for delivery in batch.deliveries:
            delivery.calls += 1
            if not delivery.first_at:
                delivery.first_at = at
            if not delivery.function.idempotent:
                delivery.assignment.progress.begin(delivery.offset, at)
            events.append(delivery.outgoing)
        try:
            verdicts = await self.connector.deliver(events)
            _complete(verdicts, events)
        except asyncio.CancelledError:
            self._returned(batch)
            for delivery in batch.deliveries:
                self._settler.doubt(delivery)
            raise
        except Exception as bug:  # noqa: BLE001 - a connector raises only for bugs: it may have happened, and is reported
            verdicts = self._bug(bug, len(events))
        ended = self._clock.monotonic()
        self._call_seconds.observe(ended - started)
        try:
            await self._passes.turn()
        finally:  # cut off while it waited or not: what the vendor has said is known
            self._returned(batch)
            if not batch.assignment.closed:
                trial = self.destination.called(verdicts, ended, self.out)
                self._settler.verdicts(batch, verdicts, Call(at, ended, (ended - started) * 1_000, trial))

    async def _find(self, batch: Batch) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        for delivery in batch.deliveries:
            delivery.calls += 1
        events = [delivery.event for delivery in batch.deliveries]
        findings: list[Finding] | None = None
        unreachable = ""
        try:
            findings = await self.connector.find(events)
            _complete(findings, events)
        except asyncio.CancelledError:
            self._returned(batch)
            raise
        except Unreachable as error:
            unreachable = str(error) or "the vendor cannot be asked"
        except Exception as bug:  # noqa: BLE001 - one event that it cannot ask about must not hold up the others
            logger().exception("delivery.bug", connection=self.connection.slug, error=repr(bug))
            findings = [CannotTell(f"the connector failed: {bug!r}")] if len(events) == 1 else None
        now = self._clock.monotonic()
        self._returned(batch)
        if batch.assignment.closed:
            pass
        elif unreachable:
            self._ask_later(batch, now, unreachable)
        elif findings is None:
            self.lane.bisect(batch)
        else:
            self.destination.answered()
            self._settler.findings(batch, findings, Call(at, now, (now - started) * 1_000))

    def _ask_later(self, batch: Batch, now: float, reason: str) -> None:
        for delivery in batch.deliveries:
            self.lane.offer(delivery, now, action="find", due=now + delivery.function.settle_after)
        self.destination.failed(now, reason)

    def _bug(self, bug: Exception, count: int) -> list[Verdict]:
        logger().exception("delivery.bug", connection=self.connection.slug, error=repr(bug))
        return [Unknown(f"the connector failed: {bug!r}")] * count

    def _returned(self, batch: Batch) -> None:
        self.out -= 1
        batch.assignment.calls.pop(id(batch), None)
        if not batch.function.idempotent:
            # Some log may still announce this call: the commit that announces others in its place must take it back.
            self._worker.dirty(batch.assignment)
        self.lane.returned(batch, self._clock.monotonic())

    # -- life -------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()
        await self.connector.close()


def _given_up(function: Function) -> bool:
    """What may have happened is not tried again, and nobody can be asked."""
    return function.on_unknown == "dead_letter" and not function.findable


def _complete(answers: Sequence[object], events: Sequence[Event]) -> None:
    if len(answers) != len(events):
        raise ValueError(f"{len(answers)} answers to {len(events)} events")
