"""Carries one connection's events: batch → deliver → decide → settle."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from connectors.connections import Connection
from connectors.contract import (
    NO_EVIDENCE,
    CannotTell,
    Connector,
    Delivered,
    Evidence,
    Finding,
    Function,
    Limits,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    UnknownPolicy,
    Verdict,
)
from connectors.contract import Down as DownVerdict
from connectors.errors import BadConnection, UnknownFunction, Unreachable
from topics.event import Event, Operation
from topics.log import Record
from topics.result import Outcome
from worker.assignment import Assignment
from worker.breaker import Breaker, Quarantine
from worker.clock import Clock, Timer
from worker.coalesce import apart, separate
from worker.decide import Again, Bury, Case, Decision, Done, Find, Hold, Wait, decide, decide_finding
from worker.delivery import Batch, Delivery
from worker.events import logger
from worker.lane import Lane
from worker.metadata import Tries
from worker.outcomes import Outcomes
from worker.parking import CLOSING, KeyPark
from worker.retry import RetryPolicy
from worker.tally import Tally
from worker.throttle import Throttle

DOOMED = "a worker died while this call may have been under way; it may have happened, and the vendor cannot be asked"
WINDOW_SECONDS = 0.1
"""What is announced ahead of calls that cannot be repeated: what the lane can send in this time."""


class Desk(Protocol):
    """What a dispatcher needs of the worker around it."""

    def dirty(self, assignment: Assignment) -> None:
        """Something of it is done."""

    def urgent(self, assignment: Assignment) -> None:
        """Calls wait for its commit and nothing else is ready."""

    def finished(self, delivery: Delivery) -> None:
        """One event less in the buffers."""

    def hold(self, assignment: Assignment, why: str) -> None: ...

    def release(self, assignment: Assignment, why: str) -> None: ...

    def reread(self, assignment: Assignment) -> None:
        """Drop what waits and read again from the first undone."""

    def quarantine(self, dispatcher: Dispatcher, reason: str) -> None: ...

    def failed(self, error: BaseException) -> None:
        """A bug of ours: the worker ends loudly instead of leaving an event out for ever."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all dispatchers of a worker share."""

    desk: Desk
    outcomes: Outcomes
    clock: Clock
    policy: RetryPolicy
    tally: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Call:
    """One call that came back.

    Begun ``at`` (epoch seconds), ``ended`` (monotonic), ``ms`` long; ``trial``: it was a half-open breaker's.
    """

    at: float
    ended: float
    ms: float
    trial: bool
    told: bool = False


