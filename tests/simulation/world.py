"""A simulated log, vendor and clock around the real dispatcher, lane, offsets, decide, breaker and throttle.

One seed is one history: random verdicts, lost answers, crashes between call and commit, rebalances, outages. At the
end the three promises are reckoned against what the vendor really did.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from connectors.connections.store import Connection
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
from dead_letter.letter.letter import Letter, decode
from dead_letter.store.parking import Parked
from topics import names
from topics.event import codec
from topics.event.event import Event, Operation
from topics.event.result import Result, unpack
from topics.log import Commit, Content, Failures, Headers, Partition, Position, Record
from worker.clock import FakeClock
from worker.engine.decide.decide import Bury
from worker.engine.decide.retry import RetryPolicy
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.lane.assignment import Assignment, Delivery
from worker.engine.lane.parking import KeyPark
from worker.engine.ports import DispatchContext
from worker.engine.progress.offsets import Progress
from worker.engine.settlement.committer import begin_round
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import Outcomes
from worker.engine.settlement.publisher import RetryingPublisher
from worker.passes import PassLimit

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


class SimProducer:
    """Takes everything, at once. ``vendors``: by slug, who is told of letters."""

    def __init__(self, vendors: Mapping[str, Vendor]) -> None:
        self._vendors = vendors
        self.records: list[tuple[str, bytes | None, bytes | None, Headers]] = []

    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Future[Position]:
        self.records.append((topic, key, value, headers))
        if topic == names.DEFAULT.dead_letter:
            letter = decode(Record(Partition(topic, 0), 0, 0, key, value, headers))
            self._vendors[letter.connection].dead_lettered.add(letter.event_id or "")
        future: Future[Position] = Future()
        future.set_result(Position(Partition(topic, partition or 0), len(self.records) - 1))
        return future

    def send_all(self, topic: str, contents: Sequence[Content]) -> Future[Failures]:
        for key, value, headers in contents:
            self.send(topic, key=key, value=value, headers=headers)
        future: Future[Failures] = Future()
        future.set_result({})
        return future

    def flush(self, timeout: float | None = None) -> None:
        pass

    def close(self, timeout: float | None = None) -> None:
        pass


class SimParkedKeyStore:
    """The store's parked keys; they survive the worker."""

    def __init__(self) -> None:
        self.rows: dict[str, Parked] = {}

    async def park(
        self, connection: str, record_key: str, letter: str, *, offset: int, barred: bool
    ) -> tuple[str, int]:
        row = self.rows.get(record_key)
        first = (row.first, row.offset) if row else (letter, offset)
        self.rows[record_key] = Parked(connection, record_key, *first, letter, barred, 0.0)
        return first

    async def close(self, connection: str, record_key: str, letter: str) -> bool:
        return False


class SimConnection:
    """One of a world's connections: how it is set, its destination, and what carries it in this life of the worker."""

    def __init__(self, slug: str, dice: random.Random, odds: Odds) -> None:
        self.slug = slug
        self.coalesce = dice.random() < 0.5
        self.parked_keys = SimParkedKeyStore() if dice.random() < 0.4 else None
        self.concurrency = dice.choice([1, 2, 6])
        self.keys = dice.choice([6, 40])
        topic = names.DEFAULT.events_topic(slug)
        self.partitions = [Partition(topic, number) for number in range(dice.choice([1, 1, 8]))]
        self.vendor = Vendor(dice, odds)
        self.connector: SimConnector
        self.dispatcher: Dispatcher

    def open(self, context: DispatchContext, clock: FakeClock) -> None:
        self.vendor.life += 1
        self.connector = SimConnector(self.vendor, clock, self.concurrency)
        park = KeyPark(self.slug, self.parked_keys, self.parked_keys.rows.values()) if self.parked_keys else None
        policy = {"coalesce": self.coalesce}
        connection = Connection(1, self.slug, "Sim", "sim", "1", {}, {}, policy, len(self.partitions), "active", "", 1)
        self.dispatcher = Dispatcher(connection, self.connector, context, park)  # type: ignore[arg-type]


