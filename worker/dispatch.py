"""Carries one connection's events: batch → deliver → decide → settle."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from connectors.connections import Connection
from connectors.contract import (
    NO_EVIDENCE,
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
    Verdict,
)
from connectors.contract import Down as DownVerdict
from connectors.errors import Unreachable
from topics.event import Event, Operation
from topics.log import Record
from worker.assignment import Assignment
from worker.breaker import Breaker, Quarantine
from worker.clock import Clock, Timer
from worker.decide import Again, Bury, Case, Decision, Done, Find, Hold, Wait, decide, decide_finding
from worker.delivery import Batch, Delivery
from worker.events import logger
from worker.lane import Lane
from worker.metadata import Tries
from worker.outcomes import Outcomes
from worker.retry import RetryPolicy
from worker.throttle import Throttle

WINDOW_SECONDS = 0.1
"""What is announced ahead of calls that cannot be repeated: what the lane can send in this time."""


class Desk(Protocol):
    """What a dispatcher needs of the worker around it."""

    def dirty(self, assignment: Assignment) -> None:
        """Something of it is done."""

    def urgent(self, assignment: Assignment) -> None:
        """Calls wait for its commit and nothing else is ready."""

    def finished(self, dispatcher: Dispatcher, delivery: Delivery) -> None:
        """One event less in the buffers."""

    def hold(self, assignment: Assignment, why: str) -> None: ...

    def release(self, assignment: Assignment, why: str) -> None: ...

    def reread(self, assignment: Assignment) -> None:
        """Drop what waits and read again from the first undone."""

    def quarantine(self, dispatcher: Dispatcher, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What all dispatchers of a worker share."""

    desk: Desk
    outcomes: Outcomes
    clock: Clock
    policy: RetryPolicy


@dataclass(frozen=True, slots=True)
class Call:
    """One call that came back: begun ``at`` (epoch seconds), ``ended`` (monotonic), ``ms`` long; ``trial``: it was a
    half-open breaker's."""

    at: float
    ended: float
    ms: float
    trial: bool


