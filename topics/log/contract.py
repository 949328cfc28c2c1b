"""The contract of a log: what ``topics/kafka/log.py`` and ``topics/sqlite/log.py`` both keep.

A log has topics, a topic has partitions, a partition is an ordered, durable sequence of records. What a producer has
rolled back, or not committed yet, is not there for anybody. Nothing above this file knows which engine runs.
``tests/conformance/log.py`` is the contract as a test suite; both engines inherit it.

Colours: a ``Producer`` and the administration are synchronous and thread-safe (scripts use them); a ``Consumer`` is
asyncio (the worker uses it). Nothing exists in both forms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from topics.errors import LogError
from topics.log.headers import Header, PackedHeaders
from topics.names import Names, TopicSpec

Headers = tuple[Header, ...] | PackedHeaders

METADATA_BUDGET = 4_096
"""Bytes of metadata that a commit may carry per partition (Kafka's ``offset.metadata.max.bytes``)."""


class Partition(NamedTuple):
    """Its text is ``topic[number]``."""

    topic: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The partition that has this text. Raises ``ValueError`` for any other text."""
        topic, _, number = text.removesuffix("]").rpartition("[")
        return cls(topic, int(number))

    def __str__(self) -> str:
        return f"{self.topic}[{self.number}]"


class Position(NamedTuple):
    """Where a record was written."""

    partition: Partition
    offset: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the log holds it; ``timestamp_ms`` is milliseconds since the epoch."""

    partition: Partition
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Bytes of key, value and headers together, about: what a buffer budget counts."""
        size = len(self.key or b"") + len(self.value or b"")
        headers = self.headers
        if isinstance(headers, PackedHeaders):
            return size + headers.size
        for name, value in headers:
            size += len(name) + len(value or b"")
        return size


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What a consumer cannot hand out: a partition stands there until its owner seeks.

    ``after``: the offset behind it, None when only the log knows where its records begin (they were deleted unread).
    ``record``: the bytes that are there, as the value of one record, where there are any.
    """

    partition: Partition
    offset: int
    reason: str
    after: int | None = None
    record: Record | None = None

    @property
    def behind(self) -> int:
        """Where to go on; where records were deleted, the log itself goes on with the first that is left."""
        return self.after if self.after is not None else self.offset + 1


class UnreadableRecords(LogError):
    """A reader that passes nothing came to what it cannot hand out; ``found`` says where it goes on."""

    def __init__(self, found: Unreadable) -> None:
        super().__init__(f"{found.partition}: {found.reason}")
        self.found = found


class Commit(NamedTuple):
    """The next offset to read, and up to ``METADATA_BUDGET`` bytes (UTF-8) that the next owner reads back."""

    offset: int
    metadata: str = ""


class Lag(NamedTuple):
    """``counted``: records that were really found between the two; None where nobody looked (``count_waiting``)."""

    committed: int | None
    end: int
    counted: int | None = None

    @property
    def offsets(self) -> int:
        """Those between the commit and the end, or up to the end: not each needs to hold a record."""
        return max(0, self.end - (self.committed or 0))

    @property
    def exact(self) -> bool:
        """``records`` is their number. If not, it is the most that it can be."""
        return self.counted is not None or not self.offsets

    @property
    def records(self) -> int:
        return self.offsets if self.counted is None else self.counted

    @property
    def shown(self) -> str:
        return f"{'' if self.exact else 'at most '}{self.records:,}"


Content = tuple[bytes | None, bytes | None, Headers]
"""What a producer writes into a record: key, value, headers."""

Failures = Mapping[int, LogError]
"""Of records that were handed over together those that failed: the place, counted from 0, and what it failed with.

``RecordRefused``: never; ``LogUnavailable``: gave up for now.
"""


class Producer(Protocol):
    def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Future[Position]:
        """Append a record; returns at once.

        The future resolves when the log has the record durably (it survives kill -9 of every process), or fails with
        ``RecordRefused`` (this record, never) or ``LogUnavailable`` (gave up for now). Sends of one producer to one
        partition land in the order of the calls. A refused record does not stop the ones behind it. Records with the
        same key go to the same partition unless ``partition`` is given. Never blocks longer than the engine's own
        buffer bound; raises ``RecordRefused`` directly when the record is larger than this producer was made for.
        """

    def send_all(self, topic: str, contents: Sequence[Content]) -> Future[Failures]:
        """Append these records in their order, as ``send`` would one after the other, for a fraction of its cost.

        The future resolves when each of them is in the log durably or has failed; it fails with ``LogUnavailable``
        when the producer is closed before that. Raises ``LogUnavailable`` when it is closed already.
        """

    def flush(self, timeout: float | None = None) -> None:
        """Wait until everything sent so far is resolved; raises ``LogUnavailable`` when ``timeout`` seconds pass."""

    def close(self, timeout: float | None = None) -> None:
        """Flush and release; safe to call twice."""


class Rebalance(Protocol):
    """What a consumer tells its owner; called on the owner's event loop, in order with the records of ``poll``."""

    def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
        """These partitions are ours now, with what the last owner committed (None: nothing yet, read from the start).

        Called before any record of them is handed out. A partition that is already ours never appears again.
        """

    async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
        """These are being taken away in good order; what is returned is committed before they go.

        Must return within 1 s (a listener that waits starves the partitions that stay; measured in facts of the
        client: 3 s cost 9.1 s of silence), and never raises.
        """

    def lost(self, partitions: Sequence[Partition]) -> None:
        """These are gone already (the session expired); nothing may be committed for them."""

    def unreadable(self, found: Unreadable) -> None:
        """A partition of ours is held: what lies at its position cannot be read, or is not there. A seek ends it."""


class Consumer(Protocol):
    """One member of a group. At any moment a partition has at most one live owner per group."""

    async def start(self) -> None:
        """Join the group."""

    async def poll(self, timeout: float) -> list[Record]:
        """Records of our partitions, in offset order within each; an empty list after ``timeout`` seconds.

        Runs ``Rebalance`` callbacks as they come. Raises ``LogUnavailable`` only when the engine gave up;
        ``OffsetOutOfRange`` never stops the other partitions (it is logged and the partition is held).
        """

    def pause(self, partitions: Sequence[Partition]) -> None:
        """Hand out no more of these soon; records already fetched may still come, once."""

    def resume(self, partitions: Sequence[Partition]) -> None:
        """Hand them out again, continuing where it stopped; nothing is skipped or repeated."""

    def seek(self, partition: Partition, offset: int) -> None:
        """Continue from this offset. Records fetched before are not handed out after this call."""

    async def commit(self, commits: Mapping[Partition, Commit]) -> None:
        """Durable when it returns.

        Raises ``CommitFenced`` when a partition is not ours any more (nothing of the call is then promised),
        ``LogUnavailable`` when it is worth trying again.
        """

    def position(self, partition: Partition) -> int | None:
        """The next offset that ``poll`` hands out: every record of our assignment below it was handed out, or is none.

        It may be beyond the last record: the markers of a transaction, what was rolled back and what compaction took
        have offsets, and are no records. None: not ours, or not known yet.
        """

    @property
    def joined(self) -> bool:
        """It is a member of its group, and knows what is its own (nothing, perhaps): no rebalance is under way."""

    async def close(self) -> None:
        """Leave the group; ``Rebalance.revoked`` is called first for what is still ours. Safe to call twice."""


class Reader(Protocol):
    """Reads given partitions without a group; synchronous. For scripts that await replies, tailing and replays."""

    def poll(self, timeout: float) -> list[Record]:
        """The next records, or an empty list after ``timeout`` seconds.

        What cannot be read is passed, and logged. A ``strict`` reader raises ``UnreadableRecords`` there, again and
        again, when it has handed out what lies before it.
        """

    def position(self, partition: Partition) -> int:
        """Where the next poll goes on; at the end offset everything has been handed out (see ``Consumer.position``)."""

    def close(self) -> None: ...


class Log(Protocol):
    """One installation's view of a log: what it calls its topics and groups is in ``names``."""

    @property
    def names(self) -> Names: ...

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics that do not exist, and wait until they can be written and read.

        Existing ones stay as they are.
        """

    def topics(self, prefix: str = "") -> dict[str, int]:
        """Names with that prefix, and how many partitions each has."""

    def delete_topic(self, name: str) -> None:
        """Delete a topic, its records and its commits; no error when it does not exist."""

    def trim(self, before: Mapping[Partition, int]) -> None:
        """Delete the records below these offsets."""

    def end_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Up to where each partition can be read: behind its last record, before a transaction that is still open."""

    def start_offsets(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """The first offset that each partition still has: what lies below was deleted."""

    def offsets_at(self, partitions: Sequence[Partition], timestamp_ms: int) -> dict[Partition, int]:
        """Of each partition the first offset whose record has this timestamp or a later one; the end without any.

        Timestamps are the producers' and may go backwards: all records before that one are older.
        """

    def committed(self, group: str, partitions: Sequence[Partition]) -> dict[Partition, Commit | None]:
        """What the group has committed, without joining it."""

    def lag(self, group: str, prefix: str = "") -> dict[Partition, Lag]:
        """Per partition of the topics with that prefix."""

    def producer(self, *, name: str = "", max_record_bytes: int = 1_048_576) -> Producer: ...

    def consumer(self, group: str, *, pattern: str, rebalance: Rebalance, member: str = "") -> Consumer:
        """A member of ``group`` on all topics, present and future, whose whole name matches ``pattern``.

        ``pattern`` is a regular expression. A new topic is read within 5 s. ``member``: a stable identity (static
        membership), or none.
        """

    def reader(self, starts: Mapping[Partition, int], *, strict: bool = False) -> Reader: ...

    def commits_kept(self) -> float | None:
        """Seconds for which the commits of a group without members are kept; None: for ever.

        Raises ``LogError`` where it cannot be asked.
        """

    def probe(self) -> str:
        """One line that says what this log is and that it answers; raises ``LogUnavailable`` naming the address."""

    def close(self) -> None: ...
