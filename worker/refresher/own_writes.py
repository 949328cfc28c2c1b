"""How many of a script's own writes are not delivered yet: a refresh that starts too early would not read them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from topics.event.refresh import OwnWrites, RefreshRequest
from topics.log import Commit, Log, Partition
from worker.engine.progress.metadata import ForeignMetadata, Memory, decode


def undone_writes(log: Log, group: str, connection: str, requests: Iterable[RefreshRequest]) -> int:
    """How many of the writes that these requests come after are not done. Raises ``LogUnavailable``."""
    after = joined(request.after for request in requests)
    if not after:
        return 0
    topic = log.names.events_topic(connection)
    commits = log.committed(group, [Partition(topic, number) for number in after])
    return sum(undone(commits.get(Partition(topic, number)), writes) for number, writes in after.items())


def joined(afters: Iterable[Mapping[int, OwnWrites]]) -> dict[int, OwnWrites]:
    """By partition, the stretch from the first write of any request to the last write of any."""
    bounds: dict[int, tuple[int, int]] = {}
    for after in afters:
        for number, writes in after.items():
            first, last = bounds.get(number, (writes.first, writes.last))
            bounds[number] = min(first, writes.first), max(last, writes.last)
    return {number: OwnWrites(first=first, last=last) for number, (first, last) in bounds.items()}


def undone(commit: Commit | None, writes: OwnWrites) -> int:
    """How many offsets, from the first write to the last, are not done according to the commit.

    Other people's events in between count too: keeping each write's own offset would take a list of a million.
    """
    start, end = writes.first, writes.last + 1
    if commit is None:
        return end - start
    start = max(start, commit.offset)
    if start >= end:
        return 0
    done = sum(max(0, min(end, above) - max(start, below)) for below, above in _memory(commit).done)
    return end - start - done


def _memory(commit: Commit) -> Memory:
    try:
        return decode(commit.offset, commit.metadata)
    except ForeignMetadata:  # by a worker of a later version: only what is below the offset is known to be done
        return Memory()
