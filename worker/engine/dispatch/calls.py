"""Calls of one connection: a batch goes to the connector, and what comes back to ``settle.py`` beside this file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from connectors.contract import CannotTell, Connector, Finding, Unknown, Verdict
from connectors.errors import Unreachable
from topics.event.event import Event
from worker.engine.destination.destination import Destination
from worker.engine.dispatch.settle import Settler
from worker.engine.lane.assignment import Batch
from worker.engine.lane.lane import Lane
from worker.engine.ports import Call, DispatchContext
from worker.log_events import logger


class Calls:
    """``under_way``: how many calls, each from the moment its batch was taken until its answer is settled."""

    def __init__(
        self,
        slug: str,
        connector: Connector,
        context: DispatchContext,
        *,
        lane: Lane,
        destination: Destination,
        settler: Settler,
    ) -> None:
        self.under_way = 0
        self._slug = slug
        self._connector = connector
        self._lane = lane
        self._destination = destination
        self._settler = settler
        self._worker = context.worker
        self._clock = context.clock
        self._passes = context.passes
        self._seconds = context.counters.calls[slug]

    def take(self, batch: Batch, task: asyncio.Task[None]) -> None:
        """The task will make this call, and is cancelled when the partition is given up."""
        self.under_way += 1
        batch.assignment.calls[id(batch)] = task

    async def make(self, batch: Batch) -> None:
        """Returns when its answer is settled. Cut off, it leaves a call that may have happened in doubt."""
        if batch.action == "deliver":
            await self._deliver(batch)
        else:
            await self._find(batch)

    async def _deliver(self, batch: Batch) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        batch.began = started
        events = []
        for delivery in batch.deliveries:
            delivery.calls += 1
            if not delivery.first_at:
                delivery.first_at = at
            if not delivery.function.idempotent:
                delivery.assignment.progress.begin(delivery.offset, at)
            events.append(delivery.outgoing)
        try:
            verdicts = await self._connector.deliver(events)
            _complete(verdicts, events)
        except asyncio.CancelledError:
            self._returned(batch)
            for delivery in batch.deliveries:
                self._settler.doubt(delivery)
            raise
        except Exception as bug:  # noqa: BLE001 - a connector raises only for bugs: it may have happened, and is reported
            verdicts = self._bug(bug, len(events))
        ended = self._clock.monotonic()
        self._seconds.observe(ended - started)
        try:
            await self._passes.turn()
        finally:  # cut off while it waited or not: what the vendor has said is known
            self._returned(batch)
            if not batch.assignment.closed:
                trial = self._destination.called(verdicts, ended, self.under_way)
                self._settler.verdicts(batch, verdicts, Call(at, ended, (ended - started) * 1_000, trial))

    async def _find(self, batch: Batch) -> None:
        at, started = self._clock.now(), self._clock.monotonic()
        for delivery in batch.deliveries:
            delivery.calls += 1
        events = [delivery.event for delivery in batch.deliveries]
        findings: list[Finding] | None = None
        unreachable = ""
        try:
            findings = await self._connector.find(events)
            _complete(findings, events)
        except asyncio.CancelledError:
            self._returned(batch)
            raise
        except Unreachable as error:
            unreachable = str(error) or "the vendor cannot be asked"
        except Exception as bug:  # noqa: BLE001 - one event that it cannot ask about must not hold up the others
            logger().exception("delivery.bug", connection=self._slug, error=repr(bug))
            findings = [CannotTell(f"the connector failed: {bug!r}")] if len(events) == 1 else None
        now = self._clock.monotonic()
        self._returned(batch)
        if batch.assignment.closed:
            pass
        elif unreachable:
            self._ask_later(batch, now, unreachable)
        elif findings is None:
            self._lane.bisect(batch)
        else:
            self._destination.answered()
            self._settler.findings(batch, findings, Call(at, now, (now - started) * 1_000))

    def _ask_later(self, batch: Batch, now: float, reason: str) -> None:
        for delivery in batch.deliveries:
            self._lane.offer(delivery, now, action="find", due=now + delivery.function.settle_after)
        self._destination.failed(now, reason)

    def _bug(self, bug: Exception, count: int) -> list[Verdict]:
        logger().exception("delivery.bug", connection=self._slug, error=repr(bug))
        return [Unknown(f"the connector failed: {bug!r}")] * count

    def _returned(self, batch: Batch) -> None:
        self.under_way -= 1
        batch.assignment.calls.pop(id(batch), None)
        if not batch.function.idempotent:
            # Some log may still announce this call: the commit that announces others in its place must take it back.
            self._worker.dirty(batch.assignment)
        self._lane.returned(batch, self._clock.monotonic())


def _complete(answers: Sequence[object], events: Sequence[Event]) -> None:
    if len(answers) != len(events):
        raise ValueError(f"{len(answers)} answers to {len(events)} events")
