"""One partition that is ours for now: its progress, and its events in order per key.

An event on its way knows its partition, and the partition chains its events: they stand in one file.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from connectors.contract import Evidence, Function
from dead_letter.letter.letter import Attempt
from topics.event.event import Event
from topics.log import Partition, Record
from worker.progress.metadata import LetterCause
from worker.progress.offsets import Progress

Action = Literal["deliver", "find"]
KEPT_ATTEMPTS = 32
"""Attempts kept for the letter: the first half and the last half; the rest is a number."""


class Delivery:
    """An event in a lane.

    ``next`` is the event behind this one on the same key, which waits for it. ``round``: the first commit that knows
    the event before it to be done. ``spent``: attempts that counted. ``outgoing`` is what is sent by calling
    ``sends``: the event, or one call for it and ``absorbed``, the ones behind it; ``alone``: not together with others.
    ``letter_cause``: the verdict of its letter, as an earlier owner has announced it.
    """

    __slots__ = (
        "absorbed",
        "alone",
        "assignment",
        "attempts",
        "calls",
        "doubtful",
        "event",
        "first_at",
        "function",
        "key",
        "letter_cause",
        "next",
        "offset",
        "outgoing",
        "record",
        "round",
        "sends",
        "size",
        "spent",
        "suspect",
    )

    def __init__(self, record: Record, event: Event, function: Function, assignment: Assignment) -> None:
        self.record = record
        self.offset = record.offset
        self.size = record.size
        self.event = event
        self.outgoing = event
        self.absorbed: tuple[Delivery, ...] = ()
        self.alone = False
        self.function = function
        self.sends = function
        self.assignment = assignment
        self.key = event.record_key
        self.next: Delivery | None = None
        self.round = 0
        self.spent = 0
        self.calls = 0
        self.first_at = 0.0
        self.suspect = False
        self.doubtful = False
        self.letter_cause: LetterCause = ""
        self.attempts: list[Attempt] | None = None

    @property
    def backfill(self) -> bool:
        return self.event.replay is not None or self.event.options.backfill

    def note(self, *, at: float, ms: float, outcome: str, reason: str, evidence: Evidence) -> None:
        """Write an attempt that did not deliver into the story."""
        attempt = Attempt(
            number=self.calls,
            time=at,
            outcome=outcome,
            reason=reason,
            ms=ms,
            status=evidence.status,
            excerpt=evidence.excerpt,
            request_id=evidence.request_id,
        )
        if self.attempts is None:
            self.attempts = []
        if len(self.attempts) >= KEPT_ATTEMPTS:
            del self.attempts[KEPT_ATTEMPTS // 2]
        self.attempts.append(attempt)


@dataclass(slots=True)
class Batch:
    """Deliveries of one assignment and one function that go out in one call.

    ``replying``: replies to be acknowledged before all of it has ended; ``known``: the first commit that knows how it
    ended.
    """

    assignment: Assignment
    function: Function
    action: Action
    deliveries: list[Delivery]
    replying: int = 0
    known: float = math.inf


class Ready:
    """Heads of keys that can go out now, of one function and one action, in the order they became ready.

    ``counts``: calls of it need one of the connection's slots (``Assignment.slots``).
    """

    __slots__ = ("action", "assignment", "counts", "heads")

    def __init__(self, assignment: Assignment, action: Action, *, counts: bool) -> None:
        self.assignment = assignment
        self.action = action
        self.counts = counts
        self.heads: deque[Delivery] = deque()


class Assignment:
    """Lives from assignment to revocation.

    Nothing is started when it is not ``open`` any more; what comes back after ``closed`` is fenced, by being ignored.
    While ``catching_up`` its records wait: which of its keys are parked is being read.
    Per key only a chain: ``_tails`` holds its last event, every event knows the next. A key's head is out or ready or
    waiting for a moment; the others wait for the head. ``out``: events whose call is under way; ``settling``: events
    whose letter or reply is; ``round``: commits begun, each knowing all that was done before it; ``window``: calls
    announced at once; ``unmarked`` wait to be announced, ``unknowing`` for a commit that knows what went before them;
    ``holds``: why it is paused. ``slots``: calls that count (``functions.counts``), from their start until a commit
    knows how they ended: a crash repeats these and no others.
    """

    def __init__(self, partition: Partition, progress: Progress) -> None:
        self.partition = partition
        self.progress = progress
        self.committed_sent_to = progress.sent_to
        self.round = 0
        self.committed_round = 0
        self._inherited = progress.sent_to
        self._last_done = 0
        self.open = True
        self.closed = False
        self.catching_up = False
        self.records = 0
        self.bytes = 0
        self.out = 0
        self.settling = 0
        self.window = 1
        self.crowded = False
        self.holds: set[str] = set()
        self.calls: dict[int, asyncio.Task[None]] = {}
        self.ready: dict[tuple[int, bool, Action], Ready] = {}
        self.unmarked: deque[Delivery] = deque()
        self.unknowing: deque[Delivery] = deque()
        self.slots: dict[int, Batch] = {}
        self._tails: dict[str, Delivery] = {}
        self._waits: deque[tuple[int, asyncio.Future[None]]] = deque()

    def again(self) -> Assignment:
        """The same partition, read again from the first undone by the same owner; paused stays paused.

        What was announced counts only as far as it was committed.
        """
        fresh = Assignment(self.partition, self.progress.again())
        fresh.committed_sent_to = self.committed_sent_to
        fresh._last_done = 1
        fresh.holds = self.holds
        fresh.slots = {name: batch for name, batch in self.slots.items() if batch.known < math.inf}
        for batch in fresh.slots.values():
            batch.known = 1
        return fresh

    @property
    def keys(self) -> int:
        return len(self._tails)

    @property
    def quiet(self) -> bool:
        """Nothing is under way: no call, no letter, no reply."""
        return not self.out and not self.settling

    def mark(self) -> None:
        """Begin a commit round: announce the next ``window`` calls that cannot be repeated.

        They start when it is committed.
        """
        self.round += 1
        if (room := self.room) > 0:
            self.progress.mark(1 + max(delivery.offset for delivery in islice(self.unmarked, room)))

    def confirmed(self, sent_to: int, number: int) -> None:
        """That round is committed, and what it announced; whoever waited for it may go on."""
        self.committed_sent_to, self.committed_round = sent_to, number
        while self._waits and self._waits[0][0] <= number:
            _, wait = self._waits.popleft()
            if not wait.done():
                wait.set_result(None)

    def known(self) -> asyncio.Future[None]:
        """Done when a commit is durable that knows all that is so now; cancelled when the partition goes first."""
        wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.open:
            self._waits.append((self.round + 1, wait))
        else:
            wait.cancel()  # the last commit says it, and the next owner goes on
        return wait

    def leave(self) -> None:
        """Start nothing more of it, and wait for no commit."""
        self.open = False
        while self._waits:
            self._waits.popleft()[1].cancel()

    def let_go(self) -> None:
        """Keep none of its events. Each knows its assignment: left to the collector, they would stay for minutes."""
        self.progress.let_go()
        for waiting in (self.ready, self.unmarked, self.unknowing, self._tails):
            waiting.clear()

    def free(self) -> bool:
        """Give back the slots of calls whose end the log knows; True when there were any."""
        before = len(self.slots)
        if before:
            self.slots = {name: batch for name, batch in self.slots.items() if batch.known > self.committed_round}
        return len(self.slots) < before

    @property
    def unconfirmed(self) -> bool:
        """The next commit gives slots back."""
        return any(batch.known < math.inf for batch in self.slots.values())

    @property
    def wants_commit(self) -> bool:
        """A call waits for the next one."""
        return bool(self.unknowing) or self.room > 0

    @property
    def room(self) -> int:
        """How many more events may be announced now.

        What was announced and has not gone out yet counts: after a crash all of it is under suspicion, sent or not.
        """
        if not self.unmarked:
            return 0
        announced = sum(
            len(ready.heads)
            for ready in self.ready.values()
            if ready.action == "deliver" and ready.heads and not ready.heads[0].function.idempotent
        )
        return self.window * self.unmarked[0].function.batch_max - announced

    def took(self, size: int) -> None:
        """A record is in memory, in the lane or on its way to the dead letters."""
        self.records += 1
        self.bytes += size

    def gave_back(self, size: int) -> None:
        self.records -= 1
        self.bytes -= size

    def add(self, delivery: Delivery) -> bool:
        """Take a record in; True when it is the head of its key and may be offered."""
        self.took(delivery.size)
        self.progress.carry(delivery.offset, delivery)
        # what was announced before we read it, was so by a commit that does not know what we did before it on its key
        delivery.round = self.round + 1 if delivery.offset < self._inherited else self._last_done
        tail = self._tails.get(delivery.key)
        self._tails[delivery.key] = delivery
        if tail is None:
            return True
        tail.next = delivery
        return False

    def finish(self, delivery: Delivery) -> Delivery | None:
        """The head is done: let it go and return the next head of its key."""
        self.progress.done(delivery.offset)
        self.gave_back(delivery.size)
        self._last_done = self.round + 1
        following = delivery.next
        if following is None:
            del self._tails[delivery.key]
        else:
            following.round = self._last_done
        delivery.next = None
        return following
