"""The producer of ``topics/kafka/log.py``: idempotent, in order, and alive after a refused record."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from time import monotonic
from typing import Any

import kafka
from kafka import errors

from topics.errors import LogError, LogUnavailable, RecordRefused, RecordTooLarge
from topics.kafka import bulk, guards
from topics.kafka.batches import Packed, write_quickly
from topics.kafka.client import Address, is_refusal, send_error
from topics.kafka.partitioner import KeyPartitioner
from topics.log import Content, Failures, Headers, Partition, Position
from topics.log.log_events import logger

log = logger()

MAX_BUFFERED_BYTES = 64 * 1_048_576
BLOCK_SECONDS = 60.0
"""How long a send may wait for room in a full buffer."""
DELIVERY_SECONDS = 120.0
"""After this an unacknowledged record fails with ``LogUnavailable``; the library repeats it until then."""
METADATA_SECONDS = 3.0
BATCH_BYTES = 131_072
"""Of records in one request to a partition: 8 x the library's own halves the CPU of a record under load (measured)."""
ENVELOPE_BYTES = 16_384
"""What the wire adds to a record at the most (lengths, a batch's header): a topic's limit counts it, ours does not."""
MAX_RESENDS = 3
CLOSE_SECONDS = 1.0


class Sent(Future[Position]):
    """A record on its way, and the promise to its sender."""

    def __init__(self, owner: KafkaProducer, number: int, size: int, record: tuple[Any, ...]) -> None:
        super().__init__()
        self.owner, self.number, self.size, self.record = owner, number, size, record
        self.born = monotonic()
        self.resends = 0
        self.flying = False

    def hand_over(self, raw: Any) -> None:
        """To the library. Raises its errors."""
        written = guards.append(raw, *self.record)
        written.add_callback(self.acknowledged)
        written.add_errback(self.failed)

    @property
    def topic(self) -> str:
        topic: str = self.record[0]
        return topic

    def cancel(self) -> bool:
        """What was handed over cannot be taken back."""
        return False

    def acknowledged(self, written: Any) -> None:
        with contextlib.suppress(InvalidStateError):  # given up, a moment ago, by a close that would not wait
            self.set_result(Position(self.owner.partition(written.topic_partition), written.offset))
        self.owner.resolved(self)

    def failed(self, error: BaseException) -> None:
        if is_refusal(error) or isinstance(error, errors.KafkaTimeoutError) or not self.owner.resend(self, error):
            self.give_up(send_error(error, f"a record for {self.topic}"))

    def give_up(self, error: LogError) -> None:
        with contextlib.suppress(InvalidStateError):
            self.set_exception(error)
        self.owner.resolved(self)


def _packed(topic: str, headers: Headers) -> Packed:
    try:
        return Packed(headers)
    except (TypeError, ValueError, AttributeError) as error:
        raise RecordRefused(f"a record for {topic} cannot be sent: a header is a text and bytes: {error}") from error


