"""parse → route: every record finds its connection's dispatcher, or the dead letters with a reason."""

from __future__ import annotations

from collections.abc import Callable

from connectors.errors import UnknownFunction
from topics import names
from topics.errors import MalformedEvent
from topics.event import codec
from topics.event.event import Event
from topics.event.unpark import Unpark, unpark_of
from topics.log import Partition, Record
from worker.engine.dispatch.dispatch import Dispatcher
from worker.engine.intake.budget import Budget
from worker.engine.intake.intake import ConnectionIntake, ConnectionOpener
from worker.engine.intake.pauses import PartitionPauses
from worker.engine.lane.assignment import Assignment
from worker.engine.lane.parking import CLOSING, closing_event
from worker.engine.progress.metadata import LetterCause
from worker.engine.settlement.committer import Committer
from worker.engine.settlement.refused import RefusedRecords

MOST_WAITING = 20
"""Records that a connection keeps while it is being opened: a thousand may be, when a worker starts."""


class Router:
    """Owns the intakes: one for each connection of which this worker owns partitions."""

    def __init__(
        self,
        opener: ConnectionOpener,
        pauses: PartitionPauses,
        budget: Budget,
        committer: Committer,
        refused: RefusedRecords,
    ) -> None:
        self._opener = opener
        self._pauses = pauses
        self._budget = budget
        self._committer = committer
        self._refused = refused
        self.intakes: dict[str, ConnectionIntake] = {}
        self.assignments: dict[Partition, Assignment] = {}

    def intake(self, partition: Partition) -> ConnectionIntake:
        slug = names.slug_of(partition.topic) or partition.topic
        intake = self.intakes.get(slug)
        if intake is None:
            intake = self.intakes[slug] = ConnectionIntake(slug)
        return intake

    def adopt(self, assignment: Assignment, *, from_others: bool = False) -> None:
        """A partition is ours; ``from_others``: somebody else may have parked and freed its keys until now."""
        self.assignments[assignment.partition] = assignment
        intake = self.intake(assignment.partition)
        intake.assignments[assignment.partition] = assignment
        if intake.dispatcher is None:
            return
        intake.dispatcher.adopt(assignment)
        if from_others and intake.dispatcher.park is not None:
            assignment.catching_up = True
            self._pauses.hold(assignment, "catching up")
            self._opener.catch_up(intake, assignment, self._caught_up)

    def _caught_up(self, intake: ConnectionIntake, assignment: Assignment) -> None:
        """Its parked keys are known: what came meanwhile goes where it belongs."""
        assignment.catching_up = False
        mine = [record for owner, record in intake.waiting if owner is assignment]
        if intake.dispatcher is not None:
            intake.waiting = [(owner, record) for owner, record in intake.waiting if owner is not assignment]
            for record in mine:
                self._accept(intake.dispatcher, assignment, record)
            self._after(intake)
        self._pauses.release(assignment, "catching up")

    def disown(self, assignment: Assignment) -> None:
        """The partition is going away: start no more calls of it; those under way may still finish."""
        assignment.leave()
        self.assignments.pop(assignment.partition, None)
        intake = self.intake(assignment.partition)
        intake.assignments.pop(assignment.partition, None)
        intake.waiting = [(owner, record) for owner, record in intake.waiting if owner is not assignment]
        if intake.dispatcher is not None:
            intake.dispatcher.disown(assignment)
        self._make_room(intake)  # its records were perhaps what held up the others

    def retire(self, assignment: Assignment) -> None:
        """The partition is gone: ignore whatever its calls still bring back."""
        assignment.closed = True
        self._budget.gave_back(assignment.records, assignment.bytes)

    def pass_over(self, position: Callable[[Partition], int | None]) -> None:
        """Offsets that hold no record are done: markers of transactions, what was rolled back or compacted away.

        ``position``: the consumer's. Every record below it was handed out, so it was received, waits here, or was put
        back, which took the position back, too.
        """
        for partition, assignment in self.assignments.items():
            reached = position(partition)
            if assignment.withheld or reached is None or reached <= assignment.progress.top:
                continue
            if not self._waits(assignment):
                assignment.progress.pass_to(reached)
                self._committer.dirty(assignment)

    def _waits(self, assignment: Assignment) -> bool:
        return any(owner is assignment for owner, _ in self.intake(assignment.partition).waiting)

    def route(self, records: list[Record]) -> None:
        touched: dict[str, ConnectionIntake] = {}
        refused: set[Partition] = set()
        for record in records:
            partition = record.partition
            assignment = self.assignments.get(partition)
            if assignment is None or (refused and partition in refused):
                continue
            if assignment.withheld:  # nothing of it is here, so there is nothing to open its connection for
                refused.add(partition)
                self._pauses.put_back(assignment, record.offset)
                continue
            intake = self.intake(partition)
            touched[intake.slug] = intake
            if not self._has_room(intake, assignment, record.offset):
                refused.add(partition)
                self._pauses.put_back(assignment, record.offset)
            elif intake.dispatcher is None or assignment.catching_up:
                intake.waiting.append((assignment, record))
            else:
                self._accept(intake.dispatcher, assignment, record)
        if touched:
            self._budget.lanes(sum(1 for intake in self.intakes.values() if intake.records))
            for intake in touched.values():
                self._after(intake)

    def _has_room(self, intake: ConnectionIntake, assignment: Assignment, offset: int) -> bool:
        """Is there room for one more record of this connection?"""
        if intake.dispatcher is None or assignment.catching_up:
            return len(intake.waiting) < MOST_WAITING or intake.is_buried(assignment.partition, offset)
        return not (self._budget.overfull and self._budget.full(intake.records, intake.bytes))

    def open(self, intake: ConnectionIntake) -> None:
        """Open it, as it is in the store now; what came for it waits."""
        self._opener.open(intake, self._opened)

    def open_now(self, intake: ConnectionIntake) -> None:
        """One that is held: do not wait for the next try."""
        self._opener.open_now(intake, self._opened)

    def _opened(self, intake: ConnectionIntake, dispatcher: Dispatcher | None) -> None:
        """The connection is open, or unknown and to be dead-lettered: what waited goes where it belongs."""
        intake.dispatcher = dispatcher
        if dispatcher is None:
            self._opened_to_bury(intake)
            return
        waiting, intake.waiting = intake.waiting, []
        for assignment in intake.assignments.values():
            dispatcher.adopt(assignment)
        if dispatcher.connection.state != "active":
            dispatcher.destination.pause()
        for assignment, record in waiting:
            self._accept(dispatcher, assignment, record)
        self._check_room(intake)
        for assignment in intake.assignments.values():
            self._pauses.release(assignment, "opening")
        dispatcher.pump()

    def _opened_to_bury(self, intake: ConnectionIntake) -> None:
        """It is unknown: dead-letter what an operator has ordered, in portions; the rest goes on waiting."""
        waiting, intake.waiting = intake.waiting, []
        for assignment, record in waiting:
            if intake.is_buried(assignment.partition, record.offset):
                self._unknown(intake, assignment, record)
            else:
                intake.waiting.append((assignment, record))
        self._check_room(intake)
        for assignment in intake.assignments.values():
            if intake.is_buried(assignment.partition, assignment.progress.top):
                self._pauses.release(assignment, "opening")
        if intake.waiting:
            self._after(intake)
        elif not any(intake.is_buried(one.partition, one.progress.top) for one in intake.assignments.values()):
            self._nothing_waits(intake)

    def _nothing_waits(self, intake: ConnectionIntake) -> None:
        """Nothing of an unknown connection waits any more: it is no longer held, and can be made anew."""
        intake.state, intake.reason = "closed", ""
        for assignment in intake.assignments.values():
            self._pauses.release(assignment, "opening")

    def finished(self, assignment: Assignment, size: int) -> None:
        """One event less in the buffers: when its lane has room again, let its partitions flow."""
        self._budget.gave_back(1, size)
        if "full" in assignment.holds:
            self._make_room(self.intake(assignment.partition))

    def _make_room(self, intake: ConnectionIntake) -> None:
        if self._budget.roomy(intake.records, intake.bytes):
            for assignment in intake.assignments.values():
                self._pauses.release(assignment, "full")

    def _check_room(self, intake: ConnectionIntake) -> None:
        if self._budget.full(intake.records, intake.bytes):
            for assignment in intake.assignments.values():
                self._pauses.hold(assignment, "full")

    def _after(self, intake: ConnectionIntake) -> None:
        dispatcher = intake.dispatcher
        if dispatcher is None:
            for assignment in intake.assignments.values():
                self._pauses.hold(assignment, "opening")
            self.open(intake)
            return
        self._check_room(intake)
        dispatcher.pump()

    def _accept(self, dispatcher: Dispatcher, assignment: Assignment, record: Record) -> None:
        if not assignment.open or not self._new(assignment, record):
            return
        event: Event | None = None
        try:
            event = codec.decode(record)
            function = dispatcher.function(event)
        except MalformedEvent as error:
            unpark = unpark_of(record)
            if unpark is None:
                self._refuse(dispatcher, assignment, record, None, cause="malformed", reason=str(error))
            else:
                self._close(dispatcher, assignment, record, unpark)
        except UnknownFunction as error:
            self._refuse(dispatcher, assignment, record, event, cause="unknown-function", reason=str(error))
        else:
            slug = dispatcher.connection.slug
            if event.connection != slug:
                misdirected = _misdirected(event, slug)
                self._refuse(dispatcher, assignment, record, event, cause="rejected", reason=misdirected)
            elif (end := dispatcher.announced_letter(record, function, assignment)) is not None:
                self._bury(assignment, record, event, end.cause, end.reason)
            else:
                dispatcher.destination.received(hopeless=False)
                self._budget.took(record.size)
                dispatcher.accept(record, event, function, assignment)

    def _new(self, assignment: Assignment, record: Record) -> bool:
        """False when an earlier owner has done this record, which is then skipped."""
        new = assignment.progress.receive(record.offset)
        if not new:
            self._committer.dirty(assignment)
        return new

    def _refuse(
        self,
        dispatcher: Dispatcher,
        assignment: Assignment,
        record: Record,
        event: Event | None,
        *,
        cause: LetterCause,
        reason: str,
    ) -> None:
        """Dead-letter a record that is refused without a call; a flood of them quarantines the connection.

        Of a connection that is paused, by an operator or for such a flood, nothing more goes into the dead letters: it
        stays undone, and is read again when the connection is resumed.
        """
        destination = dispatcher.destination
        destination.received(hopeless=True)
        if destination.paused:
            self._hold(assignment, record)
        else:
            self._bury(assignment, record, event, cause, reason)

    def _close(self, dispatcher: Dispatcher, assignment: Assignment, record: Record, unpark: Unpark) -> None:
        """The closing record of a replay takes its turn in its key's chain."""
        if dispatcher.park is None:
            assignment.progress.done(record.offset)
            self._committer.dirty(assignment)
            return
        self._budget.took(record.size)
        event = closing_event(dispatcher.connection.slug, unpark)
        dispatcher.accept(record, event, CLOSING, assignment)

    def _unknown(self, intake: ConnectionIntake, assignment: Assignment, record: Record) -> None:
        if not assignment.open or not self._new(assignment, record):
            return
        event: Event | None = None
        try:
            event = codec.decode(record)
        except MalformedEvent as error:
            reason = f"no connection has the slug {intake.slug!r}; and the record is malformed: {error}"
        else:
            reason = f"no connection has the slug {intake.slug!r}: `writeback connections list` shows what there is"
        self._bury(assignment, record, event, "unknown-connection", reason)

    def _bury(
        self, assignment: Assignment, record: Record, event: Event | None, cause: LetterCause, reason: str
    ) -> None:
        """Dead-letter a record. Until its letter is written it counts as in memory, which slows down reading."""
        self._hold(assignment, record)
        self._refused.bury(assignment, record, event, cause, reason, ended=self.finished)

    def _hold(self, assignment: Assignment, record: Record) -> None:
        self._budget.took(record.size)
        assignment.took(record.size)


def _misdirected(event: Event, slug: str) -> str:
    return f"the event names the connection {event.connection!r}, but the topic is {slug!r}'s: the topic decides"
