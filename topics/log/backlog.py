"""Reading a topic from some offsets to its present end, without a group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from topics.errors import LogUnavailable
from topics.log.contract import Log, Partition, Record

POLL_SECONDS = 1.0
SILENT_POLLS = 3
MAX_SILENT_POLLS = 30


def read_to_end(log: Log, starts: Mapping[Partition, int], *, strict: bool = False) -> Iterator[list[Record]]:
    """Batches of records until the ends as they are now; less when the records before an end were deleted.

    ``strict``: see ``topics.log.Reader``.

    Raises ``LogUnavailable`` when the log stops answering on the way, or has records that do not come.
    """
    ends = log.end_offsets(list(starts)) if starts else {}
    missing = {place: start for place, start in starts.items() if start < ends.get(place, 0)}
    if not missing:
        return
    reader = log.reader(missing, strict=strict)
    silent = 0
    try:
        while behind := [place for place in missing if reader.position(place) < ends[place]]:
            records = reader.poll(POLL_SECONDS)
            silent = 0 if records else silent + 1
            if silent % SILENT_POLLS == SILENT_POLLS - 1:
                log.end_offsets(behind)  # raises when it is the log that has nothing to say
            if silent >= MAX_SILENT_POLLS:
                raise LogUnavailable(f"{behind[0]} has records from {reader.position(behind[0])} on that do not come")
            if records:
                yield records
    finally:
        reader.close()


def event_ids(log: Log, starts: Mapping[Partition, int], *, source: str | None = None) -> set[str]:
    """The ids of the events between these offsets and the present ends; of one ``source``, or of all.

    Raises ``LogUnavailable``, as ``read_to_end`` does.
    """
    wanted = None if source is None else source.encode()
    found: set[str] = set()
    for records in read_to_end(log, starts):
        for record in records:
            headers = dict(record.headers)
            said = headers.get("ce_id")
            if said is not None and (wanted is None or headers.get("ce_source") == wanted):
                found.add(said.decode())
    return found


def partitions_of(log: Log, topic: str) -> list[Partition]:
    """None when there is no such topic."""
    return [Partition(topic, number) for number in range(log.topics(topic).get(topic, 0))]
