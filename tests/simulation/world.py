"""A simulated log, vendor and clock around the real dispatcher, lane, offsets, decide, breaker and throttle.

One seed is one history: random verdicts, lost answers, crashes between call and commit, rebalances, outages. At the
end the three promises are reckoned against what the vendor really did.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dead_letter.letter.letter import Letter, decode
from tests.simulation.connection import SimConnection, SimProducer
from tests.simulation.reckoning import Reckoning
from tests.simulation.vendor import FUNCTIONS, Odds
from topics import names
from topics.event import codec
from topics.event.event import Event
from topics.event.result import Result, unpack
from topics.log import Commit, Partition, Record
from worker.clock import FakeClock
from worker.engine.decide.decide import Bury
from worker.engine.decide.retry import RetryPolicy
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.lane.assignment import Assignment, Delivery
from worker.engine.passes import PassLimit
from worker.engine.ports import DispatchContext
from worker.engine.progress.offsets import Progress
from worker.engine.settlement.committer import begin_round
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import Outcomes
from worker.engine.settlement.publisher import RetryingPublisher


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
            Reckoning(one, self.records, self.results, self.letters, self.suspects | self.cut_off).check()
