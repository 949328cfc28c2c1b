"""The destination of a simulated connection: what it does with a call, and what it really did."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.contract import (
    Absent,
    CannotTell,
    Delivered,
    Down,
    Finding,
    Found,
    Function,
    Limits,
    Quota,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    Verdict,
)
from connectors.errors import Unreachable
from topics.event.event import Event, Operation
from worker.clock import FakeClock

FUNCTIONS = {
    # an upsert may be repeated; an add can be asked about; a note cannot, and is not tried twice; a message and an
    # alert are
    ("contact", Operation.UPSERT): Function("contact", Operation.UPSERT, batch_max=5, idempotent=True),
    ("contact", Operation.DELETE): Function("contact", Operation.DELETE, batch_max=5, idempotent=True),
    ("contact", Operation.ADD): Function("contact", Operation.ADD, batch_max=4, findable=True, settle_after=1.0),
    ("note", Operation.ADD): Function("note", Operation.ADD, on_unknown="dead_letter"),
    ("message", Operation.MESSAGE): Function("message", Operation.MESSAGE, on_unknown="retry", key_interval=1.0),
    ("alert", Operation.MESSAGE): Function("alert", Operation.MESSAGE, on_unknown="retry", batch_max=3),
}
TOLD = ("message", "alert")
"""Objects of which a second call is made where nobody can tell, and told."""


@dataclass
class Odds:
    """How often things go wrong, drawn per seed."""

    lost: float
    transient: float
    throttled: float
    down: float
    crash: float
    revoke: float


class Vendor:
    """What the destination really did, call by call, in order.

    ``calls``: the number of the call in which an event was done first; ``unanswered``: events of whose call a worker
    heard nothing while it lived; ``after_letter``: what was done although its letter was there; ``answered``: how many
    commits had begun when a worker heard that an event was done.
    """

    def __init__(self, dice: random.Random, odds: Odds) -> None:
        self.dice = dice
        self.odds = odds
        self.performed: list[tuple[int, Event]] = []
        self.calls: dict[str, tuple[int, int]] = {}
        self.unanswered: set[str] = set()
        self.dead_lettered: set[str] = set()
        self.after_letter: set[str] = set()
        self.life = 0
        self.commits = 0
        self.answered: dict[str, int] = {}
        self.known: set[str] = set()
        self.out_until = 0.0

    def perform(self, event: Event, call: int) -> None:
        """One call may carry the fields of several events, each of which has its own id among them."""
        for name in sorted((name for name in event.fields if name.startswith("e")), key=lambda name: int(name[1:])):
            self.performed.append((self.life, event.model_copy(update={"id": name})))
            self.calls.setdefault(name, (self.life, call))
            self.known.add(name)
            if name in self.dead_lettered:
                self.after_letter.add(name)


@dataclass
class Call:
    events: Sequence[Event]
    answer: asyncio.Future[Any]
    find: bool = False
    number: int = field(default_factory=itertools.count().__next__)


class SimConnector:
    name = "sim"
    version = "1"

    def __init__(self, vendor: Vendor, clock: FakeClock, concurrency: int) -> None:
        self.limits = Limits(concurrency=concurrency)
        self._vendor = vendor
        self._clock = clock
        self.calls: list[Call] = []

    def function(self, object_name: str, operation: Operation) -> Function:
        return FUNCTIONS[object_name, operation]

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        assert len({event.record_key for event in batch}) == len(batch), "a key twice in a batch"
        call = Call(batch, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        verdicts: list[Verdict] = await call.answer
        return verdicts

    async def find(self, events: Sequence[Event]) -> list[Finding]:
        call = Call(events, asyncio.get_running_loop().create_future(), find=True)
        self.calls.append(call)
        findings: list[Finding] = await call.answer
        return findings

    async def probe(self) -> Delivered | Down | Throttled:
        return Down("still out") if self._clock.monotonic() < self._vendor.out_until else Delivered()

    def quota(self) -> Quota | None:
        return None

    async def close(self) -> None:
        pass

    # -- the destination answers ---------------------------------------------------------------------------------------

    def answer_one(self) -> None:
        """One call, any of them, reaches its end."""
        live = [call for call in self.calls if not call.answer.done()]
        self.calls = live
        if not live:
            return
        call = self._vendor.dice.choice(live)
        self.calls.remove(call)
        if call.find:
            self._answer_find(call)
        else:
            call.answer.set_result(self._verdicts(call))

    def under_way(self) -> set[str]:
        """The events of calls that are not answered."""
        return {event.id for call in self.calls if not call.answer.done() and not call.find for event in call.events}

    def cut_off(self) -> None:
        """The worker dies: what was under way happened, or not."""
        for call in self.calls:
            if not call.answer.done() and not call.find:
                for event in call.events:
                    if not _poison(event) and self._vendor.dice.random() < 0.5:
                        self._vendor.perform(event, call.number)
        self.calls = []

    def _answer_find(self, call: Call) -> None:
        if self._vendor.dice.random() < 0.1:
            call.answer.set_exception(Unreachable("find: no answer"))
            return
        call.answer.set_result(
            [
                Found(id=event.id)
                if event.id in self._vendor.known
                else Absent()
                if event.object == "contact"
                else CannotTell("not findable")
                for event in call.events
            ]
        )

    def _verdicts(self, call: Call) -> list[Verdict]:
        events = call.events
        vendor, dice, odds = self._vendor, self._vendor.dice, self._vendor.odds
        if self._clock.monotonic() < vendor.out_until:
            return [Down("connection refused")] * len(events)
        roll = dice.random()
        if roll < odds.down:
            vendor.out_until = self._clock.monotonic() + dice.uniform(0.5, 20)
            return [Down("connection refused")] * len(events)
        if roll < odds.down + odds.throttled:
            return [Throttled(dice.uniform(0.1, 3))] * len(events)
        if roll < odds.down + odds.throttled + odds.lost:
            return self._lost(call)
        if len(events) > 1 and any(_poison(event) for event in events) and events[0].operation is Operation.UPSERT:
            return [Rejected("one of these is bad", whole=True)] * len(events)
        return [self._verdict(event, call.number) for event in events]

    def _lost(self, call: Call) -> list[Verdict]:
        happened = self._vendor.dice.random() < 0.5
        verdicts: list[Verdict] = []
        for event in call.events:
            self._vendor.unanswered.add(event.id)
            if happened and not _poison(event):
                self._vendor.perform(event, call.number)
            idempotent = FUNCTIONS[event.object, event.operation].idempotent
            verdicts.append(Retry("no answer", kind="no_answer") if idempotent else Unknown("no answer"))
        return verdicts

    def _verdict(self, event: Event, number: int) -> Verdict:
        if _poison(event):
            return Rejected("bad")
        if event.fields.get("moody") and event.id not in self._vendor.known and self._vendor.dice.random() < 0.5:
            return Rejected("not today")  # whoever asks again may hear another answer
        if self._vendor.dice.random() < self._vendor.odds.transient:
            return Retry("busy")
        if event.operation is Operation.ADD and event.object == "contact" and event.id in self._vendor.known:
            return Rejected("exists", conflict=True)
        self._vendor.perform(event, number)
        self._vendor.answered[event.id] = self._vendor.commits
        return Delivered(id=event.id)


def _poison(event: Event) -> bool:
    return bool(event.fields.get("poison"))
