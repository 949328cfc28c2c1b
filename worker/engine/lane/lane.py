"""The queueing of one connection: who may go out next. No calls, no clock of its own, no log.

A key has at most one event out; keys run side by side. What is ready now for the same object and operation goes in
one batch, up to the function's maximum; nothing waits for a batch to fill. Live events go before backfills and
replays of other keys; within a key the order is the topic's.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque

from connectors.contract import Function
from topics.event.event import Operation
from worker.engine.lane.assignment import Action, Assignment, Batch, Delivery, Ready
from worker.engine.lane.coalesce import gather
from worker.engine.lane.functions import counts
from worker.engine.lane.window import SendWindow

FIND_MAX = 100
"""Events asked about in one ``find``; connectors split further where the vendor takes fewer."""

TRAVEL = 0.03
"""Share of a key's interval that a request may take longer on its way than the next: the vendor counts arrivals."""


class Lane:
    """Holds assignments of one connection; hands out batches.

    ``coalesce``: waiting changes of a record go out as one call.
    """

    def __init__(self, *, coalesce: bool = False) -> None:
        self.assignments: dict[object, Assignment] = {}
        self.window = SendWindow(self.assignments)
        self.held = False
        self._coalesce = coalesce
        self._live: deque[Ready] = deque()
        self._backfill: deque[Ready] = deque()
        self._parts: deque[Batch] = deque()
        self._waiting: list[tuple[float, int, Action, Delivery]] = []
        self._paced: dict[str, float] = {}
        self._sequence = itertools.count()

    @property
    def records(self) -> int:
        return sum(assignment.records for assignment in self.assignments.values())

    @property
    def bytes(self) -> int:
        return sum(assignment.bytes for assignment in self.assignments.values())

    @property
    def waiting(self) -> int:
        """Events that wait for their moment."""
        return len(self._waiting)

    def adopt(self, assignment: Assignment) -> None:
        """Its events are in this lane."""
        self.assignments[assignment.partition] = assignment
        assignment.window = self.window

    def add(self, delivery: Delivery, now: float, due: float = 0.0) -> None:
        """A record from the log. ``due``: not before this moment (a retry that an earlier owner had planned)."""
        if delivery.assignment.add(delivery):
            self.offer(delivery, now, due=due)

    def offer(self, delivery: Delivery, now: float, *, action: Action = "deliver", due: float = 0.0) -> None:
        """The head of a key may go out, at ``due`` at the earliest."""
        if delivery.function.key_interval:
            due = max(due, self._paced.get(delivery.key, 0.0))
        if delivery.suspect and delivery.function.findable and delivery.calls == 0:
            action = "find"  # an earlier owner may have made this call
        if due > now:
            heapq.heappush(self._waiting, (due, next(self._sequence), action, delivery))
        elif action == "deliver" and not delivery.sends.idempotent:
            delivery.assignment.unannounced.append(delivery)
        elif action == "deliver" and self._behind(delivery):
            delivery.assignment.unknowing.append(delivery)
        else:
            self._make_ready(delivery, action)

    def _behind(self, delivery: Delivery) -> bool:
        """A deletion waits for a commit that knows the event before it on its key to be done.

        Or a crash would repeat that one behind this one, where it would find no record, and be dead-lettered. A call
        that cannot be repeated waits for that as well: the commit that announces it begins later.
        """
        deletion = delivery.sends.operation is Operation.DELETE
        return deletion and delivery.round > delivery.assignment.committed_round

    def committed(self, assignment: Assignment) -> bool:
        """A commit is durable: what waited for it may go out. True when something may, or a slot is free again."""
        released = assignment.free()
        announced = assignment.announced
        while announced and announced[0][0] <= assignment.committed_round:
            self._make_ready(announced.popleft()[1], "deliver")
            released = True
        unknowing = assignment.unknowing
        while unknowing and not self._behind(unknowing[0]):  # the next commit always covers the first
            self._make_ready(unknowing.popleft(), "deliver")
            released = True
        return released

    def withdraw(self) -> list[Assignment]:
        """Nothing can go out: take back all announcements. Returns the assignments whose next commit has to say so."""
        parts = [part for part in self._parts if _is_announced(part.function, part.action)]
        self._parts = deque(part for part in self._parts if part not in parts)
        withdrawn = []
        for assignment in self.assignments.values():
            back = [delivery for _, delivery in assignment.announced]
            assignment.announced.clear()
            for ready in assignment.ready.values():
                if ready.heads and _is_announced(ready.heads[0].sends, ready.action):
                    back += ready.heads
                    ready.heads.clear()
            back += [delivery for part in parts if part.assignment is assignment for delivery in part.deliveries]
            if back:
                assignment.withdraw(back)
                withdrawn.append(assignment)
        self._live = deque(ready for ready in self._live if ready.heads)
        self._backfill = deque(ready for ready in self._backfill if ready.heads)
        return withdrawn

    @property
    def ready(self) -> bool:
        """Something can go out now."""
        return bool(self._live or self._backfill or self._parts)

    @property
    def unannounced(self) -> bool:
        """A call that cannot be repeated waits for a commit."""
        return any(assignment.unannounced for assignment in self.assignments.values())

    def release_due(self, now: float) -> float | None:
        """Make ready what is due by now. Returns when the next one is due, or None."""
        while self._waiting:
            due, _, action, delivery = self._waiting[0]
            if not delivery.assignment.open:
                heapq.heappop(self._waiting)
            elif due <= now:
                heapq.heappop(self._waiting)
                self.offer(delivery, now, action=action)
            else:
                return due
        return None

    def take(self, slots: float = math.inf) -> Batch | None:
        """The next batch that may go out, or None. Its deliveries are out until they are finished or offered again.

        A call that counts is left out while ``slots`` of them are out, or have ended unknown to the log: it stays
        first, the others pass it, and ``held`` says so.
        """
        self.held = False
        for _ in range(len(self._parts)):
            part = self._parts.popleft()
            if not part.assignment.open:
                continue
            if not counts(part.function):
                return self._out(part)
            if self._counted() < slots:
                return self._out(part, counted=True)
            self._parts.append(part)
            self.held = True
        return self._next(self._live, slots) or self._next(self._backfill, slots)

    def _next(self, rotation: deque[Ready], slots: float) -> Batch | None:
        held: list[Ready] = []
        batch = None
        while rotation and batch is None:
            ready = rotation.popleft()
            if not ready.assignment.open or not ready.heads:
                continue
            if ready.counts and self._counted() >= slots:
                held.append(ready)
                continue
            first = ready.heads[0]
            size = FIND_MAX if ready.action == "find" else first.sends.batch_max
            heads = [ready.heads.popleft() for _ in range(min(size, len(ready.heads)))]
            if ready.heads:
                rotation.append(ready)  # functions and partitions take turns
            if self._coalesce and ready.action == "deliver":
                heads = self._coalesced(heads)
            if heads:
                batch = self._out(Batch(ready.assignment, first.sends, ready.action, heads), counted=ready.counts)
        if held:
            rotation.extendleft(reversed(held))
            self.held = True
        return batch

    def _counted(self) -> int:
        return sum(len(assignment.slots) for assignment in self.assignments.values())

    def _coalesced(self, heads: list[Delivery]) -> list[Delivery]:
        """The heads, each merged with what waits behind it; one with a deletion behind it gives way to the deletion."""
        going = []
        for head in heads:
            if head.sends is head.function:
                gather(head)
                if head.sends is not head.function:
                    self.offer(head, 0.0)
                    continue
            going.append(head)
        return going

    def bisect(self, batch: Batch) -> None:
        """A batch refused as a whole goes out again in halves, before anything else, until the culprit is alone.

        At most 2·log2(n) extra calls for one.
        """
        middle = (len(batch.deliveries) + 1) // 2
        for part in (batch.deliveries[:middle], batch.deliveries[middle:]):
            half = Batch(batch.assignment, batch.function, batch.action, part)
            self._parts.append(half)
            if _is_announced(half.function, half.action):
                half.assignment.sends_again(half)

    def keep_back(self, batch: Batch, going: list[Delivery]) -> None:
        """Of a batch that was taken only these are sent."""
        out = set(going)
        kept = [delivery for delivery in batch.deliveries if delivery not in out]
        batch.assignment.out -= len(kept)
        if _is_announced(batch.function, batch.action):
            batch.assignment.sent(batch, kept)
        batch.deliveries = going
        if not going:
            batch.assignment.slots.pop(id(batch), None)

    def returned(self, batch: Batch, now: float) -> None:
        """The call of a batch is over, whatever it brought; the interval of its keys began with it."""
        batch.assignment.out -= len(batch.deliveries)
        if _is_announced(batch.function, batch.action):
            batch.assignment.sent(batch, batch.deliveries)
        if batch.function.key_interval and batch.action == "deliver":
            interval = batch.function.key_interval
            due = min(now, batch.began + interval * TRAVEL) + interval
            for delivery in batch.deliveries:
                self._pace(delivery.key, due, now)

    def finish(self, delivery: Delivery, now: float) -> None:
        """The event is done, and what it absorbed; the next of its key may go out."""
        following = delivery.assignment.finish(delivery)
        for absorbed in delivery.absorbed:
            following = absorbed.assignment.finish(absorbed)
        if following is not None:
            self.offer(following, now)

    def drop(self, assignment: Assignment) -> None:
        """Start nothing more of this assignment; its memory is in its progress."""
        assignment.leave()
        self.assignments.pop(assignment.partition, None)
        # while nothing can go out nobody looks in here, and what is left would keep all that the assignment held alive
        self._live = deque(ready for ready in self._live if ready.assignment is not assignment)
        self._backfill = deque(ready for ready in self._backfill if ready.assignment is not assignment)
        self._parts = deque(part for part in self._parts if part.assignment is not assignment)
        self._waiting = [entry for entry in self._waiting if entry[-1].assignment is not assignment]
        heapq.heapify(self._waiting)

    def _pace(self, key: str, due: float, now: float) -> None:
        if len(self._paced) > 1_000:
            self._paced = {each: until for each, until in self._paced.items() if until > now}
        self._paced[key] = due

    def _make_ready(self, delivery: Delivery, action: Action) -> None:
        assignment = delivery.assignment
        backfill = delivery.backfill
        name = (id(delivery.sends), backfill, action)
        ready = assignment.ready.get(name)
        if ready is None:
            counted = action == "deliver" and counts(delivery.sends)
            ready = assignment.ready[name] = Ready(assignment, action, counts=counted)
        if not ready.heads:
            (self._backfill if backfill else self._live).append(ready)
        ready.heads.append(delivery)

    def _out(self, batch: Batch, *, counted: bool = False) -> Batch:
        batch.assignment.out += len(batch.deliveries)
        if counted:
            batch.assignment.slots[id(batch)] = batch
        if _is_announced(batch.function, batch.action):
            batch.assignment.sends(batch)
        return batch


def _is_announced(function: Function, action: Action) -> bool:
    """A call that cannot be repeated begins only when a commit has announced it."""
    return action == "deliver" and not function.idempotent