class Dispatcher:
    """One open connection. ``paused``: an operator said so, or it is quarantined; nothing is started."""

    def __init__(self, connection: Connection, connector: Connector, tools: Tools) -> None:
        self.connection = connection
        self.connector = connector
        self.lane = Lane()
        self.limits = _limits(connector.limits, connection.limits)
        self.throttle = Throttle(self.limits)
        self.breaker = Breaker()
        self.quarantine = Quarantine()
        self.paused = False
        self.out = 0
        self._tools = tools
        self._clock = tools.clock
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

    def disown(self, assignment: Assignment) -> None:
        self.lane.drop(assignment)
        self._share()

    def function(self, event: Event) -> Function:
        """Raises ``connectors.errors.UnknownFunction``."""
        name = (event.object, event.operation)
        known = self._functions.get(name)
        if known is None:
            known = self.connector.function(*name)
            policy = self.connection.policy.get("on_unknown", {}).get(event.operation.value)
            if policy is not None:
                known = replace(known, on_unknown=policy)
            self._functions[name] = known
        return known

    def doomed(self, record: Record, function: Function, assignment: Assignment) -> bool:
        """It may have happened, nobody can be asked, and the policy says not to try again."""
        return (
            function.on_unknown == "dead_letter" and not function.findable and suspected(record, function, assignment)
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
            self.throttle.spend(now)
            self._start(batch)
        if self.breaker.state == "open" and not self._probing:
            alarm = self.breaker.probe_at if alarm is None else min(alarm, self.breaker.probe_at)
        self._announce()
        self._alarm(alarm)

    def _announce(self) -> None:
        """Nothing is ready but calls wait to be announced: commit now rather than in 50 ms."""
        if self.lane.ready or self.paused:
            return
        for assignment in self.lane.assignments.values():
            if assignment.unmarked and assignment.committed_round == assignment.round:
                self._tools.desk.urgent(assignment)

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
        batch.assignment.calls[id(batch)] = asyncio.create_task(work)

    async def _deliver(self, batch: Batch) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        events = []
        for delivery in batch.deliveries:
            delivery.calls += 1
            if not delivery.first_at:
                delivery.first_at = at
            events.append(delivery.event)
        try:
            verdicts = await self.connector.deliver(events)
        except asyncio.CancelledError:
            self._returned(batch)
            self._cut_off(batch)
            raise
        except Exception as bug:  # noqa: BLE001 - a connector raises only for bugs: it may have happened, and is reported
            verdicts = self._bug(bug, len(events))
        ended = self._clock.monotonic()
        self._returned(batch)
        if not batch.assignment.closed:
            trial = self.breaker.state == "half-open"
            self._settle_call(batch, verdicts, ended)
            self._settle(batch, verdicts, Call(at, ended, (ended - started) * 1_000, trial))
        self.pump()

    def _cut_off(self, batch: Batch) -> None:
        """Nobody will hear how these calls ended."""
        for delivery in batch.deliveries:
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
        self.lane.returned(batch)

    def _settle_call(self, batch: Batch, verdicts: list[Verdict], now: float) -> None:
        """What the call says of the destination, before what it says of the events."""
        quota = self.connector.quota()
        if quota is not None:
            self.throttle.observe(quota, now, self.out)
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

    # -- decide and settle ------------------------------------------------------------------------------------------

    def _settle(self, batch: Batch, verdicts: list[Verdict], call: Call) -> None:
        first = verdicts[0]
        if isinstance(first, Rejected) and first.whole and len(batch.deliveries) > 1:
            self.lane.bisect(batch)
            return
        for delivery, verdict in zip(batch.deliveries, verdicts, strict=True):
            if type(verdict) is Delivered:  # the common case, without the detours
                self._done(delivery, Done(verdict.detail, verdict.id))
                continue
            costs = isinstance(verdict, Retry | Unknown)
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

    def _note(
        self, delivery: Delivery, verdict: Verdict | Finding, decision: Decision, call: Call, evidence: Evidence
    ) -> None:
        outcome = type(verdict).__name__.lower()
        reason = getattr(verdict, "reason", outcome)
        delivery.note(at=call.at, ms=call.ms, outcome=outcome, reason=reason, evidence=evidence)
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
            case Bury():
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
        if delivery.event.options.reply_to is None:
            self._tools.outcomes.delivered(delivery, done.id)
            self._finish(delivery)
        else:
            self._settling(delivery, self._reply(delivery, done))

    async def _reply(self, delivery: Delivery, done: Done) -> None:
        await self._tools.outcomes.reply(delivery, done.detail)
        if not delivery.assignment.closed:
            self._tools.outcomes.delivered(delivery, done.id)

    async def _bury(self, delivery: Delivery, bury: Bury, evidence: Evidence) -> None:
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
        self._tools.desk.finished(self, delivery)
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
        findings: list[Finding] | None = None
        try:
            findings = await self.connector.find([delivery.event for delivery in batch.deliveries])
        except asyncio.CancelledError:
            self._returned(batch)
            raise
        except Unreachable as error:
            reason = str(error)
        except Exception as bug:  # noqa: BLE001 - as for deliver; asking again later is always safe
            reason = f"the connector failed: {bug!r}"
            logger().exception("delivery.bug", connection=self.connection.slug, error=repr(bug))
        now = self._clock.monotonic()
        self._returned(batch)
        if batch.assignment.closed:
            pass
        elif findings is None:
            self._ask_later(batch, now, reason)
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


def suspected(record: Record, function: Function, assignment: Assignment) -> bool:
    """May a call that must not be repeated have been made for this record?"""
    return not function.idempotent and assignment.progress.suspected(record.offset)


def _limits(manifest: Limits, own: dict[str, Any]) -> Limits:
    """The connection's own limits over the manifest's. ``rate: null`` means unlimited."""
    return Limits(
        rate=own.get("rate", manifest.rate),
        per_seconds=own.get("per_seconds", manifest.per_seconds),
        concurrency=own.get("concurrency", manifest.concurrency),
    )
