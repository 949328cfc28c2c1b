"""Guards around kafka-python 3.0.12-3.1: with ``records.py`` the one place that uses its private names.

Each was found by running it against a real broker; ``tests/topics/kafka/test_log.py`` fails when a name is gone. Read
it before the version in ``pyproject.toml`` is widened.
"""

# ruff: noqa: SLF001 - that is what it is for

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.util import Timer

from topics.kafka.client import REFUSALS

MAX_PARKED = 64
"""Paused partitions that may keep what was fetched for them; beyond that it is fetched again after the pause."""


# --- any client -------------------------------------------------------------------------------------------------------


def open_client(kind: Any, settings: dict[str, Any]) -> Any:
    """A client of the library, connected; one that cannot connect leaves its thread running unless it is closed."""
    made: list[Any] = []

    def network(**options: Any) -> Any:
        made.append(KafkaNetClient(**options))
        return made[0]

    try:
        return kind(kafka_client=network, **settings)
    except BaseException:
        for client in made:
            client.close()
        raise


_sock_connect = KafkaNetSocket.sock_connect


async def _connect_or_close(self: Any, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
    """A refused connection's socket is closed at once; the library leaves it to the garbage collector."""
    try:
        return await _sock_connect(self, net, sock, sockaddr, timeout_at=timeout_at)
    except BaseException:
        sock.close()
        raise


KafkaNetSocket.sock_connect = _connect_or_close


# --- consumer: one round of polling -----------------------------------------------------------------------------------


def poll_round(consumer: Any, timeout_ms: float, max_records: int) -> dict[Any, list[Any]]:
    """One round: as long as a rebalance takes, else no longer than one fetch.

    ``poll`` repeats rounds until its time is up, and a poll that is shorter than a rebalance orphans the join: its
    member stays in the group without partitions. A round with a long time-out does neither.
    """
    records: dict[Any, list[Any]] = consumer._poll_once(Timer(timeout_ms), max_records)
    return records


def let_fetches_wait(consumer: Any, milliseconds: int) -> None:
    """How long the broker holds the next fetches when there is nothing; the client has it for its whole life."""
    consumer._fetcher.config["fetch_max_wait_ms"] = milliseconds


def keep_membership(consumer: Any, timeout_ms: float) -> None:
    """Take part in rebalances without fetching: for the time in which nobody takes the records."""
    consumer._coordinator.poll(timeout_ms=timeout_ms)


def before_round(consumer: Any) -> None:
    """Undo what would stall the next round."""
    fetcher, coordinator = consumer._fetcher, consumer._coordinator
    if coordinator.rejoining:
        coordinator.request_rejoin()  # a join that was left alone is taken up again
    current = fetcher._next_partition_records
    if current is not None and not current:
        # A drained batch that is still in place keeps a parked one, half read when it was paused, out for ever.
        fetcher._next_partition_records = None
    failed = fetcher._next_in_line_exception_metadata
    if failed is not None and not consumer._subscription.is_fetchable(failed.partition):
        # The error of a partition that is paused now would be forgotten, and its batch, half read, stay in place.
        fetcher._next_in_line_exception_metadata = fetcher._next_partition_records = None
    parked = fetcher._paused_completed_fetches, fetcher._paused_partition_records
    if sum(map(len, parked)) > MAX_PARKED:
        for batches in parked:
            batches.clear()  # positions only move when records are handed out: these are fetched again


def drop_current(consumer: Any) -> tuple[Any, int] | None:
    """Forget the batch that was being read when a round failed; returns whose it was, and where.

    It is fetched again from there. Left in place, a batch whose records cannot be read is read in vain for ever.
    """
    fetcher = consumer._fetcher
    current, fetcher._next_partition_records = fetcher._next_partition_records, None
    return (current.topic_partition, current.next_fetch_offset) if current is not None else None


# --- consumer: group --------------------------------------------------------------------------------------------------


def fetchable(consumer: Any) -> list[Any]:
    partitions: list[Any] = consumer._subscription.fetchable_partitions()
    return partitions


def position(consumer: Any, partition: Any) -> float:
    """The next offset to hand out (infinite: not ours, or not known yet); the public method may ask the broker."""
    state = consumer._subscription.assignment.get(partition)
    return float("inf") if state is None or state.position is None else float(state.position.offset)


def awaits_reset(consumer: Any) -> bool:
    return bool(consumer._subscription.partitions_needing_reset())


def is_stable(consumer: Any) -> bool:
    stable: bool = consumer._coordinator.stable() and not consumer._coordinator.need_rejoin()
    return stable


def knows_coordinator(consumer: Any) -> bool:
    return not consumer._coordinator.coordinator_unknown()


def committed(consumer: Any, partitions: Iterable[Any], timeout_ms: float) -> dict[Any, Any]:
    """Offsets with metadata, all partitions in one request (the public method asks for one at a time)."""
    offsets: dict[Any, Any] = consumer._coordinator.fetch_committed_offsets(list(partitions), timeout_ms=timeout_ms)
    return offsets


async def coordinator_ready(consumer: Any, timeout_ms: float) -> None:
    await consumer._coordinator.ensure_coordinator_ready_async(timeout_ms=timeout_ms)


async def commit_once(consumer: Any, offsets: dict[Any, Any], timeout_ms: float) -> None:
    """One commit request; on the client's own loop.

    ``commit_async`` answers for the coordinator's lookup instead of the commit while the coordinator is unknown, and
    ``commit`` repeats a request on its own, which may land behind a later one.
    """
    manager = consumer._manager
    request = manager.call_soon(consumer._coordinator._send_offset_commit_request, offsets)
    await manager.wait_for(request, timeout_ms)


async def wait_for(consumer: Any, future: Any, timeout_ms: float) -> Any:
    return await consumer._manager.wait_for(future, timeout_ms)


def on_client_loop(consumer: Any, call: Any, *arguments: Any) -> Any:
    """Run a function or coroutine on the client's loop; returns the library's future.

    A future of the library that is completed from elsewhere is only noticed 100 ms later.
    """
    return consumer._manager.call_soon(call, *arguments)


# --- producer ---------------------------------------------------------------------------------------------------------


def append(  # noqa: PLR0917 - the library's own order
    producer: Any,
    topic: str,
    value: bytes | None,
    key: bytes | None,
    headers: Any,
    partition: int | None,
    timestamp_ms: int | None,
) -> Any:
    """What ``send`` does with a record that was checked, for a topic that is known: half of its steps are checks."""
    if key is None or partition is not None:  # without a key each batch goes elsewhere; a number may be a wrong one
        return producer.send(topic, value, key, headers, partition, timestamp_ms)
    chosen = producer.config["partitioner"].partition(topic, key, key, value, value, producer._metadata)
    place = TopicPartition(topic, chosen)
    written, is_full, is_new, _ = producer._accumulator.append(place, timestamp_ms, key, value, headers)
    if is_full or is_new:
        producer._sender.wakeup()
    return written


def survive_refusals(producer: Any) -> None:
    """Make a record that the broker refuses fail alone.

    Left to itself, an idempotent producer is dead after one refusal, to every topic. But the broker wrote nothing, and
    a partition never has more than one request in flight, so its sequence numbers can be taken back, as the library
    itself does when it splits a batch that is too large. A refused batch of several records is split until the guilty
    ones are alone: the others are sent, in their order, before anything behind them.
    """
    transactions, sender = producer._transaction_manager, producer._sender
    classify, can_split = transactions.classify_batch_error, sender._can_split

    def classify_batch_error(error: Any, batch: Any, log_start_offset: int = -1) -> Any:
        kind = error if isinstance(error, type) else type(error)
        if issubclass(kind, REFUSALS) and batch.has_sequence:
            transactions.set_sequence_number(batch.topic_partition, batch.base_sequence)
            return transactions.ERROR_CLASS_RETRIABLE  # "fail the batch, change no state"
        return classify(error, batch, log_start_offset=log_start_offset)

    def can_split_refused(batch: Any, kind: Any) -> bool:
        if issubclass(kind, REFUSALS) and batch.record_count > 1:
            return batch.final_state is None
        return bool(can_split(batch, kind))

    transactions.classify_batch_error = classify_batch_error
    sender._can_split = can_split_refused


def leave_exit_to_owner(producer: Any) -> None:
    """The library's own exit handler runs first and gives up after a second; who made the producer closes it."""
    producer._unregister_cleanup()


def close_producer(producer: Any, timeout: float) -> None:
    """Close it within about twice these seconds, and give up what is on its way.

    The library's own close raises when that does not get through, and leaves its thread and connections behind.
    """
    try:
        producer.close(timeout=timeout)
    except KafkaTimeoutError:
        producer._sender.force_close()
        producer._sender.join(timeout)
        producer._closed = True


def is_dead(producer: Any) -> bool:
    return bool(producer._transaction_manager.has_fatal_error())


def knows_topic(producer: Any, topic: str) -> bool:
    """Whether a send to it returns at once; else the library waits for metadata."""
    return producer._metadata.partitions_for_topic(topic) is not None


def last_metadata(producer: Any) -> float:
    """A number that grows with every answer to a request for metadata: the broker can be reached."""
    refreshed: float = producer._metadata._last_successful_refresh_ms
    return refreshed
