"""The partitions of ``writeback.refresh`` that are ours for now, and the requests that were read from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from topics.event.refresh import RefreshRequest
from topics.log import Commit, Partition, Record
from worker.engine.progress.metadata import ForeignMetadata
from worker.engine.progress.offsets import Progress
from worker.log_events import logger
from worker.refresher.debounce import Scope


class OwnedPartition:
    """One assignment, until its revocation. Once it is not ``open``, results for it are dropped."""

    def __init__(self, partition: Partition, commit: Commit | None) -> None:
        self.partition = partition
        self.progress = _progress(partition, commit)
        self.open = True


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A request, and the record whose offset is done when the request is answered."""

    owned: OwnedPartition
    record: Record
    request: RefreshRequest

    @property
    def scope(self) -> Scope:
        return scope_of(self.request)


def scope_of(request: RefreshRequest) -> Scope:
    return Scope(None if request.objects is None else frozenset(request.objects), request.full)


def fewest(requests: Sequence[Asked]) -> list[Asked]:
    """The fewest requests that together ask for everything that all of them ask for; later ones are preferred."""
    chosen: list[Asked] = []
    for asked in reversed(requests):
        so_far = _union(chosen)
        if so_far is None or so_far | asked.scope != so_far:
            chosen.append(asked)
    whole = _union(chosen)
    for asked in list(chosen):
        rest = [other for other in chosen if other is not asked]
        if rest and _union(rest) == whole:
            chosen = rest
    return chosen[::-1]


def _union(requests: Sequence[Asked]) -> Scope | None:
    union: Scope | None = None
    for asked in requests:
        union = asked.scope if union is None else union | asked.scope
    return union


def _progress(partition: Partition, commit: Commit | None) -> Progress:
    try:
        return Progress(commit)
    except ForeignMetadata as error:
        logger().warning("commit.foreign_metadata", partition=str(partition), error=str(error))
        assert commit is not None
        return Progress(Commit(commit.offset))
