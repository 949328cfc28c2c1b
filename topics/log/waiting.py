"""How many records wait for a group: counted where they are few.

Offsets alone do not say it: the markers of Kafka's transactions and records that were rolled back have some, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic

from topics.log.contract import Lag, Log, Partition, UnreadableRecords

COUNTED = 1_000
"""So many offsets of a partition at most are looked through: that more wait is no matter of a few markers."""
COUNT_SECONDS = 1.0


def count_waiting(log: Log, group: str, prefix: str = "") -> dict[Partition, Lag]:
    """As ``log.lag``, with the records counted where it takes no time; elsewhere ``exact`` is false.

    What cannot be read waits, too, and is not counted. Raises ``LogUnavailable``.
    """
    lags = log.lag(group, prefix)
    behind = {place: lag for place, lag in lags.items() if lag.offsets}
    first = log.start_offsets(list(behind)) if behind else {}
    starts = {place: max(lag.committed or 0, first[place]) for place, lag in behind.items()}
    near = {place: start for place, start in starts.items() if lags[place].end - start <= COUNTED}
    counts = _count(log, near, {place: lags[place].end for place in near}) if near else {}
    return {place: lag._replace(counted=counts.get(place)) for place, lag in lags.items()}


def _count(log: Log, starts: Mapping[Partition, int], ends: Mapping[Partition, int]) -> dict[Partition, int]:
    """Those of the partitions that were read to their ends in time."""
    counts = dict.fromkeys(starts, 0)
    until = monotonic() + COUNT_SECONDS
    reader = log.reader(starts, strict=True)
    try:
        while any(reader.position(place) < ends[place] for place in starts) and (left := until - monotonic()) > 0:
            for record in reader.poll(left):
                counts[record.partition] += record.offset < ends[record.partition]
    except UnreadableRecords:
        pass  # it is among those that are left out
    finally:
        found = {place: count for place, count in counts.items() if reader.position(place) >= ends[place]}
        reader.close()
    return found
