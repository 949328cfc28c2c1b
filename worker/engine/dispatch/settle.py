"""decide → settle: what an answer means for each event, and the end of every event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from connectors.connections.store import Connection
from connectors.contract import NO_EVIDENCE, Connector, Delivered, Evidence, Finding, Rejected, Retry, Unknown, Verdict
from topics.event.result import Outcome
from worker.engine.decide.decide import Again, Bury, Case, Decision, Done, Find, Hold, Wait, decide, decide_finding
from worker.engine.destination.destination import Destination
from worker.engine.lane.assignment import Batch, Delivery
from worker.engine.lane.coalesce import apart, separate
from worker.engine.lane.lane import Lane
from worker.engine.lane.parking import KeyPark
from worker.engine.ports import Call, DispatchContext
from worker.engine.progress.metadata import LetterCause, Tries
from worker.log_events import logger
from worker.process.background import BackgroundTasks

Announced = asyncio.Future[None]


class Settler:
    """Of one connection. ``pump`` starts what may start after an event has ended."""

    def __init__(
        self,
        connection: Connection,
        connector: Connector,
        context: DispatchContext,
        *,
        lane: Lane,
        destination: Destination,
        park: KeyPark | None,
        tasks: BackgroundTasks,
        pump: Callable[[], None],
    ) -> None:
        self._slug = connection.slug
        self._connector = connector
        self._context = context
        self._clock = context.clock
        self._lane = lane
        self._destination = destination
        self._park = park
        self._tasks = tasks
        self._pump = pump
        self._attempts = context.counters.attempts

    # -- decide -----------------------------------------------------------------------------------------------------

    def verdicts(self, batch: Batch, verdicts: list[Verdict], call: Call) -> None:
        first = verdicts[0]
        if isinstance(first, Rejected) and first.whole and len(batch.deliveries) > 1:
            batch.assignment.slots.pop(id(batch), None)
            self._lane.bisect(batch)
            return
        delivered = 0
        for delivery, verdict in zip(batch.deliveries, verdicts, strict=True):
            if type(verdict) is Delivered:  # the common case, without the detours
                delivered += 1
                self._done(delivery, Done(verdict.detail, verdict.id), batch)
            else:
                self._decide(delivery, verdict, call)
        if delivered:
            self._attempts[self._slug, batch.function.operation.value, "delivered"] += delivered
        if batch.assignment.slots:
            self._keep(batch, happened=bool(delivered))

    def _keep(self, batch: Batch, *, happened: bool) -> None:
        """Keep the slot of a call that counts until a commit knows how it ended, unless the call did not happen."""
        if not happened:
            batch.assignment.slots.pop(id(batch), None)
        elif not batch.replying:
            batch.known = batch.assignment.round + 1

    def findings(self, batch: Batch, findings: list[Finding], call: Call) -> None:
        for delivery, finding in zip(batch.deliveries, findings, strict=True):
            case = Case(delivery.function, delivery.spent, delivery.event.options.short, suspect=True)
            decision = decide_finding(finding, case, self._context.policy, self._clock.roll())
            self._note(delivery, finding, decision, call, NO_EVIDENCE)
            self._apply(delivery, decision, call, NO_EVIDENCE)

    def _decide(self, delivery: Delivery, verdict: Verdict, call: Call) -> None:
        conflict = isinstance(verdict, Rejected) and verdict.conflict and delivery.suspect
        costs = isinstance(verdict, Retry | Unknown) or conflict
        attempt = delivery.spent + costs
        case = Case(delivery.function, attempt, delivery.event.options.short, delivery.suspect, call.trial)
        decision = decide(verdict, case, self._context.policy, self._clock.roll())
        if costs and not isinstance(decision, Hold):
            delivery.spent = attempt
        if isinstance(verdict, Unknown):
            delivery.suspect = True
        evidence = getattr(verdict, "evidence", NO_EVIDENCE)
        self._note(delivery, verdict, decision, call, evidence)
        self._apply(delivery, decision, call, evidence)

    def _note(
        self, delivery: Delivery, answer: Verdict | Finding, decision: Decision, call: Call, evidence: Evidence
    ) -> None:
        outcome = type(answer).__name__.lower()
        self._attempts[self._slug, delivery.function.operation.value, outcome] += 1
        reason = getattr(answer, "reason", outcome)
        delivery.note(at=call.at, ms=call.ms, outcome=outcome, reason=reason, evidence=evidence)
        if isinstance(decision, Hold | Wait) and call.told:
            return  # the destination's answer to the whole call: one line, not one per event
        call.told = True
        logger().info(
            "delivery.attempted",
            connection=self._slug,
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

    # -- settle -----------------------------------------------------------------------------------------------------

    def _apply(self, delivery: Delivery, decision: Decision, call: Call, evidence: Evidence) -> None:
        now = call.ended
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
                self._lane.offer(delivery, now)
            case Bury():
                separate(delivery)  # the others have attempts of their own
                self._destination.judge(rejected=decision.cause == "rejected")
                self.bury(delivery, decision, evidence)
            case Hold():
                self._destination.down(now, decision.reason, decision.after)
                if call.trial:  # whose fault it was is open: the next trial is another record's, if there is one
                    self._again(delivery, now, 2 * (self._destination.breaker.probe_at - now) + 1)
                else:
                    self._lane.offer(delivery, now)
            case Wait(scope="key") if not self._destination.all_keys_limited(delivery.key):
                self._lane.offer(delivery, now, due=now + decision.delay)
            case Wait():
                self._destination.throttle.throttled(now, decision.delay, decision.reason)
                self._lane.offer(delivery, now)

    def _again(self, delivery: Delivery, now: float, delay: float, *, find: bool = False) -> None:
        due = self._clock.now() + delay if delay else 0.0
        self.remember(delivery, due=due, doubt=delivery.suspect or delivery.doubtful)
        self._context.worker.dirty(delivery.assignment)
        self._lane.offer(delivery, now, action="find" if find else "deliver", due=now + delay)

    def remember(self, delivery: Delivery, *, due: float, doubt: bool) -> None:
        """Write its attempts into the commit's metadata, for the next owner."""
        tries = Tries(delivery.spent, delivery.first_at, due, doubt)
        delivery.assignment.progress.tried(delivery.offset, tries)

    def doubt(self, delivery: Delivery) -> None:
        """Mark its call as one that may have happened, so that the next owner does not simply repeat it."""
        if not delivery.function.idempotent:
            self.remember(delivery, due=0.0, doubt=True)

    def _done(self, delivery: Delivery, done: Done, batch: Batch | None = None) -> None:
        self._destination.judge(rejected=False)
        if not delivery.absorbed and delivery.event.options.reply_to is None:
            self._context.outcomes.ended(delivery, done.id)
            self._finish(delivery)
        else:
            self.doubt(delivery)
            if batch is not None:
                batch.replying += 1
            self._await(delivery, partial(self._reply, delivery, done), batch)

    def bury(self, delivery: Delivery, bury: Bury, evidence: Evidence) -> None:
        announced = self._condemn(delivery, bury.cause)
        self._await(delivery, partial(self._bury, delivery, bury, evidence, announced))

    def divert(self, delivery: Delivery, park: KeyPark, blocked_by: str) -> None:
        """Dead-letter it, because an earlier event of its record is a dead letter and its key is parked."""
        separate(delivery)
        announced = self._condemn(delivery, "blocked")
        self._await(delivery, partial(self._divert, delivery, park, blocked_by, announced))

    def close(self, delivery: Delivery, park: KeyPark) -> None:
        """Handle the closing record of a replay, now that it is first in its key's queue."""
        self._await(delivery, partial(park.close, delivery))

    def _condemn(self, delivery: Delivery, letter_cause: LetterCause) -> Announced:
        """Announce its letter in a commit, and write it then: else a crash in between could deliver the event, too."""
        self.remember(delivery, due=0.0, doubt=delivery.doubtful)
        delivery.assignment.progress.announce_letter(delivery.offset, letter_cause)
        self._context.worker.dirty(delivery.assignment)
        return delivery.assignment.known()

    async def _reply(self, delivery: Delivery, done: Done) -> None:
        together = (delivery, *delivery.absorbed)
        reason = f"one call for {len(together)} events" if delivery.absorbed else None
        ends: list[tuple[Delivery, Outcome]] = []
        for one in together:
            one.calls = delivery.calls
            # with a deletion behind it, a change was not sent at all
            ends.append((one, "delivered" if one.function is delivery.sends else "superseded"))
            await self._context.outcomes.reply(one, done.detail, ends[-1][1], reason)
        if not delivery.assignment.closed:
            for one, outcome in ends:
                self._context.outcomes.ended(one, done.id, outcome, reason)

    async def _divert(self, delivery: Delivery, park: KeyPark, blocked_by: str, announced: Announced) -> None:
        await announced
        await park.park(delivery)
        reason = f"an earlier event of this record died: letter {blocked_by}"
        await self._context.outcomes.bury(delivery, "blocked", reason, self._connector, blocked_by=blocked_by)

    async def _bury(self, delivery: Delivery, bury: Bury, evidence: Evidence, announced: Announced) -> None:
        await announced
        if self._park is not None:
            await self._park.park(delivery)
        await self._context.outcomes.bury(delivery, bury.cause, bury.reason, self._connector, evidence)

    def _await(
        self, delivery: Delivery, work: Callable[[], Coroutine[Any, Any, None]], batch: Batch | None = None
    ) -> None:
        """Wait until the log has its letter or reply; then the event is done. Only its own key waits meanwhile."""
        delivery.assignment.settling += 1

        async def settle() -> None:
            try:
                await work()
            finally:
                delivery.assignment.settling -= 1
            if not delivery.assignment.closed:
                self._finish(delivery)
                if batch is not None:
                    batch.replying -= 1
                    self._keep(batch, happened=True)
                self._pump()

        self._tasks.spawn(settle())

    def _finish(self, delivery: Delivery) -> None:
        self._lane.finish(delivery, self._clock.monotonic())
        self._context.worker.finished(delivery)
        for absorbed in delivery.absorbed:
            self._context.worker.finished(absorbed)
        self._context.worker.dirty(delivery.assignment)