@dataclass
class World:
    """One connection or two, their partitions, the committed state of these, and whoever owns them now.

    ``crash_at``: the one step at which the worker dies; without it, it does so at random ones.
    """

    seed: int
    events: int = 40
    crash_at: int | None = None
    results: list[Result] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        scale = self.dice.choice([0.0, 0.05, 0.2])
        chance = self.dice.random
        lost, transient, throttled, down = (scale * chance() for _ in range(4))
        self.odds = Odds(lost, transient, throttled, down, crash=0.004 * chance(), revoke=0.004 * chance())
        if self.crash_at is not None:
            self.odds.crash = self.odds.revoke = 0.0
        self.clock = FakeClock(seed=self.seed)
        slugs = ["sim", "sum"][: self.dice.choice([1, 1, 2])]
        self.connections = [SimConnection(slug, self.dice, self.odds) for slug in slugs]
        self.of = {partition: one for one in self.connections for partition in one.partitions}
        self.records: dict[Partition, list[Record]] = {partition: [] for partition in self.of}
        for number in range(self.events):
            self._emit(number)
        self.committed: dict[Partition, Commit] = {}
        self.durable = 0
        self.suspects: set[str] = set()
        self.cut_off: set[str] = set()
        self.producer = SimProducer({one.slug: one.vendor for one in self.connections})
        self.crashes = 0
        self.steps = 0
        self._start()

    def _emit(self, number: int) -> None:
        of = self.dice.choice(self.connections)
        object_name, operation = self.dice.choice(list(FUNCTIONS))
        fields: dict[str, Any] = {f"e{number}": True}
        if self.dice.random() < 0.05:
            fields["poison"] = True
        elif self.dice.random() < 0.1:
            fields["moody"] = True
        key = self.dice.randrange(of.keys)
        event = Event(
            id=f"e{number}",
            operation=operation,
            connection=of.slug,
            object=object_name,
            key=f"k{key}",
            fields=fields,
        )
        self._produce(of, event)

    def _produce(self, of: SimConnection, event: Event) -> None:
        self.append(of, codec.encode(event))

    def append(self, of: SimConnection, encoded: codec.Encoded) -> None:
        """To the partition of its key."""
        partition = of.partitions[zlib.crc32(encoded.key) % len(of.partitions)]
        log = self.records[partition]
        log.append(Record(partition, len(log), 0, *encoded))

    def _ended(self) -> bool:
        return all(not log or self._committed(partition) == len(log) for partition, log in self.records.items())

    def _start(self) -> None:
        ours = names.DEFAULT
        letters, replies, results = (
            RetryingPublisher(self.producer, topic, self.clock)
            for topic in (ours.dead_letter, ours.replies, ours.results)
        )
        self.ledger = Ledger(results)
        self.outcomes = outcomes = Outcomes(self.ledger, letters, replies, self.clock, ours.worker_group)
        context = DispatchContext(self, outcomes, self.clock, RetryPolicy(), PassLimit(self.clock.monotonic))
        for one in self.connections:
            one.open(context, self.clock)
        self.to_commit: dict[Assignment, None] = {}
        self.assignments: dict[Partition, Assignment] = {}
        self.position: dict[Partition, int] = {}
        for partition in self.records:
            self._own(Assignment(partition, Progress(self.committed.get(partition))))

    def _own(self, assignment: Assignment) -> None:
        self.assignments[assignment.partition] = assignment
        self.position[assignment.partition] = assignment.progress.start
        self._dispatcher(assignment).adopt(assignment)

    def _dispatcher(self, assignment: Assignment) -> Dispatcher:
        return self.of[assignment.partition].dispatcher

    # -- ports.WorkerPort ----------------------------------------------------------------------------------------------

    def awake(self) -> bool:
        return True

    def dirty(self, assignment: Assignment) -> None:
        self.to_commit[assignment] = None

    def urgent(self, assignment: Assignment) -> None:
        self.to_commit[assignment] = None

    def finished(self, delivery: Delivery) -> None: ...

    def hold(self, assignment: Assignment, why: str) -> None:
        assignment.holds.add(why)

    def release(self, assignment: Assignment, why: str) -> None:
        assignment.holds.discard(why)

    def quarantine(self, slug: str, reason: str) -> None:
        raise AssertionError("5 % poison is no flood")

    def failed(self, error: BaseException) -> None:
        raise AssertionError(f"seed {self.seed}: a bug of ours") from error

    def reread(self, assignment: Assignment) -> None:
        fresh = assignment.again()
        self._dispatcher(assignment).disown(assignment)
        assignment.closed = True
        self._own(fresh)
        self.dirty(fresh)

    # -- history ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        for _ in range(60_000):
            if self._ended():
                break
            await self._step()
        else:
            breakers = {one.slug: one.dispatcher.destination.breaker.state for one in self.connections}
            raise AssertionError(f"seed {self.seed}: stuck at {self.committed}, {breakers}")
        await self._close()
        self._read()

    async def _close(self) -> None:
        for one in self.connections:
            await one.dispatcher.close()

    def _committed(self, partition: Partition) -> int:
        commit = self.committed.get(partition)
        return commit.offset if commit else 0

    async def _step(self) -> None:
        roll = self.dice.random()
        self.steps += 1
        if self.steps == self.crash_at or (self.crashes < 6 and roll < self.odds.crash):
            await self._crash()
        elif self.crashes < 6 and roll < self.odds.crash + self.odds.revoke:
            await self._revoke()
        elif roll < 0.3:
            self._feed()
        elif roll < 0.7:
            self.dice.choice(self.connections).connector.answer_one()
        elif roll < 0.85:
            self.clock.advance(self.dice.choice([0.01, 0.1, 1.0]))
        else:
            await self._commit()
        for _ in range(4):
            await asyncio.sleep(0)

    def _feed(self) -> None:
        assignment = self.dice.choice(list(self.assignments.values()))
        if assignment.holds:
            return
        dispatcher = self._dispatcher(assignment)
        position = self.position[assignment.partition]
        for record in self.records[assignment.partition][position : position + self.dice.randrange(1, 6)]:
            self.position[assignment.partition] += 1
            if not assignment.progress.receive(record.offset):
                self.dirty(assignment)
                continue
            event = codec.decode(record)
            function = dispatcher.function(event)
            end = dispatcher.announced_letter(record, function, assignment)
            if end is not None:
                self._letter_again(assignment, record, event, end)
            else:
                dispatcher.accept(record, event, function, assignment)
        dispatcher.pump()

    def _letter_again(self, assignment: Assignment, record: Record, event: Event, end: Bury) -> None:
        assignment.progress.announce_letter(record.offset, end.cause)
        self.dirty(assignment)
        announced = assignment.known()

        async def bury() -> None:
            await announced
            await self.outcomes.bury_record(record, event, end.cause, end.reason)
            assignment.settling -= 1
            if not assignment.closed:
                assignment.progress.done(record.offset)
                self.dirty(assignment)

        assignment.settling += 1
        self._dispatcher(assignment)._tasks.spawn(bury())

    async def _commit(self) -> None:
        """A round of the committer."""
        assignments = [assignment for assignment in self.to_commit if not assignment.closed]
        self.to_commit = {}
        begun = 0
        for one in self.connections:
            one.vendor.commits += 1
            begun = one.vendor.commits
        begin_round(assignments)
        results = self.ledger.take()
        commits = [(assignment, assignment.progress.snapshot(), assignment.round) for assignment in assignments]
        await self.ledger.publish(results)
        if self.dice.random() < 0.02:  # the commit is lost on its way
            self.to_commit.update(dict.fromkeys(assignments))
            return
        self.durable = begun
        released: dict[Dispatcher, None] = {}
        for assignment, commit, number in commits:
            self.committed[assignment.partition] = commit
            assignment.confirmed(number)
            dispatcher = self._dispatcher(assignment)
            if dispatcher.lane.committed(assignment):
                released[dispatcher] = None
            if assignment.wants_commit:
                self.dirty(assignment)
        for dispatcher in released:
            dispatcher.pump()

    async def _crash(self) -> None:
        self.crashes += 1
        self._check_suspects()
        for one in self.connections:
            one.connector.cut_off()
        self._cancel()
        self.ledger.take()
        await self._close()
        self.clock.advance(self.dice.uniform(0, 10))
        self._start()

    def _cancel(self) -> None:
        for assignment in self.assignments.values():
            assignment.closed = True
            assignment.leave()
            for task in list(assignment.calls.values()):
                task.cancel()

    async def _revoke(self) -> None:
        """In good order: what is under way may finish, the rest is cut off, then the commit."""
        self.crashes += 1
        assignments = list(self.assignments.values())
        for assignment in assignments:
            self._dispatcher(assignment).disown(assignment)
        for _ in range(self.dice.randrange(5)):
            self.dice.choice(self.connections).connector.answer_one()
            await asyncio.sleep(0)
        for one in self.connections:
            self.cut_off |= one.connector.under_way()
            one.connector.cut_off()
        for assignment in assignments:
            for task in list(assignment.calls.values()):
                task.cancel()
        await asyncio.sleep(0)
        for assignment in assignments:
            assignment.closed = True
        await self.ledger.publish(self.ledger.take())
        self.committed = {assignment.partition: assignment.progress.last() for assignment in assignments}
        await self._close()
        self._start()

    def _read(self) -> None:
        for topic, key, value, headers in self.producer.records:
            record = Record(Partition(topic, 0), 0, 0, key, value, headers)
            if topic == names.DEFAULT.results:
                self.results += unpack(value)
            elif topic == names.DEFAULT.dead_letter:
                self.letters.append(decode(record))

    # -- reckoning --------------------------------------------------------------------------------------------------

    def _check_suspects(self) -> None:
        """The worker dies now. What the next one suspects is what was out and one window, both of this worker.

        Of each connection, beside what nobody heard the end of, and what an earlier crash has left. Never what was
        heard to be done before the last commit began.
        """
        for one in self.connections:
            suspects = {event.id: event for event in self._suspected(one) if event.id not in self.suspects}
            known = {name for name in suspects if one.vendor.answered.get(name, self.durable) < self.durable}
            assert not known, f"answered before the last commit, and suspected: {known}"
            new = [event for name, event in suspects.items() if name not in one.vendor.unanswered | self.cut_off]
            calls = sum(1 / FUNCTIONS[event.object, event.operation].batch_max for event in new)
            assert calls < 2 * one.concurrency + 1, f"{calls} calls are suspected, {one.concurrency} at once"
            self.suspects |= suspects.keys()

    def _suspected(self, of: SimConnection) -> Iterator[Event]:
        for partition in of.partitions:
            heir = Progress(self.committed.get(partition))
            for record in self.records[partition][heir.start :]:
                event = codec.decode(record)
                repeatable = FUNCTIONS[event.object, event.operation].idempotent
                if heir.receive(record.offset) and heir.suspected(record.offset) and not repeatable:
                    yield event

    def check(self) -> None:
        expected = {f"e{number}" for number in range(self.events)}
        ended = {result.id for result in self.results}
        assert ended == expected, f"silent: {expected - ended}"
        for one in self.connections:
            Reckoning(self, one).check()


