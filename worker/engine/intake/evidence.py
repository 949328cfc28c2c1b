"""What the ledger knows of a partition whose commits are gone: from there its owner can go on."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from dead_letter.letter.letter import letter_id
from topics.errors import MalformedEvent
from topics.event import codec
from topics.event.result import unpack
from topics.log import Log, Partition, Record, UnreadableRecords
from worker.engine.progress.metadata import Memory
from worker.engine.progress.ranges import Range, of, union

POLL_SECONDS = 1.0
READ_SECONDS = 10.0
"""For so long one record of a partition may be waited for."""
AGES_MS = (3_600_000, 86_400_000, 7 * 86_400_000)
"""An hour, a day, a week: the ledger is read from the shortest of them that all first records are younger than."""
MARGIN_MS = 3_600_000
"""An hour: how much later than the ledger's clock the clock of a producer may be."""
LOOKED_AT = 50_000
"""So many records of a partition at most are read to tell a missing outcome from an offset without a record."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """``start``, ``end``: the partition's. ``ended``: ranges of offsets below the end with an outcome in the ledger.

    ``empty``: offsets that hold no record (markers of transactions, what was rolled back), as far as the partition was
    looked through, which is up to ``looked_to``.
    """

    start: int
    end: int
    ended: tuple[Range, ...]
    empty: tuple[Range, ...] = ()
    looked_to: int = 0

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

        What has an outcome is done, and so are offsets without a record, and all that is older than the oldest outcome
        (the ledger keeps four weeks). What lies between may have been sent, and has no outcome.
        """
        ranges = [(start, end) for start, end in union([*self.ended, *self.empty]) if end > self.start]
        if not ranges:
            return self.start, Memory()
        between = [(end, start) for (_, end), (start, _) in pairwise(ranges)]
        return ranges[0][1], Memory(announced=between, done=ranges[1:])

    @property
    def left(self) -> int:
        """Events that have no outcome, and go out when it goes on from the ledger; see ``exact``."""
        watermark, memory = self.memory()
        return self.end - watermark - sum(end - start for start, end in memory.done)

    @property
    def exact(self) -> bool:
        """``left`` is their number. If not, it is the most that it can be."""
        return self.looked_to >= self.end


@dataclass(slots=True)
class _Outcomes:
    """What the ledger has of one partition, in its order: offsets, and hashes of the events' ids."""

    offsets: array[int] = field(default_factory=lambda: array("q"))
    ids: array[int] = field(default_factory=lambda: array("q"))


def gather(log: Log, partitions: Sequence[Partition], now_ms: int) -> dict[Partition, Evidence]:
    """Reads the ledger from about the time of the partitions' first records on; blocks. Raises ``LogError``."""
    starts, ends = log.start_offsets(partitions), log.end_offsets(partitions)
    filled = [partition for partition in partitions if starts[partition] < ends[partition]]
    found = {partition: _Outcomes() for partition in partitions}
    if filled:
        _read_ledger(log, found, _since_ms(log, filled, starts, now_ms))
    judged: dict[Partition, Evidence] = {}
    for partition, outcomes in found.items():
        start, end = starts[partition], ends[partition]
        ended = tuple(of(_of_this_topic(log, partition, start, end, outcomes)))
        empty, looked_to = _without_records(log, partition, ended[0][1], end) if ended else ((), start)
        judged[partition] = Evidence(start, end, ended, empty, looked_to)
    return judged


def _without_records(log: Log, partition: Partition, start: int, end: int) -> tuple[tuple[Range, ...], int]:
    """The offsets from ``start`` on that hold no record, and up to where that is known.

    What cannot be read is a record: there the look ends, as it does after so many records.
    """
    reader = log.reader({partition: start}, strict=True)
    empty: list[Range] = []
    place, left = start, LOOKED_AT
    try:
        while place < end and left > 0:
            records = reader.poll(POLL_SECONDS)
            for record in records:
                empty.append((place, record.offset))
                place = record.offset + 1
            left -= len(records)
            empty.append((place, max(place, reader.position(partition))))
            place = empty[-1][1]
    except UnreadableRecords:
        pass
    finally:
        reader.close()
    return tuple(union(empty)), place


def _of_this_topic(log: Log, partition: Partition, start: int, end: int, outcomes: _Outcomes) -> Sequence[int]:
    """Without the outcomes of a topic of the same name that was deleted before this one was made.

    All of those are older than all of this topic's, so the first that names the event that lies there is found by
    halving. Most often that is the very first: one record is read.
    """
    there = [number for number, offset in enumerate(outcomes.offsets) if offset >= start]
    beyond = [place for place, number in enumerate(there) if outcomes.offsets[number] >= end]

    def is_here(number: int) -> bool:
        return _is_at(log, partition, outcomes.offsets[number], outcomes.ids[number])

    first = beyond[-1] + 1 if beyond else 0
    if first < len(there) and not is_here(there[first]):
        first = bisect_left(there, 1, lo=first + 1, key=is_here)
    return [outcomes.offsets[number] for number in there[first:]]


def _is_at(log: Log, partition: Partition, offset: int, event: int) -> bool:
    """Whether the record there is the one with that hash of an id; what cannot be read is taken for it."""
    reader = log.reader({partition: offset}, strict=True)
    try:
        records = reader.poll(READ_SECONDS)
    except UnreadableRecords:
        return True
    finally:
        reader.close()
    return bool(records) and records[0].offset == offset and hash(_id_of(records[0])) == event


def _id_of(record: Record) -> str:
    """The id that the outcome of a record has."""
    try:
        return codec.decode(record).id
    except MalformedEvent:
        return letter_id(record)


def _since_ms(log: Log, partitions: Sequence[Partition], starts: Mapping[Partition, int], now_ms: int) -> int:
    """A moment before which nothing of these can have ended: they held no record."""
    for age in AGES_MS:
        first = log.offsets_at(partitions, now_ms - age)
        if all(first[partition] <= starts[partition] for partition in partitions):
            return now_ms - age - MARGIN_MS
    return 0


def _read_ledger(log: Log, found: Mapping[Partition, _Outcomes], since_ms: int) -> None:
    results = log.names.results
    places = [Partition(results, number) for number in range(log.topics(results).get(results, 0))]
    ends = log.end_offsets(places)
    reader = log.reader(log.offsets_at(places, since_ms))
    topics = [topic.encode() for topic in {partition.topic for partition in found}]
    try:
        while any(reader.position(place) < ends[place] for place in places):
            for record in reader.poll(POLL_SECONDS):
                value = record.value or b""
                if any(topic in value for topic in topics):  # most of a large ledger is about others: not to be parsed
                    _note(value, found)
    finally:
        reader.close()


def _note(value: bytes, found: Mapping[Partition, _Outcomes]) -> None:
    try:
        results = unpack(value)
    except MalformedEvent:
        return  # of a later version
    for result in results:
        if (outcomes := found.get(Partition(result.topic, result.partition))) is not None:
            outcomes.offsets.append(result.offset)
            outcomes.ids.append(hash(result.id))
