"""One partition that is ours for now: its progress, and its events in order per key.

An event on its way knows its partition, and the partition chains its events: they stand in one file.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from connectors.contract import Evidence, Function
from dead_letter.letter.letter import Attempt
from topics.event.event import Event
from topics.log import Partition, Record, Unreadable
from worker.engine.lane.window import ROUNDING, SendWindow
from worker.engine.progress.metadata import LetterCause
from worker.engine.progress.offsets import Progress

Action = Literal["deliver", "find"]
KEPT_ATTEMPTS = 32
"""Attempts kept for the letter: the first half and the last half; the rest is a number."""


@dataclass(frozen=True, slots=True)
class PartitionHold:
    """Why nothing of a partition goes out until a person has decided; ``reason`` says how that is said.

    ``commits``: they are gone. ``unreadable``: the log cannot hand out what lies there.
    """

    kind: Literal["commits", "unreadable"]
    reason: str
    unreadable: Unreadable | None = None


class Delivery:
    """An event in a lane.

    ``next`` is the event behind this one on the same key, which waits for it. ``round``: the first commit that knows
    the event before it to be done, for which a deletion waits. ``spent``: attempts that counted. ``outgoing`` is what
    is sent by calling ``sends``: the event, or one call for it and ``absorbed``, the ones behind it; ``alone``: not
    together with others.
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
        """Add an attempt that did not deliver to what its letter will tell."""
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
    ended; ``began``: when its call did, on the monotonic clock.
    """

    assignment: Assignment
    function: Function
    action: Action
    deliveries: list[Delivery]
    began: float = math.inf
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
    While ``catching_up`` its records wait: which of its keys are parked is being read. While ``withheld`` they are put
    back: from where it is read is not known yet. While ``uncommitted`` its commits are missing or gone, and a commit
    would hide that. ``hold``: a person has to decide, see ``PartitionHold``.
    Per key only a chain: ``_tails`` holds its last event, every event knows the next. A key's head is out or ready or
    waiting for a moment; the others wait for the head. ``out``: events whose call is under way; ``settling``: events
    whose letter or reply is; ``round``: commits begun, each knowing all that was done before it; ``holds``: why it is
    paused. Of the calls that cannot be repeated, ``unannounced`` wait for a commit to begin, ``announced`` for that one
    to be durable; ``ahead`` is what was announced and is not under way, ``sending`` what is, both in calls of the
    connection's ``window``, by which ``turn`` it comes. ``unknowing``: deletions that wait for a commit which knows
    what went before them. ``slots``: calls that count (``functions.counts``), from their start until a commit knows how
    they ended: a crash repeats these and no others.
    """

    def __init__(self, partition: Partition, progress: Progress) -> None:
        self.partition = partition
        self.progress = progress
        self.round = 0
        self.committed_round = 0
        self._last_done = 0
        self.open = True
        self.closed = False
        self.catching_up = False
        self.withheld = False
        self.uncommitted = False
        self.hold: PartitionHold | None = None
        self.records = 0
        self.bytes = 0
        self.out = 0
        self.settling = 0
        self.crowded = False
        self.holds: set[str] = set()
        self.calls: dict[int, asyncio.Task[None]] = {}
        self.ready: dict[tuple[int, bool, Action], Ready] = {}
        self.window: SendWindow | None = None
        self.turn = 0
        self.ahead = 0.0
        self.sending = 0.0
        self.unannounced: deque[Delivery] = deque()
        self.announced: deque[tuple[int, Delivery]] = deque()
        self.unknowing: deque[Delivery] = deque()
        self.slots: dict[int, Batch] = {}
        self._tails: dict[str, Delivery] = {}
        self._waits: deque[tuple[int, asyncio.Future[None]]] = deque()

    def again(self) -> Assignment:
        """The same partition, read again from the first undone by the same owner; paused stays paused."""
        fresh = Assignment(self.partition, self.progress.again())
        fresh._last_done = 1
        fresh.holds = self.holds
        fresh.hold, fresh.withheld, fresh.uncommitted = self.hold, self.withheld, self.uncommitted
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

    def begin_round(self) -> None:
        """A commit begins: what is done now, and announced by then, it knows."""
        self.round += 1

    def confirmed(self, number: int) -> None:
        """That round is committed; whoever waited for it may go on."""
        self.committed_round = number
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
        """Start nothing more of it, announce nothing, and wait for no commit."""
        self.open = False
        self.window = None
        while self._waits:
            self._waits.popleft()[1].cancel()

    def let_go(self) -> None:
        """Keep none of its events. Each knows its assignment: left to the collector, they would stay for minutes."""
        self.progress.let_go()
        for waiting in (self.ready, self.unannounced, self.announced, self.unknowing, self._tails):
            waiting.clear()

    def free(self) -> bool:
        """Give back the slots of calls whose end the log knows; True when there were any."""
        before = len(self.slots)
        if before:
            self.slots = {name: batch for name, batch in self.slots.items() if batch.known > self.committed_round}
        return len(self.slots) < before

    @property
    def unconfirmed(self) -> bool:
        """True when the next commit will give slots back."""
        return any(batch.known < math.inf for batch in self.slots.values())

    @property
    def wants_commit(self) -> bool:
        """True when a call waits to be announced by the next commit."""
        return bool(self.unknowing) or bool(self.unannounced and self.window and self.window.room)

    # -- calls that cannot be repeated ------------------------------------------------------------------------------

    def announce(self, calls: float) -> float:
        """Announce, by the commit that has begun, the next that make about so many calls; how many they are."""
        before = self.ahead
        while self.unannounced and self.ahead - before < calls - ROUNDING:
            delivery = self.unannounced.popleft()
            self.progress.announce(delivery.offset)
            self.announced.append((self.round, delivery))
            self.ahead += 1 / delivery.sends.batch_max
        return self.ahead - before

    def sends(self, batch: Batch) -> None:
        """Its call is about to begin."""
        calls = len(batch.deliveries) / batch.function.batch_max
        self.ahead -= calls
        self.sending += calls

    def sent(self, batch: Batch, deliveries: Sequence[Delivery]) -> None:
        """Their call is over, or was never made: take back its announcement, as the outcome says what happened."""
        self.sending -= len(deliveries) / batch.function.batch_max
        for delivery in deliveries:
            self.progress.withdraw(delivery.offset)

    def sends_again(self, batch: Batch) -> None:
        """They are sent once more at once. No commit was made in between, so they are still announced."""
        self.ahead += len(batch.deliveries) / batch.function.batch_max
        for delivery in batch.deliveries:
            self.progress.announce(delivery.offset)

    def withdraw(self, deliveries: Sequence[Delivery]) -> None:
        """Their calls do not begin now: they wait to be announced again, before the others."""
        for delivery in deliveries:
            self.progress.withdraw(delivery.offset)
            self.ahead -= 1 / delivery.sends.batch_max
        self.unannounced.extendleft(sorted(deliveries, key=lambda delivery: -delivery.offset))

    # -- records in and out -----------------------------------------------------------------------------------------

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
        delivery.round = self._last_done
        tail = self._tails.get(delivery.key)
        self._tails[delivery.key] = delivery
        if tail is None:
            return True
        tail.next = delivery
        return False

    def finish(self, delivery: Delivery) -> Delivery | None:
        """The first event of its key is done: remove it, and return the one behind it."""
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