class Reckoning:
    """What became of one connection's events, beside what its vendor has done."""

    def __init__(self, world: World, of: SimConnection) -> None:
        self._of, self._vendor = of, of.vendor
        decoded = (codec.decode(record) for partition in of.partitions for record in world.records[partition])
        self._events = {event.id: event for event in decoded}
        self._results = [result for result in world.results if result.connection == of.slug]
        self._letters = [letter for letter in world.letters if letter.connection == of.slug]
        self._doubted = of.vendor.unanswered | world.suspects | world.cut_off

    def check(self) -> None:
        delivered = {r.id for r in self._results if r.outcome == "delivered"}
        dead_lettered = {letter.event_id for letter in self._letters}
        assert delivered <= self._vendor.known, f"claimed but never done: {delivered - self._vendor.known}"
        superseded = {r.id for r in self._results if r.outcome == "superseded"}
        assert self._events.keys() == delivered | dead_lettered | superseded
        self._check_superseded(superseded, delivered)
        self._check_doubles()
        self._check_crashes()
        unknown = {letter.event_id for letter in self._letters if letter.verdict == "unknown-outcome"}
        assert unknown <= self._doubted, "dead-lettered, and never in doubt"
        after_letter = self._vendor.after_letter
        assert not after_letter, f"dead-lettered, and done all the same: {after_letter}"
        if (
            self._of.parked_keys and not self._of.coalesce
        ):  # one call for several has an end for all, an unknown one too
            self._check_parked()
        self._check_order()

    def _check_parked(self) -> None:
        """Behind the first letter of a key nothing is done any more."""
        first: dict[str, int] = {}
        for letter in self._letters:
            assert letter.event_id is not None
            key, number = codec.decode(letter.record).record_key, int(letter.event_id[1:])
            first[key] = min(first.get(key, number), number)
        for _, event in self._vendor.performed:
            number = int(event.id[1:])
            assert number <= first.get(event.record_key, number), f"{event.id} went past the letter of its key"

    def _check_superseded(self, superseded: set[str], delivered: set[str]) -> None:
        """Only a deletion makes a change superfluous, one that was made."""
        for event_id in superseded - delivered:
            event = self._events[event_id]
            assert any(
                other.operation is Operation.DELETE
                and other.record_key == event.record_key
                and int(other.id[1:]) > int(event_id[1:])
                for other in (self._events[one] for one in delivered)
            ), event_id

    def _check_doubles(self) -> None:
        times: dict[str, int] = defaultdict(int)
        for _, event in self._vendor.performed:
            times[event.id] += 1
        told = {r.id for r in self._results if r.possible_duplicate}
        for _, event in self._vendor.performed:
            if times[event.id] > 1 and not FUNCTIONS[event.object, event.operation].idempotent:
                assert event.object in TOLD, f"{event.id} ({event.object}) was done {times[event.id]} times"
                assert event.id in told, f"{event.id} was doubled and nobody was told"

    def _check_crashes(self) -> None:
        """A crash repeats no more calls that count than could be in flight."""
        repeated: dict[int, set[int]] = defaultdict(set)
        for life, event in self._vendor.performed:
            first, call = self._vendor.calls[event.id]
            if event.object in TOLD and life > first and event.id not in self._vendor.unanswered:
                repeated[first].add(call)
        for life, calls in repeated.items():
            assert len(calls) <= self._of.concurrency, (
                f"life {life}: {len(calls)} calls, {self._of.concurrency} at once"
            )

    def _check_order(self) -> None:
        """Within an owner's life a key only goes forward; the next may repeat what can be repeated, but nothing from
        before a call that cannot, and what was last stays last.
        """
        by_key: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)
        for life, event in self._vendor.performed:
            repeatable = FUNCTIONS[event.object, event.operation].idempotent
            by_key[event.record_key].append((life, int(event.id[1:]), repeatable))
        for key, calls in by_key.items():
            for (life, offset, _), (next_life, next_offset, _) in itertools.pairwise(calls):
                forward = life < next_life or offset <= next_offset
                assert forward or self._of.coalesce, f"{key}: {calls}"  # a merged call, repeated one by one, goes back
            for place, (_, offset, repeatable) in enumerate(calls):
                later = [o for _, o, _ in calls[place:]]
                assert repeatable or min(later) == offset, f"{key}: {calls}"
            assert calls[-1][1] == max(offset for _, offset, _ in calls), f"{key}: {calls}"
