"""Moves the offsets: ledger first, then the commit, one at a time, only what changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection

from topics.errors import CommitFenced, LogUnavailable
from topics.log import Commit, Consumer, Partition
from worker.clock import Clock, Timer
from worker.engine.counters import COMMIT_SECONDS, Histogram
from worker.engine.lane.assignment import Assignment
from worker.engine.lane.window import SendWindow
from worker.engine.progress.metadata import CROWDED
from worker.engine.settlement.ledger import Ledger
from worker.log_events import logger

INTERVAL = 0.05
"""Seconds from the beginning of a round to that of the next: a dirty partition commits within this.

At full load a round takes longer, and the next one follows at once: what no commit knows is what a crash repeats.
"""
RETRY_AFTER = 0.5
MAX_REQUEST_METADATA = 512 * 1024
"""Bytes of metadata in one request: Kafka fails one with 260 x 4 kB as a whole, for ever."""


class Committer:
    """``committed`` is called for every assignment whose commit is durable: calls that waited for it may start."""

    def __init__(
        self, consumer: Consumer, ledger: Ledger, clock: Clock, committed: Callable[[Assignment], None]
    ) -> None:
        self._consumer = consumer
        self._ledger = ledger
        self._clock = clock
        self._committed = committed
        self._dirty: set[Assignment] = set()
        self._last: dict[Partition, Commit] = {}
        self._go = asyncio.Event()
        self._timer: Timer | None = None
        self._busy = False
        self._last_at = float("-inf")
        self.seconds = Histogram(COMMIT_SECONDS)

    def dirty(self, assignment: Assignment) -> None:
        """Something of it is done, or waits to be announced."""
        self._dirty.add(assignment)
        if self._timer is not None or self._busy:
            return
        due = self._last_at + INTERVAL
        if due <= self._clock.monotonic():
            self._go.set()  # not by a timer: a pass of a busy loop takes 10 ms
        else:
            self._timer = self._clock.call_at(due, self._go.set)

    def urgent(self, assignment: Assignment) -> None:
        """Calls wait for this commit and nothing else is ready."""
        self._dirty.add(assignment)
        self._go.set()

    def insist(self, assignment: Assignment) -> None:
        """Commit it soon, even if nothing has changed: whether the log still accepts it from us is the question."""
        self._last.pop(assignment.partition, None)
        self.urgent(assignment)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._go.wait()
            self._go.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._busy = True
            self._last_at = self._clock.monotonic()
            await self.commit()
            self._busy = False
            if self._dirty:
                self.dirty(next(iter(self._dirty)))

    async def commit(self) -> None:
        """One round; what fails stays dirty."""
        assignments = {a.partition: a for a in self._dirty if not (a.closed or a.uncommitted)}
        self._dirty.clear()
        begin_round(assignments.values())
        commits = {partition: assignment.progress.snapshot() for partition, assignment in assignments.items()}
        rounds = {partition: assignment.round for partition, assignment in assignments.items()}
        try:
            await self._ledger.flush()
        except BaseException:
            self._dirty.update(assignments.values())
            raise
        changed = {}
        for partition, commit in commits.items():
            if self._last.get(partition) != commit:
                changed[partition] = commit
            else:  # the log knows all of it already: whoever waits for this round need not wait for another
                self._done(assignments[partition], commit, rounds[partition])
        for part in _requests(changed):
            await self._request(part, assignments, rounds)

    async def _request(
        self,
        part: dict[Partition, Commit],
        assignments: dict[Partition, Assignment],
        rounds: dict[Partition, int],
    ) -> None:
        began = self._clock.monotonic()
        try:
            await self._consumer.commit(part)
        except CommitFenced as error:
            # Somebody else owns (some of) them: ``lost`` or ``revoked`` is on its way. The others go on.
            logger().warning("commit.fenced", error=str(error), partitions=[str(p) for p in part])
            self._dirty.update(assignments[p] for p in part if not assignments[p].closed)
            await self._clock.sleep(RETRY_AFTER)
            return
        except LogUnavailable as error:
            logger().warning("commit.failed", error=str(error))
            self._dirty.update(assignments[p] for p in part)
            await self._clock.sleep(RETRY_AFTER)
            return
        self.seconds.observe(self._clock.monotonic() - began)
        for partition, commit in part.items():
            self._done(assignments[partition], commit, rounds[partition])

    def _done(self, assignment: Assignment, commit: Commit, number: int) -> None:
        if assignment.closed:
            return
        self._last[assignment.partition] = commit
        assignment.confirmed(number)
        assignment.crowded = len(commit.metadata) >= CROWDED
        self._committed(assignment)

    def metadata(self, partition: Partition) -> int:
        """Bytes of metadata in the last commit of that partition."""
        last = self._last.get(partition)
        return len(last.metadata) if last else 0

    def forget(self, assignment: Assignment) -> None:
        self._dirty.discard(assignment)
        self._last.pop(assignment.partition, None)


def begin_round(assignments: Collection[Assignment]) -> None:
    """With this commit the next calls that cannot be repeated are announced, each connection's in its own window."""
    together: defaultdict[SendWindow, list[Assignment]] = defaultdict(list)
    for assignment in assignments:
        assignment.begin_round()
        if assignment.window is not None:
            together[assignment.window].append(assignment)
    for window, its in together.items():
        window.announce(its)


def _requests(commits: dict[Partition, Commit]) -> list[dict[Partition, Commit]]:
    parts: list[dict[Partition, Commit]] = []
    room = 0
    for partition, commit in commits.items():
        size = len(commit.metadata)
        if size > room or not parts:
            parts.append({})
            room = MAX_REQUEST_METADATA
        parts[-1][partition] = commit
        room -= size
    return parts