def _exactly(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Bytes as a topic's limit counts them, without the lengths in between."""
    content = sum(len(name) + len(item or b"") for name, item in headers)
    return len(key or b"") + len(value or b"") + content


class KafkaProducer:
    """Most sends go straight to the library.

    Those that it would block for (no connection yet, a topic it does not know yet), and all that follow them, wait in a
    backlog that a thread of its own works off in order.
    """

    def __init__(self, address: Address, name: str, max_record_bytes: int) -> None:
        self._address, self._name, self._limit = address, name, max_record_bytes
        self._raw: Any = None
        self._lock = threading.RLock()
        self._numbers = itertools.count()
        self._unresolved: dict[int, Sent | bulk.SentTogether] = {}
        self._backlog: list[Sent | bulk.SentTogether] = []
        self._dead: list[Sent | bulk.SentTogether] = []
        self._feeder: threading.Thread | None = None
        self._sent_bytes = self._resolved_bytes = 0
        self._partitions: dict[Any, Partition] = {}
        self._closed = False
        self._abandoned = threading.Event()

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
        packed, size = self._checked(topic, key, value, headers)
        if self._sent_bytes - self._resolved_bytes > MAX_BUFFERED_BYTES:
            self._wait_for_room()
        with self._lock:
            if self._closed:
                raise LogUnavailable("this producer is closed")
            record = (topic, value, key, packed, partition, timestamp_ms)
            sent = Sent(self, next(self._numbers), size, record)
            self._start(sent)
        return sent

    def send_all(self, topic: str, contents: Sequence[Content]) -> Future[Failures]:
        if self._sent_bytes - self._resolved_bytes > MAX_BUFFERED_BYTES:
            self._wait_for_room()
        taken, failures = list[bulk.Content](), dict[int, LogError]()
        for place, (key, value, headers) in enumerate(contents):
            try:
                packed, size = self._checked(topic, key, value, headers)
            except RecordRefused as error:
                failures[place] = error
            else:
                taken.append(bulk.Content(place, key, value, packed, size))
        with self._lock:
            if self._closed:
                raise LogUnavailable("this producer is closed")
            sent = bulk.SentTogether(self, next(self._numbers), topic, taken, failures)
            if taken:
                self._start(sent)
            else:
                sent.set_result(failures)
        return sent

    def _checked(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> tuple[Packed, int]:
        """The headers as the record has them, and its size. Raises ``RecordRefused``."""
        packed = _packed(topic, headers)
        size = (len(key) if key else 0) + (len(value) if value else 0) + len(packed.block)
        if size > self._limit and (size := _exactly(key, value, headers)) > self._limit:
            raise RecordTooLarge(f"a record of {size} bytes for {topic}; this producer takes {self._limit} at the most")
        if key is None and value is None:
            raise RecordRefused(f"a record for {topic} with neither key nor value; Kafka's client sends none")
        return packed, size

    def _start(self, sent: Sent | bulk.SentTogether) -> None:
        """At once where nothing is in its way, else behind what waits."""
        self._unresolved[sent.number] = sent
        self._sent_bytes += sent.size
        raw = self._raw
        if raw is not None and not self._backlog and not self._dead and guards.knows_topic(raw, sent.topic):
            self._hand_over(raw, sent)
        else:
            self._backlog.append(sent)
            self._feed()

    def flush(self, timeout: float | None = None) -> None:
        deadline = None if timeout is None else monotonic() + timeout
        for sent in tuple(self._unresolved.values()):
            try:
                sent.exception(None if deadline is None else max(0.0, deadline - monotonic()))
            except FutureTimeoutError:
                waiting = len(self._unresolved)
                raise LogUnavailable(f"{waiting} records are not acknowledged after {timeout} s") from None

    def close(self, timeout: float | None = None) -> None:
        with self._lock:
            if self._closed and self._raw is None:
                return
            self._closed = True
        try:
            self.flush(timeout)
        finally:
            self._abandoned.set()
            with self._lock:
                raw, self._raw = self._raw, None
            if raw is not None:
                guards.close_producer(raw, CLOSE_SECONDS)
            for sent in tuple(self._unresolved.values()):
                sent.give_up(LogUnavailable("the producer was closed before the record was acknowledged"))

    # --- called by ``Sent`` on the library's thread -------------------------------------------------------------------

    def partition(self, raw: Any) -> Partition:
        known = self._partitions.get(raw)
        if known is None:
            known = self._partitions[raw] = Partition(raw.topic, raw.partition)
        return known

    def resolved(self, sent: Sent | bulk.SentTogether) -> None:
        if self._unresolved.pop(sent.number, None) is not None:
            self._resolved_bytes += sent.size
        if not self._unresolved:
            with self._lock:
                if not self._unresolved:  # sums of two threads may have drifted
                    self._sent_bytes = self._resolved_bytes = 0

    def resend(self, sent: Sent | bulk.SentTogether, error: BaseException) -> bool:
        """The library's producer died under this record: it goes to the next one, in its place in the order."""
        with self._lock:
            if self._raw is None or self._closed or not guards.is_dead(self._raw) or sent.resends >= MAX_RESENDS:
                return False
            sent.resends += 1
            sent.flying = False
            if not self._dead:
                log.warning("log.producer_replaced", producer=self._name, error=str(error))
            self._dead.append(sent)
            self._feed()
            return True

    # --- the backlog --------------------------------------------------------------------------------------------------

    def _hand_over(self, raw: Any, sent: Sent | bulk.SentTogether) -> None:
        sent.flying = True
        try:
            sent.hand_over(raw)
        except (ValueError, TypeError, AssertionError) as error:
            sent.give_up(RecordRefused(f"a record for {sent.topic} cannot be sent: {error}"))
        except errors.KafkaError as error:
            sent.give_up(send_error(error, f"a record for {sent.topic}"))

    def _feed(self) -> None:
        if self._feeder is None:
            # Not a daemon: a script that ends right after its first send stays until that send is under way.
            self._feeder = threading.Thread(target=self._work_off, name="writeback-kafka-send")
            self._feeder.start()

    def _work_off(self) -> None:
        while not self._abandoned.is_set():
            self._bury_dead()
            with self._lock:
                if not self._backlog and not self._dead:
                    self._feeder = None
                    return
                sent = self._backlog[0] if self._backlog else None
            if sent is None:
                continue
            refused = self._obstacle(sent)
            with self._lock:
                if self._dead:
                    continue
                if refused is None and self._raw is not None:
                    self._hand_over(self._raw, sent)
                elif refused is not None:
                    sent.give_up(refused)
                self._backlog.pop(0)

    def _bury_dead(self) -> None:
        """Take the dead producer's records back, oldest first, when it has given up all of them."""
        with self._lock:
            dead = bool(self._dead)
        if not dead:
            return
        raw = self._raw
        while any(sent.flying for sent in tuple(self._unresolved.values())):
            if self._abandoned.wait(0.01):
                return
        with self._lock:
            self._backlog[:0] = sorted(self._dead, key=lambda sent: sent.number)
            self._dead.clear()
            self._raw = None
        raw.close(timeout=0)

    def _obstacle(self, sent: Sent | bulk.SentTogether) -> LogError | None:
        """Wait until the library can take this record at once; what it failed for if it cannot."""
        topic = sent.topic
        before = 0.0
        while not self._abandoned.is_set():
            try:
                raw = self._raw or self._open()
                before = guards.last_metadata(raw)
                raw.partitions_for(topic)
            except (errors.KafkaTimeoutError, errors.NodeNotReadyError) as error:
                if self._raw is not None and guards.last_metadata(self._raw) > before:
                    return RecordRefused(f"there is no topic {topic} at {self._address.name}; create it first")
                if monotonic() - sent.born > DELIVERY_SECONDS:
                    return send_error(error, f"a record for {topic}")
            except errors.KafkaError as error:
                return send_error(error, f"a record for {topic}")
            else:
                return None
        return LogUnavailable("the producer was closed before the record was sent")

    def _open(self) -> Any:
        raw = guards.open_client(
            kafka.KafkaProducer,
            self._address.client(
                self._name,
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                max_request_size=self._limit + ENVELOPE_BYTES,
                batch_size=min(BATCH_BYTES, self._limit),
                delivery_timeout_ms=int(DELIVERY_SECONDS * 1_000),
                max_block_ms=int(METADATA_SECONDS * 1_000),
                metrics_enabled=False,
                partitioner=KeyPartitioner(),
            ),
        )
        write_quickly()
        guards.survive_refusals(raw)
        guards.leave_exit_to_owner(raw)
        self._raw = raw
        return raw

    def _wait_for_room(self) -> None:
        deadline = monotonic() + BLOCK_SECONDS
        while self._sent_bytes - self._resolved_bytes > MAX_BUFFERED_BYTES:
            oldest = next(iter(tuple(self._unresolved.values())), None)
            if oldest is None:
                return
            try:
                oldest.exception(max(0.0, deadline - monotonic()))
            except FutureTimeoutError:
                raise LogUnavailable(
                    f"{MAX_BUFFERED_BYTES} bytes are waiting for {self._address.name} since {BLOCK_SECONDS:.0f} s"
                ) from None
