"""Who owns what: the listener of rebalances, and the one place that knows which assignment a commit belongs to.

The library calls it on its own loop. It never raises (that would keep the member out of the group for ever) and waits
for the owner no longer than ``REVOKE_MS``. Each assignment of a partition has an epoch of its own; it ends, first of
all, when the partition goes, and a commit that belongs to an ended one is fenced.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import kafka
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.future import Future

from topics.errors import CommitFenced
from topics.kafka import guards
from topics.kafka.client import says
from topics.kafka.commits import chunks, from_raw, to_raw
from topics.log import Commit, Partition
from topics.log.log_events import logger

log = logger()

REVOKE_MS = 1_200
"""A listener that waits starves the partitions that stay: 3 s cost 9.1 s of silence (measured)."""
LAST_COMMIT_MS = 1_000


class Ownership(AsyncConsumerRebalanceListener):  # type: ignore[misc] # the library has no types
    def __init__(self, owner: Any, post: Callable[..., bool]) -> None:
        self.consumer: Any = None
        self._owner, self._post = owner, post
        self._counter = itertools.count(1)
        self._epochs: dict[Partition, int] = {}
        self._new: set[Partition] = set()
        self._paused: set[Partition] = set()
        self._held: set[Partition] = set()

    def epoch(self, partition: Partition) -> int | None:
        return self._epochs.get(partition)

    # --- on the library's loop ----------------------------------------------------------------------------------------

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        for raw in assigned:
            self.consumer.pause(raw)
            self.consumer.seek(raw, 0)  # any position will do until the committed one is known: nothing is fetched
            partition = Partition(raw.topic, raw.partition)
            self._epochs[partition] = next(self._counter)
            self._new.add(partition)

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        known = self._end(revoked)
        if not known:
            return
        consumer = self.consumer
        answered = Future()

        def answer(commits: Mapping[Partition, Commit]) -> None:
            try:
                guards.on_client_loop(consumer, _succeed, answered, commits)
            except RuntimeError as error:
                log.info("log.revocation_late", error=says(error))

        try:
            if self._post(self._owner.revoked, known, answer):
                commits = await guards.wait_for(consumer, answered, REVOKE_MS)
                await self._commit_last(consumer, {p: commits[p] for p in known if p in commits})
        except Exception as error:  # noqa: BLE001 - see above: never raises
            log.warning("log.revocation_not_committed", partitions=[str(p) for p in known], error=says(error))

    async def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        if known := self._end(lost):
            log.warning("log.partitions_lost", partitions=[str(partition) for partition in known])
            self._post(self._owner.lost, known)

    async def commit(
        self, consumer: Any, commits: Mapping[Partition, Commit], epochs: Mapping[Partition, int], timeout_ms: float
    ) -> None:
        """One request, if every partition is still in the assignment that the commit was made in."""
        await guards.coordinator_ready(consumer, timeout_ms)
        for partition in commits:
            if self._epochs.get(partition) != epochs[partition]:
                raise CommitFenced(f"{partition} is not ours any more")
        await guards.commit_once(consumer, to_raw(commits), timeout_ms)

    async def _commit_last(self, consumer: Any, commits: Mapping[Partition, Commit]) -> None:
        for chunk in chunks(commits):
            await guards.commit_once(consumer, to_raw(chunk), LAST_COMMIT_MS)

    def _end(self, gone: Iterable[Any]) -> list[Partition]:
        """End the assignments of these partitions; returns those that the owner was told of."""
        known = []
        for raw in gone:
            partition = Partition(raw.topic, raw.partition)
            if self._epochs.pop(partition, None) is not None and partition not in self._new:
                known.append(partition)
            for some in (self._new, self._paused, self._held):
                some.discard(partition)
        return sorted(known)

    # --- on the poller's thread ---------------------------------------------------------------------------------------

    def unannounced(self) -> list[Partition]:
        return sorted(self._new)

    def announce(self, consumer: Any, new: Iterable[Partition], found: Mapping[Any, Any]) -> None:
        commits: dict[Partition, Commit | None] = {}
        epochs: dict[Partition, int] = {}
        for partition in new:
            raw = kafka.TopicPartition(*partition)
            if (commit := from_raw(found.get(raw))) is not None:
                consumer.seek(raw, commit.offset)
            else:
                consumer.seek_to_beginning(raw)
            commits[partition] = commit
            epochs[partition] = self._epochs[partition]
        self._new.difference_update(commits)
        self._post(self._owner.assigned, commits, epochs)
        consumer.resume(*(kafka.TopicPartition(*partition) for partition in commits))

    def obey(self, consumer: Any, kind: str, partition: Partition, offset: int) -> None:
        raw = kafka.TopicPartition(*partition)
        if kind == "pause":
            self._paused.add(partition)
            consumer.pause(raw)
            return
        if kind == "resume":
            self._paused.discard(partition)
        else:
            self._held.discard(partition)
            consumer.seek(raw, offset)
        if partition not in self._paused and partition not in self._held:
            consumer.resume(raw)

    def hold(self, consumer: Any, partition: Partition) -> None:
        """Fetch nothing of it until its owner seeks."""
        self._held.add(partition)
        consumer.pause(kafka.TopicPartition(*partition))

    def abandon(self) -> None:
        """The consumer is gone; what was not revoked in good order is lost."""
        if known := self._end([kafka.TopicPartition(*partition) for partition in tuple(self._epochs)]):
            self._post(self._owner.lost, known)


def _succeed(future: Any, commits: Mapping[Partition, Commit]) -> None:
    if not future.is_done:
        future.success(commits)
