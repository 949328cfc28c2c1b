"""What a log promises of records: durable, in order, byte for byte, and that one refused record stops nothing else."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import pytest

from tests.conformance.log_harness import PATIENCE, child, read_all
from topics.errors import LogError, LogUnavailable, RecordRefused, RecordTooLarge
from topics.event.codec import Encoded
from topics.log import Headers, Log, Partition, Record
from topics.names import TopicSpec

HOSTILE = b"\x00\xff\xfe\xed\xa0\x80'\";--\r\n\x1b[2J" + bytes(range(256))
RECORDS: list[tuple[str, bytes | None, bytes | None, Headers]] = [
    ("null key", None, b"value", ()),
    ("null value", b"key", None, ()),
    ("empty key", b"", b"value", ()),
    ("empty value", b"key", b"", ()),
    ("hostile bytes", HOSTILE, HOSTILE, ()),
    ("hostile header values", b"key", b"value", (("a", HOSTILE), ("b", b""), ("c", b"\x00"))),
    ("a header twice, in order", b"key", b"value", (("a", b"2"), ("b", b"1"), ("a", b"1"))),
    ("header names that are not ASCII", b"key", b"value", (("naïve-\U0001f600", b"x"), ("", b"no name"))),
    ("a hundred headers", b"key", b"value", tuple((f"h{n}", b"v" * n) for n in range(100))),
    ("a value of 1 MB", b"key", b"\x00\xff" * 500_000, ()),
    ("a key of 100 kB", b"k" * 100_000, b"value", ()),
]


class LogRecords:
    @pytest.mark.parametrize(("key", "value", "headers"), [row[1:] for row in RECORDS], ids=[row[0] for row in RECORDS])
    def test_round_trip(
        self, log: Log, topic: Callable[..., str], key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        """A record comes back byte for byte: null is not empty, headers keep their order and their doubles."""
        name = topic()
        producer = log.producer()
        position = producer.send(name, key=key, value=value, headers=headers).result(PATIENCE)
        producer.close()

        [record] = read_all(log.reader({position.partition: 0}), 1)

        assert (record.key, record.value, record.headers) == (key, value, headers)
        assert (record.partition, record.offset) == (position.partition, position.offset)

    def test_timestamp_given(self, log: Log, topic: Callable[..., str]) -> None:
        """A record keeps the timestamp that its producer gave; without one it gets the present."""
        name = topic()
        before = int(time.time() * 1_000)
        producer = log.producer()
        given = before - 1_234_567
        producer.send(name, key=b"a", value=b"x", timestamp_ms=given)
        producer.send(name, key=b"a", value=b"y")
        producer.close()

        records = read_all(log.reader({Partition(name, 0): 0}), 2)

        assert records[0].timestamp_ms == given
        assert before <= records[1].timestamp_ms <= int(time.time() * 1_000)

    def test_where_a_partition_begins_and_where_a_time_is(self, log: Log, topic: Callable[..., str]) -> None:
        """The first offset that is left after a trim; the first record that is not older than a moment, or the end."""
        place = Partition(topic(), 0)
        now = int(time.time() * 1_000)
        producer = log.producer()
        for age in (50_000, 40_000, 30_000, 20_000, 10_000):
            producer.send(place.topic, key=b"a", value=b"x", timestamp_ms=now - age)
        producer.close()
        before = log.start_offsets([place])
        at = [log.offsets_at([place], now - age)[place] for age in (60_000, 40_000, 39_999, 10_000, 0)]
        log.trim({place: 2})

        assert before == {place: 0}
        assert at == [0, 1, 2, 4, 5]
        assert log.start_offsets([place]) == {place: 2}
        assert log.offsets_at([place], now - 60_000) == {place: 2}

    def test_order_of_the_calls(self, log: Log, topic: Callable[..., str]) -> None:
        """Sends of one producer to one partition land in the order of the calls, without gaps, without waiting."""
        name = topic()
        producer = log.producer()
        futures = [producer.send(name, key=b"%d" % (n % 7), value=b"%d" % n) for n in range(2_000)]
        producer.flush(PATIENCE)

        assert [future.result(0).offset for future in futures] == list(range(2_000))
        records = read_all(log.reader({Partition(name, 0): 0}), 2_000)
        assert [record.value for record in records] == [b"%d" % n for n in range(2_000)]
        producer.close()

    def test_same_key_same_partition(self, log: Log, topic: Callable[..., str]) -> None:
        """Records with the same key go to the same partition, from every producer, and keys spread over all."""
        name = topic(partitions=4)
        homes: dict[bytes, set[int]] = {}
        for _ in range(2):
            producer = log.producer()
            sent = [(key, producer.send(name, key=key, value=b"x")) for key in (b"key-%d" % n for n in range(100))]
            producer.flush(PATIENCE)
            for key, future in sent:
                homes.setdefault(key, set()).add(future.result(0).partition.number)
            producer.close()

        assert {len(numbers) for numbers in homes.values()} == {1}
        assert set.union(*homes.values()) == {0, 1, 2, 3}

    def test_partition_given(self, log: Log, topic: Callable[..., str]) -> None:
        """A partition that the producer names is the one that the record goes to."""
        name = topic(partitions=4)
        producer = log.producer()
        futures = [producer.send(name, key=b"same", value=b"x", partition=number) for number in (3, 0, 2)]
        producer.flush(PATIENCE)

        assert [future.result(0).partition.number for future in futures] == [3, 0, 2]
        producer.close()

    def test_too_large_for_the_producer(self, log: Log, topic: Callable[..., str]) -> None:
        """A record larger than its producer was made for is refused at the call, naming the limit."""
        name = topic()
        producer = log.producer(max_record_bytes=10_000)

        with pytest.raises(RecordRefused, match=r"10.?000"):
            producer.send(name, key=b"a", value=b"x" * 20_000)
        producer.send(name, key=b"a", value=b"fits").result(PATIENCE)

        assert log.end_offsets([Partition(name, 0)]) == {Partition(name, 0): 1}
        producer.close()

    def test_goes_on_after_a_refused_record(self, log: Log, topic: Callable[..., str]) -> None:
        """A record too large for its topic fails alone; what was sent before and behind it lands in order."""
        small, other = topic(max_record_bytes=10_000), topic()
        producer = log.producer()
        before = [producer.send(small, key=b"a", value=b"%d" % n) for n in range(50)]
        refused = producer.send(small, key=b"a", value=b"\x00\xff" * 50_000)
        behind = [producer.send(small, key=b"a", value=b"%d" % n) for n in range(50, 100)]
        elsewhere = producer.send(other, key=b"a", value=b"elsewhere")

        with pytest.raises(RecordRefused):
            refused.result(PATIENCE)
        for future in [*before, *behind, elsewhere]:
            future.result(PATIENCE)
        producer.send(small, key=b"a", value=b"100").result(PATIENCE)
        producer.close()
        records = read_all(log.reader({Partition(small, 0): 0}), 101)
        assert [record.value for record in records] == [b"%d" % n for n in range(101)]

    def test_many_at_once(self, log: Log, topic: Callable[..., str]) -> None:
        """They land between what was sent before and behind them, in their order; headers and all."""
        name = topic()
        producer = log.producer()
        producer.send(name, key=b"a", value=b"0")
        contents = [Encoded(b"%d" % (n % 7), b"%d" % n, (("h", b"%d" % n),)) for n in range(1, 2_001)]
        sent = [producer.send_all(name, part) for part in (contents[:1_500], [], contents[1_500:])]
        producer.send(name, key=b"a", value=b"2001")

        assert [dict(one.result(PATIENCE)) for one in sent] == [{}] * 3
        producer.close()
        records = read_all(log.reader({Partition(name, 0): 0}), 2_002)
        assert [record.value for record in records] == [b"%d" % n for n in range(2_002)]
        assert [(one.key, one.value, tuple(one.headers)) for one in records[1:-1]] == contents
        with pytest.raises(LogUnavailable):
            producer.send_all(name, contents)

    def test_refused_among_many(self, log: Log, topic: Callable[..., str]) -> None:
        """Too large for the topic, for the producer, and a topic that is not there: those fail, the others land."""
        small = topic(max_record_bytes=10_000)
        producer = log.producer(max_record_bytes=200_000)
        contents = [Encoded(b"a", b"%d" % n, ()) for n in range(1_000)]
        contents[3] = contents[700] = Encoded(b"a", b"\x00\xff" * 50_000, ())
        contents[999] = Encoded(b"a", b"x" * 200_001, ())
        sent, missing = producer.send_all(small, contents), producer.send_all(f"{small}.missing", contents[:2])

        failed = sent.result(PATIENCE)
        assert {place: type(error) for place, error in failed.items()} == dict.fromkeys([3, 700, 999], RecordTooLarge)
        assert list(missing.result(2 * PATIENCE)) == [0, 1]
        assert dict(producer.send_all(small, contents[:2]).result(PATIENCE)) == {}
        producer.close()
        records = read_all(log.reader({Partition(small, 0): 0}), 999)
        left = [n for n in range(1_000) if n not in failed]
        assert [record.value for record in records] == [b"%d" % n for n in (*left, 0, 1)]

    def test_many_at_once_to_their_partitions(self, log: Log, topic: Callable[..., str]) -> None:
        """The same as those to which ``send`` takes their keys."""
        name = topic(partitions=4)
        producer = log.producer()
        keys = [b"key-%d" % n for n in range(50)]
        homes = [producer.send(name, key=key, value=b"1").result(PATIENCE).partition for key in keys]
        assert dict(producer.send_all(name, [Encoded(key, b"2", ()) for key in keys]).result(PATIENCE)) == {}
        producer.close()

        records = read_all(log.reader({Partition(name, number): 0 for number in range(4)}), 100)
        assert {(record.key, record.partition) for record in records} == set(zip(keys, homes, strict=True))

    def test_unknown_topic(self, log: Log, topic: Callable[..., str]) -> None:
        """A send to a topic that does not exist fails and makes no topic; the producer goes on."""
        name = topic()
        producer = log.producer()

        with pytest.raises(LogError, match="missing"):
            producer.send(f"{name}.missing", key=b"a", value=b"x").result(2 * PATIENCE)
        producer.send(name, key=b"a", value=b"x").result(PATIENCE)

        assert list(log.topics(name)) == [name]
        producer.close()

    def test_acknowledged_means_durable(self, log: Log, log_url: str, topic: Callable[..., str]) -> None:
        """What was acknowledged before kill -9 of the producing process is in the log, in order, at its offset."""
        name = topic()
        with child(log_url, "produce", topic=name, name="p", count=100_000) as process:
            while process.hear("acked")["n"] < 500:
                pass
            said = process.kill()

        acked = {message["acked"]: message["n"] for message in said}
        end = log.end_offsets([Partition(name, 0)])[Partition(name, 0)]
        records = read_all(log.reader({Partition(name, 0): 0}), end)
        assert len(acked) > 500
        assert {offset: b"p:%d" % n for offset, n in acked.items()}.items() <= {
            r.offset: r.value for r in records
        }.items()
        assert [record.value for record in records] == [b"p:%d" % n for n in range(len(records))]

    def test_many_producers(self, log: Log, log_url: str, topic: Callable[..., str]) -> None:
        """Producers of several processes and threads at once: every record once, each producer's in its order."""
        name = topic()
        with contextlib.ExitStack() as stack:
            names = ["one", "two", "three"]
            children = [
                stack.enter_context(child(log_url, "produce", topic=name, name=each, count=400)) for each in names
            ]
            producers = [log.producer(name=f"thread-{n}") for n in range(3)]

            def produce(n: int) -> None:
                for number in range(400):
                    producers[n].send(name, key=b"t", value=b"t%d:%d" % (n, number))

            threads = [threading.Thread(target=produce, args=(n,)) for n in range(3)]
            for thread in threads:
                thread.start()
            for process in children:
                process.hear("done")
            for thread in threads:
                thread.join(PATIENCE)
            for producer in producers:
                producer.close()

        values = [record.value or b"" for record in read_all(log.reader({Partition(name, 0): 0}), 2_400)]
        assert len(set(values)) == len(values) == 2_400
        for each in [*names, "t0", "t1", "t2"]:
            own = [value for value in values if value.startswith(each.encode() + b":")]
            assert own == [f"{each}:{n}".encode() for n in range(400)]

    def test_flush(self, log: Log, topic: Callable[..., str]) -> None:
        """After flush everything sent before it is resolved."""
        name = topic()
        producer = log.producer()
        futures = [producer.send(name, key=b"a", value=b"x") for _ in range(100)]

        producer.flush(PATIENCE)

        assert all(future.done() for future in futures)
        producer.close()

    def test_close_flushes(self, log: Log, topic: Callable[..., str]) -> None:
        """Closing a producer, once or twice, loses nothing; a producer never used closes too."""
        name = topic()
        producer = log.producer()
        future = producer.send(name, key=b"a", value=b"x")

        producer.close()
        producer.close()
        log.producer().close()

        assert future.result(0).offset == 0

    def test_reader_starts_at_an_offset(self, log: Log, topic: Callable[..., str]) -> None:
        """A reader starts where it is told on each partition, sees what comes later, and times out with nothing."""
        name = topic(partitions=2)
        producer = log.producer()
        for n in range(10):
            producer.send(name, key=None, value=b"%d" % n, partition=0)
            producer.send(name, key=None, value=b"%d" % n, partition=1)
        producer.flush(PATIENCE)
        reader = log.reader({Partition(name, 0): 7, Partition(name, 1): 10})

        records: list[Record] = []
        while len(records) < 3:
            records += reader.poll(1.0)
        assert [(record.partition.number, record.offset) for record in records] == [(0, 7), (0, 8), (0, 9)]
        assert reader.poll(0.2) == []
        producer.send(name, key=None, value=b"later", partition=1)
        producer.flush(PATIENCE)
        assert [(record.partition.number, record.value) for record in read_all(reader, 1)] == [(1, b"later")]
        reader.close()
        producer.close()

    def test_reader_knows_where_it_is(self, log: Log, topic: Callable[..., str]) -> None:
        """A reader is at the end when all was handed out, too when what was there is deleted."""
        one, two = topic(), topic()
        places = [Partition(one, 0), Partition(two, 0)]
        producer = log.producer()
        for n in range(20):
            producer.send((one, two)[n % 2], key=b"a", value=b"%d" % n)
        producer.close()
        log.trim({places[1]: 10})
        reader = log.reader(dict.fromkeys(places, 0))
        assert [reader.position(place) for place in places] == [0, 0]
        deadline = time.monotonic() + PATIENCE
        while any(reader.position(place) < 10 for place in places) and time.monotonic() < deadline:
            reader.poll(0.25)

        assert [reader.position(place) for place in places] == [10, 10]
        reader.close()

    def test_a_time_where_timestamps_go_backwards(self, log: Log, topic: Callable[..., str]) -> None:
        """It is the first record that is not older, whatever comes behind it."""
        place = Partition(topic(), 0)
        now = int(time.time() * 1_000)
        producer = log.producer()
        for age in (50_000, 10_000, 50_000, 50_000, 40_000):
            producer.send(place.topic, key=b"a", value=b"x", timestamp_ms=now - age)
        producer.close()

        assert log.offsets_at([place], now - 30_000) == {place: 1}

    def test_max_record_bytes_of_the_spec(self, log: Log) -> None:
        """A topic takes what its spec says it takes: letters are larger than events."""
        spec = TopicSpec(f"large-{time.time_ns()}", max_record_bytes=2_097_152)
        log.ensure_topics([spec])
        producer = log.producer(max_record_bytes=2_097_152)

        position = producer.send(spec.name, key=b"a", value=b"\x00\xff" * 1_000_000).result(PATIENCE)

        [record] = read_all(log.reader({position.partition: 0}), 1)
        assert record.value == b"\x00\xff" * 1_000_000
        producer.close()
        log.delete_topic(spec.name)
