"""A member of a Kafka group, as the event loop sees it; ``poller.py`` polls, in a thread.

What crosses from the thread comes in order through ``call_soon_threadsafe``: assignments, batches, revocations. What
belongs to an assignment that has ended, or to the time before a seek, is dropped on this side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from topics.errors import CommitFenced, LogError, LogUnavailable
from topics.kafka.commits import chunks
from topics.kafka.membership import Membership
from topics.kafka.poller import Batch, Command, Poller
from topics.log import METADATA_BUDGET, Commit, Partition, Rebalance, Record, Unreadable
from topics.log.log_events import logger

log = logger()

CLOSE_SECONDS = 1.0
"""After this a close interrupts a poll that is in the middle of a rebalance."""
ABORT_SECONDS = 10.0
AT_ONCE = 250
"""Records of one poll: whoever takes them up does so in one pass of the event loop, and commits wait meanwhile."""


class KafkaConsumer:
    def __init__(self, membership: Membership, rebalance: Rebalance) -> None:
        self._rebalance = rebalance
        self._poller = Poller(self, membership)
        self._epochs: dict[Partition, int] = {}
        self._sought: dict[Partition, int] = {}
        self._positions: dict[Partition, int] = {}
        self._batches: deque[Batch] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._failure: LogError | None = None
        self._revocations: set[asyncio.Task[None]] = set()
        self._committing = asyncio.Lock()
        self._ended: asyncio.Event | None = None
        self._closed = False

    async def start(self) -> None:
        """Raises ``LogUnavailable`` when no broker answers."""
        if self._ended is None and not self._closed:
            self._ended = asyncio.Event()
            await asyncio.to_thread(self._poller.start, asyncio.get_running_loop())

    async def poll(self, timeout: float) -> list[Record]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        await asyncio.sleep(0)  # a backlog must not keep the loop from everything else
        while True:
            while self._batches:
                if records := self._take():
                    return records
            if self._failure is not None:
                raise self._failure
            if self._closed or not await self._wait(loop, deadline - loop.time()):
                return []

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._command("pause", partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._command("resume", partitions)

    def seek(self, partition: Partition, offset: int) -> None:
        if (number := self._command("seek", [partition], offset)) is not None:
            self._sought[partition] = number
            self._positions[partition] = offset

    def position(self, partition: Partition) -> int | None:
        return self._positions.get(partition)

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        for partition, commit in commits.items():
            if len(commit.metadata.encode()) > METADATA_BUDGET:
                raise LogError(f"the metadata of {partition} is longer than {METADATA_BUDGET} bytes")
            if partition not in self._epochs:
                raise CommitFenced(f"{partition} is not ours any more")
        epochs = {partition: self._epochs[partition] for partition in commits}
        async with self._committing:
            for chunk in chunks(commits):
                await self._poller.commit(chunk, epochs)

    @property
    def joined(self) -> bool:
        return self._poller.joined and not self._closed

    async def close(self) -> None:
        first, self._closed = not self._closed, True
        if self._ended is None:
            return
        self._wake()
        if first:
            self._poller.stop()
        try:
            await asyncio.wait_for(self._ended.wait(), CLOSE_SECONDS)
        except TimeoutError:
            await asyncio.to_thread(self._poller.abort)
            try:
                await asyncio.wait_for(self._ended.wait(), ABORT_SECONDS)
            except TimeoutError:
                log.error("log.consumer_hangs", group=self._poller.group)  # noqa: TRY400 - nothing more to say

    # --- called on the loop, by the thread ----------------------------------------------------------------------------

    def assigned(self, commits: Mapping[Partition, Commit | None], epochs: Mapping[Partition, int]) -> None:
        self._epochs.update(epochs)
        self._positions.update((place, commit.offset) for place, commit in commits.items() if commit is not None)
        self._rebalance.assigned(commits)

    def deliver(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._wake()

    def lost(self, partitions: Sequence[Partition]) -> None:
        self._forget(partitions)
        self._rebalance.lost(partitions)

    def revoked(self, partitions: Sequence[Partition], answer: Callable[[Mapping[Partition, Commit]], None]) -> None:
        self._forget(partitions)
        task = asyncio.get_running_loop().create_task(self._revoke(partitions, answer))
        self._revocations.add(task)
        task.add_done_callback(self._revocations.discard)

    def unreadable(self, found: Unreadable) -> None:
        if found.partition in self._epochs:
            self._rebalance.unreadable(found)

    def failed(self, error: LogError) -> None:
        self._failure = error
        self._wake()

    def ended(self) -> None:
        assert self._ended is not None
        self._ended.set()
        if not self._closed and self._failure is None:
            self.failed(LogUnavailable("the consumer has ended"))

    # ------------------------------------------------------------------------------------------------------------------

    async def _revoke(
        self, partitions: Sequence[Partition], answer: Callable[[Mapping[Partition, Commit]], None]
    ) -> None:
        commits: Mapping[Partition, Commit] = {}
        try:
            commits = await self._rebalance.revoked(partitions)
        except Exception:  # a listener that raises would keep the member out of its group for ever
            log.exception("log.revocation_failed", partitions=[str(partition) for partition in partitions])
        answer(commits)

    def _forget(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._sought.pop(partition, None)
            self._positions.pop(partition, None)
        for batch in self._batches:
            for partition in partitions:
                batch.records.pop(partition, None)
                batch.passed.pop(partition, None)

    def _command(self, kind: str, partitions: Sequence[Partition], offset: int = 0) -> int | None:
        number = None
        for partition in partitions:
            if (epoch := self._epochs.get(partition)) is not None:
                number = self._poller.tell(Command(kind, partition, epoch, offset))
        return number

    def _take(self) -> list[Record]:
        """Of the oldest batch at most ``AT_ONCE``; what is left of it belongs to the consumer, as before."""
        batch = self._batches[0]
        records: list[Record] = []
        while batch.records and len(records) < AT_ONCE:
            partition, some = next(iter(batch.records.items()))
            part, rest = some[: AT_ONCE - len(records)], some[AT_ONCE - len(records) :]
            if rest:
                batch.records[partition] = rest
            else:
                del batch.records[partition]
            if not self._is_from_before_seek(batch, partition):
                self._positions[partition] = part[-1].offset + 1
                records += part
        if not batch.records:
            self._batches.popleft()
            self._poller.taken()
            for partition, offset in batch.passed.items():
                if not self._is_from_before_seek(batch, partition):
                    self._positions[partition] = offset
        return records

    def _is_from_before_seek(self, batch: Batch, partition: Partition) -> bool:
        sought = self._sought.get(partition)
        if sought is None:
            return False
        if batch.told < sought:
            return True
        del self._sought[partition]
        return False

    async def _wait(self, loop: asyncio.AbstractEventLoop, seconds: float) -> bool:
        """Wait for news; False when none came in that time. It takes no records, so a cancelled poll loses nothing."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return bool(self._batches)
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        return loop.time() < timer.when() or bool(self._batches)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
