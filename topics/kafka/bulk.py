"""Many records at once, for a fraction of what they cost one by one: no promise and no lock for each of them.

Goes around the library's ``send`` to its batches, with its private names: read it, as ``guards.py``, before the
version in ``pyproject.toml`` is widened.
"""

# ruff: noqa: SLF001 - that is what it is for

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from time import monotonic
from typing import Any, NamedTuple, Protocol

from kafka import TopicPartition, errors
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.memory_records import MemoryRecordsBuilder

from topics.errors import LogError, RecordRefused
from topics.kafka.batches import Packed
from topics.kafka.client import is_refusal, send_error
from topics.log import Failures


class Content(NamedTuple):
    """What a record holds; ``place``: which of those that were handed over it is."""

    place: int
    key: bytes | None
    value: bytes | None
    headers: Packed
    size: int


class Owner(Protocol):
    """The producer, as what it has sent sees it."""

    def resolved(self, sent: Any) -> None: ...
    def resend(self, sent: Any, error: BaseException) -> bool: ...


class SentTogether(Future[Failures]):
    """Records of one topic on their way. What is called from the library's thread says how each of them ended.

    ``failures``: those that were refused before.
    """

    def __init__(self, owner: Owner, number: int, topic: str, contents: Sequence[Content], failures: Failures) -> None:
        super().__init__()
        self.owner, self.number, self.topic = owner, number, topic
        self.size = sum(content.size for content in contents)
        self.born = monotonic()
        self.resends = 0
        self.flying = False
        self._contents = contents
        self._failures = dict(failures)
        self._left = len(contents)
        self._again: dict[int, BaseException] = {}

    def cancel(self) -> bool:
        """What was handed over cannot be taken back."""
        return False

    def hand_over(self, raw: Any) -> None:
        """Put them into the library's batches, in their order within each partition. Raises ``KafkaError``."""
        self._left = len(self._contents)
        for number, contents in self._by_partition(raw).items():
            for batch in self._batches(raw, TopicPartition(self.topic, number), contents):
                _append(raw._accumulator, batch)
        raw._sender.wakeup()

    def give_up(self, error: LogError) -> None:
        """None of them is known to be in the log, but for those that it has confirmed."""
        with contextlib.suppress(InvalidStateError):
            if isinstance(error, RecordRefused):
                self.set_result(self._failures | {content.place: error for content in self._contents})
            else:
                self.set_exception(error)
        self.owner.resolved(self)

    def answered(self, batch: Sequence[_Place], result: tuple[int, int, Any]) -> None:
        """What the broker said to these: ``result`` as the library has it, with a function from place to error."""
        _, _, error_of = result
        if error_of is None:
            self._confirmed(len(batch))
            return
        for number, place in enumerate(batch):
            self.failed(place.content, error_of(number))

    def failed(self, content: Content, error: BaseException) -> None:
        if is_refusal(error) or isinstance(error, errors.KafkaTimeoutError):
            self._failures[content.place] = send_error(error, f"a record for {self.topic}")
        else:
            self._again[content.place] = error
        self._confirmed(1)

    def _confirmed(self, count: int) -> None:
        self._left -= count
        if self._left > 0:
            return
        if self._again:
            again, self._again = self._again, {}
            last = next(reversed(again.values()))
            contents, self._contents = self._contents, [one for one in self._contents if one.place in again]
            if self.owner.resend(self, last):
                return
            self._contents = contents
            self._failures |= {place: send_error(why, f"a record for {self.topic}") for place, why in again.items()}
        with contextlib.suppress(InvalidStateError):  # given up, a moment ago, by a close that would not wait
            self.set_result(self._failures)
        self.owner.resolved(self)

    def _by_partition(self, raw: Any) -> dict[int, Sequence[Content]]:
        partitions = raw._metadata.partitions_for_topic(self.topic)
        if partitions is not None and len(partitions) == 1:
            return dict.fromkeys(partitions, self._contents)
        found: dict[int, list[Content]] = {}
        for content in self._contents:
            _, key, value, _, _ = content
            found.setdefault(raw._partition(self.topic, None, key, value, key, value), []).append(content)
        return dict(found)

    def _batches(self, raw: Any, partition: TopicPartition, contents: Iterable[Content]) -> Iterable[_Batch]:
        batch = _Batch(self, partition, raw._accumulator.config)
        for content in contents:
            if not batch.take(content):
                yield batch
                batch = _Batch(self, partition, raw._accumulator.config)
                batch.take(content)  # the first always fits
        yield batch


class _Place:
    """Of a record in a batch: what the library keeps, so that it can split a batch that the broker refuses."""

    __slots__ = ("content", "sent")

    def __init__(self, sent: SentTogether, content: Content) -> None:
        self.sent, self.content = sent, content

    def rebind(self, produced: Any, number: int) -> None:
        """It is in another batch now, at another place: in the place of ``FutureRecordMetadata.rebind``."""

        def answered(result: tuple[int, int, Any]) -> None:
            error_of = result[2]
            if error_of is None:
                self.sent.answered([self], result)
            else:
                self.sent.failed(self.content, error_of(number))

        produced._add_cb_eb(answered, lambda error: self.sent.failed(self.content, error))


class _Batch(ProducerBatch):  # type: ignore[misc] # the library has no types
    """One that nobody else puts records into."""

    def __init__(self, sent: SentTogether, partition: TopicPartition, config: Any) -> None:
        builder = MemoryRecordsBuilder(config["message_version"], config["compression_attrs"], config["batch_size"])
        super().__init__(partition, builder)
        self._sent = sent
        self.produce_future._add_cb_eb(self._answered, self._broken)

    def take(self, content: Content) -> bool:
        """Whether there was room for it."""
        if self.records.append(None, content.key, content.value, content.headers) is None:
            return False
        self._record_futures.append(_Place(self._sent, content))
        return True

    def try_append(self, *_: Any, **__: Any) -> None:
        """It is full, for everybody else."""

    def _answered(self, result: tuple[int, int, Any]) -> None:
        self._sent.answered(self._record_futures, result)

    def _broken(self, error: BaseException) -> None:
        for place in self._record_futures:
            self._sent.failed(place.content, error)


def _append(accumulator: Any, batch: _Batch) -> None:
    with accumulator._tp_lock(batch.topic_partition):
        if accumulator._closed:
            raise errors.IllegalStateError("the library's producer is closed")
        accumulator._batches[batch.topic_partition].append(batch)
        accumulator._incomplete.add(batch)