class Dispatcher:
    """One open connection.

    ``paused``: an operator said so, or it is quarantined; nothing is started. ``park``: a record whose event died is
    parked (policy ``on_dead: park``); None: its later events go on.
    """

    def __init__(self, connection: Connection, connector: Connector, tools: Tools, park: KeyPark | None = None) -> None:
        """Raises ``BadConnection`` for limits and policies that cannot be kept."""
        self.connection = connection
        self.connector = connector
        self.lane = Lane(coalesce=bool(connection.policy.get("coalesce")))
        self.limits = _limits(connector.limits, connection.limits)
        self._on_unknown = _on_unknown(connection.policy)
        self.throttle = Throttle(self.limits)
        self.breaker = Breaker()
        self.quarantine = Quarantine()
        self.park = park
        self.paused = False
        self.out = 0
        self._tools = tools
        self._clock = tools.clock
        self._attempts = tools.tally.attempts
        self._call_seconds = tools.tally.calls[connection.slug]
        self._functions: dict[tuple[str, Operation], Function] = {}
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._probing = False
        self._tasks: set[asyncio.Task[None]] = set()

    # -- in ---------------------------------------------------------------------------------------------------------

    def adopt(self, assignment: Assignment) -> None:
        """A partition of this connection is ours."""
        self.lane.assignments[assignment.partition] = assignment
        self._share()
        if self.breaker.state == "open":
            self._tools.desk.hold(assignment, "down")
        if self.paused:
            self._tools.desk.hold(assignment, "paused")

    def disown(self, assignment: Assignment) -> None:
        self.lane.drop(assignment)
        self._share()

    def function(self, event: Event) -> Function:
        """Raises ``connectors.errors.UnknownFunction``."""
        name = (event.object, event.operation)
        known = self._functions.get(name)
        if known is None:
            known = self._look_up(*name)
            policy = self._on_unknown.get(event.operation.value)
            if policy is not None:
                known = replace(known, on_unknown=policy)
            self._functions[name] = known
        return known

    def _look_up(self, object_name: str, operation: Operation) -> Function:
        try:
            return self.connector.function(object_name, operation)
        except UnknownFunction:
            raise
        except Exception as bug:
            logger().exception("delivery.bug", connection=self.connection.slug, error=repr(bug))
            raise UnknownFunction(
                f"the connector failed when asked for {operation} of {object_name!r}: {bug!r}"
            ) from bug

    def doomed(self, record: Record, function: Function, assignment: Assignment) -> bool:
        """It may have happened, nobody can be asked, and the policy says not to try again."""
        return (
            self.park is None
            and function.on_unknown == "dead_letter"
            and not function.findable
            and suspected(record, function, assignment)
        )

    def accept(self, record: Record, event: Event, function: Function, assignment: Assignment) -> None:
        """Take a routed event into the lane; ``pump`` sends it."""
        delivery = Delivery(record, event, function, assignment)
        now = self._clock.monotonic()
        due = 0.0
        tries = assignment.progress.tries(delivery.offset)
        if tries is not None:
            delivery.spent, delivery.first_at = tries.spent, tries.first_at
            due = now + tries.due - self._clock.now() if tries.due else 0.0
        if suspected(record, function, assignment):
            delivery.suspect = True
            if function.findable:
                due = max(due, now + function.settle_after)
            else:
                delivery.doubtful = True  # the policy is to try again: ``doomed`` has seen to the other
        self.lane.add(delivery, now, due)

    # -- out --------------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Start every call that may start now, and set the alarm for the next moment that matters."""
        now = self._clock.monotonic()
        alarm = self.lane.release_due(now)
        while not self.paused and self.lane.ready and self.breaker.allows(self.out):
            if self.out >= int(self.throttle.concurrency):
                break
            wait = self.throttle.wait(now)
            if wait > 0:
                alarm = now + wait if alarm is None else min(alarm, now + wait)
                break
            batch = self.lane.take()
            if batch is None:
                break
            if self.park is not None and batch.action == "deliver":
                self._sift(batch, self.park)
            if batch.deliveries:
                self.throttle.spend(now)
                self._start(batch)
        if self.breaker.state == "open" and not self._probing:
            alarm = self.breaker.probe_at if alarm is None else min(alarm, self.breaker.probe_at)
        self._announce()
        self._alarm(alarm)

    def _sift(self, batch: Batch, park: KeyPark) -> None:
        """Take out what is not sent: closing records, and what has to wait behind a dead letter."""
        going = []
        for delivery in batch.deliveries:
            blocked_by = park.blocks(delivery)
            if delivery.function is CLOSING:
                self._settling(delivery, park.close(delivery))
            elif blocked_by is not None:
                separate(delivery)
                self._settling(delivery, self._divert(delivery, park, blocked_by))
            elif delivery.suspect and not delivery.calls and delivery.function.on_unknown == "dead_letter":
                self._settling(delivery, self._bury(delivery, Bury("unknown-outcome", DOOMED), NO_EVIDENCE))
            else:
                going.append(delivery)
        batch.assignment.out -= len(batch.deliveries) - len(going)
        batch.deliveries = going

    def _announce(self) -> None:
        """Calls wait to be announced: soon, and at once when nothing else is ready."""
        if self.paused:
            return
        tell = self._tools.desk.dirty if self.lane.ready else self._tools.desk.urgent
        for assignment in self.lane.assignments.values():
            if assignment.room > 0 and assignment.committed_round == assignment.round:
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
        now = self._clock.monotonic()
        if self.breaker.state == "open" and not self._probing and now >= self.breaker.probe_at:
            self._probing = True
            self._spawn(self._probe())
        self.pump()

    # -- deliver ----------------------------------------------------------------------------------------------------

    def _start(self, batch: Batch) -> None:
        self.out += 1
        work = self._deliver(batch) if batch.action == "deliver" else self._find(batch)
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        batch.assignment.calls[id(batch)] = task

    async def _deliver(self, batch: Batch) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        events = []
        for delivery in batch.deliveries:
            delivery.calls += 1
            if not delivery.first_at:
                delivery.first_at = at
            events.append(delivery.outgoing)
        try:
            verdicts = await self.connector.deliver(events)
            _complete(verdicts, events)
        except asyncio.CancelledError:
            self._returned(batch)
            self._cut_off(batch)
            raise
        except Exception as bug:  # noqa: BLE001 - a connector raises only for bugs: it may have happened, and is reported
            verdicts = self._bug(bug, len(events))
        ended = self._clock.monotonic()
        self._call_seconds.observe(ended - started)
        self._returned(batch)
        if not batch.assignment.closed:
            trial = self.breaker.state == "half-open"
            self._settle_call(verdicts, ended)
            # where the vendor answered for another of the batch, a failure is the record's own
            trial = trial and self.breaker.state != "closed"
            self._settle(batch, verdicts, Call(at, ended, (ended - started) * 1_000, trial))
        self.pump()

    def _cut_off(self, batch: Batch) -> None:
        """Nobody will hear how these calls ended."""
        for delivery in batch.deliveries:
            if not delivery.function.idempotent:
                self._remember(delivery, due=0.0, doubt=True)

    def _doubt(self, delivery: Delivery) -> None:
        """Its end is not written down yet: a next owner must not call again unasked."""
        if not delivery.function.idempotent:
            self._remember(delivery, due=0.0, doubt=True)

    def _remember(self, delivery: Delivery, *, due: float, doubt: bool) -> None:
        tries = Tries(delivery.spent, delivery.first_at, due, doubt)
        delivery.assignment.progress.tried(delivery.offset, tries)

    def _bug(self, bug: Exception, count: int) -> list[Verdict]:
        logger().exception("delivery.bug", connection=self.connection.slug, error=repr(bug))
        return [Unknown(f"the connector failed: {bug!r}")] * count

    def _returned(self, batch: Batch) -> None:
        self.out -= 1
        batch.assignment.calls.pop(id(batch), None)
        self.lane.returned(batch, self._clock.monotonic())

    def _settle_call(self, verdicts: list[Verdict], now: float) -> None:
        """What the call says of the destination, before what it says of the events."""
        self._observe(now)
        answered = failed = None
        for verdict in verdicts:
            if isinstance(verdict, Retry | Unknown):
                failed = verdict
            elif not isinstance(verdict, DownVerdict):
                answered = verdict
                break
        if answered is not None:
            if not isinstance(answered, Throttled):
                self.throttle.answered(now)
            if self.breaker.answered():
                self._closed()
        elif failed is not None and self.breaker.state != "open" and self.breaker.failed(now, failed.reason):
            self._opened()

    def _observe(self, now: float) -> None:
        try:
            quota = self.connector.quota()
        except Exception as bug:  # noqa: BLE001 - a header that a connector cannot read is no reason to lose its answer
            logger().exception("delivery.bug", connection=self.connection.slug, error=repr(bug))
            return
        if quota is not None:
            self.throttle.observe(quota, now, self.out)

    # -- decide and settle ------------------------------------------------------------------------------------------

    def _settle(self, batch: Batch, verdicts: list[Verdict], call: Call) -> None:
        first = verdicts[0]
        if isinstance(first, Rejected) and first.whole and len(batch.deliveries) > 1:
            self.lane.bisect(batch)
            return
        delivered = 0
        for delivery, verdict in zip(batch.deliveries, verdicts, strict=True):
            if type(verdict) is Delivered:  # the common case, without the detours
                delivered += 1
                self._done(delivery, Done(verdict.detail, verdict.id))
                continue
            conflict = isinstance(verdict, Rejected) and verdict.conflict and delivery.suspect
            costs = isinstance(verdict, Retry | Unknown) or conflict
            attempt = delivery.spent + costs
            case = Case(delivery.function, attempt, delivery.event.options.short, delivery.suspect, call.trial)
            decision = decide(verdict, case, self._tools.policy, self._clock.roll())
            if costs and not isinstance(decision, Hold):
                delivery.spent = attempt
            if isinstance(verdict, Unknown):
                delivery.suspect = True
            evidence = getattr(verdict, "evidence", NO_EVIDENCE)
            self._note(delivery, verdict, decision, call, evidence)
            self._apply(delivery, decision, call.ended, evidence)
        if delivered:
            self._attempts[self.connection.slug, batch.function.operation.value, "delivered"] += delivered

    def _note(
        self, delivery: Delivery, verdict: Verdict | Finding, decision: Decision, call: Call, evidence: Evidence
    ) -> None:
        outcome = type(verdict).__name__.lower()
        self._attempts[self.connection.slug, delivery.function.operation.value, outcome] += 1
        reason = getattr(verdict, "reason", outcome)
        delivery.note(at=call.at, ms=call.ms, outcome=outcome, reason=reason, evidence=evidence)
        if isinstance(decision, Hold | Wait) and call.told:
            return  # the destination's answer to the whole call: one line, not one per event
        call.told = True
        logger().info(
            "delivery.attempted",
            connection=self.connection.slug,
            object=delivery.function.object,
            operation=delivery.function.operation.value,
            topic=delivery.record.partition.topic,
            partition=delivery.record.partition.number,
            offset=delivery.offset,
            attempt=delivery.calls,
            outcome=outcome,
            reason=reason[:200],
            status=evidence.status,
            next=type(decision).__name__.lower(),
            delay=round(getattr(decision, "delay", 0.0), 3),
            ms=round(call.ms, 1),
        )

    def _apply(self, delivery: Delivery, decision: Decision, now: float, evidence: Evidence) -> None:
        match decision:
            case Done():
                self._done(delivery, decision)
            case Again():
                delivery.doubtful = delivery.doubtful or decision.doubtful
                self._again(delivery, now, decision.delay)
            case Find():
                delivery.suspect = True
                self._again(delivery, now, decision.delay, find=True)
            case Bury() if delivery.absorbed and decision.cause == "rejected":
                apart(delivery)
                self.lane.offer(delivery, now)
            case Bury():
                if delivery.suspect:
                    self._doubt(delivery)
                separate(delivery)  # the others have attempts of their own
                self._judge(rejected=decision.cause == "rejected")
                self._settling(delivery, self._bury(delivery, decision, evidence))
            case Hold():
                self.lane.offer(delivery, now)
                if self.breaker.down(now, decision.reason, decision.after):
                    self._opened()
            case Wait():
                self.throttle.throttled(now, decision.delay)
                self.lane.offer(delivery, now)

    def _again(self, delivery: Delivery, now: float, delay: float, *, find: bool = False) -> None:
        due = self._clock.now() + delay if delay else 0.0
        self._remember(delivery, due=due, doubt=delivery.suspect or delivery.doubtful)
        self._tools.desk.dirty(delivery.assignment)
        self.lane.offer(delivery, now, action="find" if find else "deliver", due=now + delay)

    def _done(self, delivery: Delivery, done: Done) -> None:
        self._judge(rejected=False)
        if not delivery.absorbed and delivery.event.options.reply_to is None:
            self._tools.outcomes.ended(delivery, done.id)
            self._finish(delivery)
        else:
            self._doubt(delivery)
            self._settling(delivery, self._reply(delivery, done))

    async def _reply(self, delivery: Delivery, done: Done) -> None:
        together = (delivery, *delivery.absorbed)
        reason = f"one call for {len(together)} events" if delivery.absorbed else None
        ends: list[tuple[Delivery, Outcome]] = []
        for one in together:
            one.calls = delivery.calls
            # with a deletion behind it, a change was not sent at all
            ends.append((one, "delivered" if one.function is delivery.sends else "superseded"))
            await self._tools.outcomes.reply(one, done.detail, ends[-1][1], reason)
        if not delivery.assignment.closed:
            for one, outcome in ends:
                self._tools.outcomes.ended(one, done.id, outcome, reason)

    async def _divert(self, delivery: Delivery, park: KeyPark, blocked_by: str) -> None:
        await park.park(delivery)
        reason = f"an earlier event of this record died: letter {blocked_by}"
        await self._tools.outcomes.bury(delivery, "blocked", reason, self.connector, blocked_by=blocked_by)

    async def _bury(self, delivery: Delivery, bury: Bury, evidence: Evidence) -> None:
        if self.park is not None:
            await self.park.park(delivery)
        await self._tools.outcomes.bury(delivery, bury.cause, bury.reason, self.connector, evidence)

    def _settling(self, delivery: Delivery, work: Coroutine[Any, Any, None]) -> None:
        """Letter or reply first, acknowledged; only then is the event done. Its key waits, nobody else."""
        delivery.assignment.settling += 1

        async def settle() -> None:
            try:
                await work
            finally:
                delivery.assignment.settling -= 1
            if not delivery.assignment.closed:
                self._finish(delivery)
                self.pump()

        self._spawn(settle())

    def _finish(self, delivery: Delivery) -> None:
        self.lane.finish(delivery, self._clock.monotonic())
        self._tools.desk.finished(delivery)
        for absorbed in delivery.absorbed:
            self._tools.desk.finished(absorbed)
        self._tools.desk.dirty(delivery.assignment)

    def _judge(self, *, rejected: bool) -> None:
        if self.quarantine.outcome(rejected=rejected) and not self.paused:
            self.quarantine.reset()
            self.paused = True
            self._tools.desk.quarantine(self, "more than half of the last 200 events were rejected")

    # -- find -------------------------------------------------------------------------------------------------------

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
            if self.breaker.answered():
                self._closed()
            self._settle_findings(batch, findings, Call(at, now, (now - started) * 1_000, trial=False))
        self.pump()

    def _ask_later(self, batch: Batch, now: float, reason: str) -> None:
        for delivery in batch.deliveries:
            self.lane.offer(delivery, now, action="find", due=now + delivery.function.settle_after)
        if self.breaker.failed(now, reason):
            self._opened()

    def _settle_findings(self, batch: Batch, findings: list[Finding], call: Call) -> None:
        for delivery, finding in zip(batch.deliveries, findings, strict=True):
            case = Case(delivery.function, delivery.spent, delivery.event.options.short, suspect=True)
            decision = decide_finding(finding, case, self._tools.policy, self._clock.roll())
            self._note(delivery, finding, decision, call, NO_EVIDENCE)
            self._apply(delivery, decision, call.ended, NO_EVIDENCE)

    # -- the destination --------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        logger().warning("breaker.opened", connection=self.connection.slug, reason=self.breaker.reason)
        for assignment in self.lane.assignments.values():
            self._tools.desk.hold(assignment, "down")

    def _closed(self) -> None:
        logger().info("breaker.closed", connection=self.connection.slug)
        self._resume()

    def _resume(self) -> None:
        for assignment in self.lane.assignments.values():
            self._tools.desk.release(assignment, "down")

    async def _probe(self) -> None:
        try:
            answer = await self.connector.probe()
        except Exception as bug:  # noqa: BLE001 - a probe that fails is a no
            logger().exception("delivery.bug", connection=self.connection.slug, error=repr(bug))
            answer = DownVerdict(repr(bug))
        finally:
            self._probing = False
        now = self._clock.monotonic()
        if isinstance(answer, DownVerdict):
            self.breaker.probed(now, up=False, reason=answer.reason, after=answer.after)
            self.shed()
        else:
            if isinstance(answer, Throttled):
                self.throttle.throttled(now, answer.after)
            self.breaker.probed(now, up=True)
            logger().info("breaker.half_open", connection=self.connection.slug)
            self._resume()
        self.pump()

    def shed(self) -> None:
        """While nothing can go out, what waits costs memory for nothing: it is read again when its time comes."""
        for assignment in list(self.lane.assignments.values()):
            if assignment.records and assignment.quiet:
                self._tools.desk.reread(assignment)

    def pause(self) -> None:
        """An operator's word, or quarantine."""
        self.paused = True
        for assignment in self.lane.assignments.values():
            self._tools.desk.hold(assignment, "paused")

    def unpause(self) -> None:
        self.paused = False
        self.quarantine.reset()
        for assignment in self.lane.assignments.values():
            self._tools.desk.release(assignment, "paused")
        self.pump()

    # -- life -------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.connector.close()

    def _share(self) -> None:
        owned = len(self.lane.assignments)
        self.throttle.share(min(1.0, max(owned, 1) / max(1, self.connection.partitions)))
        rate = self.throttle.rate
        calls = 2 * self.limits.concurrency
        if rate is not None:
            calls = min(calls, max(1, int(rate * WINDOW_SECONDS)))
        for assignment in self.lane.assignments.values():
            assignment.window = calls

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._tools.desk.failed(error)


