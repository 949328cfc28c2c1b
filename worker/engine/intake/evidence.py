"""What the ledger knows of a partition whose commits are gone: from there its owner can go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from topics.errors import MalformedEvent
from topics.event.result import unpack
from topics.log import Log, Partition
from worker.engine.progress.metadata import Memory
from worker.engine.progress.ranges import Range, of

POLL_SECONDS = 1.0
AGES_MS = (3_600_000, 86_400_000, 7 * 86_400_000)
"""An hour, a day, a week: the ledger is read from the shortest of them that all first records are younger than."""
MARGIN_MS = 3_600_000
"""An hour: how much later than the ledger's clock the clock of a producer may be."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """``start``, ``end``: the partition's. ``ended``: ranges of offsets with an outcome in the ledger."""

    start: int
    end: int
    ended: tuple[Range, ...]

    @property
    def delivered_before(self) -> bool:
        """Its commits are not missing, they are gone: there are outcomes, or what lies below the start was deleted.

        Only what is done is deleted; and where nothing is left there is nothing that could go out twice.
        """
        return self.start < self.end and (bool(self.ended) or self.start > 0)

    @property
    def last(self) -> int:
        """One above the last offset with an outcome."""
        return self.ended[-1][1] if self.ended else self.start

    def memory(self) -> tuple[int, Memory]:
        """Where to go on, and what to remember.

        What has an outcome is done, and so is all that is older than the oldest outcome (the ledger keeps four weeks).
        What lies between may have been sent, and has no outcome.
        """
        ranges = [(start, end) for start, end in self.ended if end > self.start]
        if not ranges:
            return self.start, Memory()
        between = [(end, start) for (_, end), (start, _) in pairwise(ranges)]
        return ranges[0][1], Memory(announced=between, done=ranges[1:])

    @property
    def left(self) -> int:
        """Events that have no outcome, and go out when it goes on from the ledger."""
        watermark, memory = self.memory()
        return self.end - watermark - sum(end - start for start, end in memory.done)


def gather(log: Log, partitions: Sequence[Partition], now_ms: int) -> dict[Partition, Evidence]:
    """Reads the ledger from about the time of the partitions' first records on; blocks. Raises ``LogError``."""
    starts, ends = log.start_offsets(partitions), log.end_offsets(partitions)
    filled = [partition for partition in partitions if starts[partition] < ends[partition]]
    ended: dict[Partition, list[int]] = {partition: [] for partition in partitions}
    if filled:
        _read_ledger(log, ended, _since_ms(log, filled, starts, now_ms))
    return {place: Evidence(starts[place], ends[place], tuple(of(ended[place]))) for place in partitions}


def _since_ms(log: Log, partitions: Sequence[Partition], starts: Mapping[Partition, int], now_ms: int) -> int:
    """A moment before which nothing of these can have ended: they held no record."""
    for age in AGES_MS:
        first = log.offsets_at(partitions, now_ms - age)
        if all(first[partition] <= starts[partition] for partition in partitions):
            return now_ms - age - MARGIN_MS
    return 0


def _read_ledger(log: Log, ended: Mapping[Partition, list[int]], since_ms: int) -> None:
    results = log.names.results
    places = [Partition(results, number) for number in range(log.topics(results).get(results, 0))]
    ends = log.end_offsets(places)
    reader = log.reader(log.offsets_at(places, since_ms))
    topics = [topic.encode() for topic in {partition.topic for partition in ended}]
    try:
        while any(reader.position(place) < ends[place] for place in places):
            for record in reader.poll(POLL_SECONDS):
                value = record.value or b""
                if any(topic in value for topic in topics):  # most of a large ledger is about others: not to be parsed
                    _note(value, ended)
    finally:
        reader.close()


def _note(value: bytes, ended: Mapping[Partition, list[int]]) -> None:
    try:
        results = unpack(value)
    except MalformedEvent:
        return  # of a later version
    for result in results:
        if (offsets := ended.get(Partition(result.topic, result.partition))) is not None:
            offsets.append(result.offset)