def suspected(record: Record, function: Function, assignment: Assignment) -> bool:
    """May a call that must not be repeated have been made for this record?"""
    return not function.idempotent and assignment.progress.suspected(record.offset)


def _limits(manifest: Limits, own: dict[str, Any]) -> Limits:
    """The connection's own limits over the manifest's. ``rate: null`` means unlimited."""
    limits = Limits(
        rate=own.get("rate", manifest.rate),
        per_seconds=own.get("per_seconds", manifest.per_seconds),
        concurrency=own.get("concurrency", manifest.concurrency),
    )
    for name in ("rate", "per_seconds", "concurrency"):
        value = getattr(limits, name)
        least = 1 if name == "concurrency" else 0
        fits = isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and value >= least
        if not fits and not (name == "rate" and value is None):
            raise BadConnection(f"the limit {name} is {value!r}; it is a number above 0, and {least} at the least")
    return limits


def _on_unknown(policy: Mapping[str, Any]) -> Mapping[str, UnknownPolicy]:
    """The connection's own word on what to do when a call may have happened, per operation."""
    chosen = policy.get("on_unknown") or {}
    if not isinstance(chosen, Mapping) or any(word not in ("retry", "dead_letter") for word in chosen.values()):
        raise BadConnection(
            f'the policy on_unknown is {chosen!r}; it is like {{"add": "retry", "message": "dead_letter"}}'
        )
    return chosen


def _complete(answers: Sequence[object], events: Sequence[Event]) -> None:
    if len(answers) != len(events):
        raise ValueError(f"{len(answers)} answers to {len(events)} events")
