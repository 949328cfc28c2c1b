"""``topics/kafka/log.py`` keeps the contract of a log on a real broker, and what only Kafka can get wrong.

``KAFKA_TEST_ROUNDS=100`` runs the hundred rounds of "three members share a group, a topic is added".
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
from kafka.errors import CoordinatorNotAvailableError
from kafka.record.default_records import DefaultRecordBatch
from kafka.structs import MemberState

from tests.conformance.log import LogContract
from tests.conformance.log_groups import fill
from tests.conformance.log_harness import PATIENCE, ROOT, Member, child, read_all
from tests.kafka_broker import Broker
from topics.errors import LogError, LogUnavailable, RecordRefused, SettingsError
from topics.event.codec import Encoded
from topics.kafka import guards as kafka_guards
from topics.kafka import poller as kafka_poller
from topics.kafka.consumer import AT_ONCE, KafkaConsumer
from topics.kafka.log import KafkaLog
from topics.kafka.producer import KafkaProducer
from topics.log import Commit, Consumer, Log, Partition
from topics.names import TopicSpec

ROUNDS = int(os.environ.get("KAFKA_TEST_ROUNDS", "10"))
A_DAY_MS = 24 * 3_600 * 1_000


def at_work(consumer: Consumer) -> kafka_poller.Poller:
    assert isinstance(consumer, KafkaConsumer)
    return consumer._poller


def generation(consumer: Consumer) -> int:
    """The group counts its rebalances."""
    number: int = at_work(consumer)._consumer._coordinator._generation.generation_id
    return number


@pytest.mark.kafka
@pytest.mark.timeout(120 + 4 * ROUNDS)
class TestKafka(LogContract):
    new_topic_rounds: ClassVar[int] = ROUNDS

    @pytest.fixture
    def log_url(self, kafka: Broker) -> str:
        return f"kafka://{kafka.bootstrap}"

    async def test_a_poll_hands_out_a_portion(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """What is left of what was fetched comes with the next polls, in order, or not at all after a seek."""
        name = topic()
        place = Partition(name, 0)
        fill(log, name, 900)
        async with Member(log, group, re.escape(name)) as member:
            while len(member.records) < 500:
                assert len(await member.poll(10)) <= AT_ONCE
            read = member.read(place)
            assert member.consumer.position(place) == len(read)
            member.consumer.seek(place, 100)
            assert member.consumer.position(place) == 100
            while len(member.records) < len(read) + 800:
                assert len(await member.poll(10)) <= AT_ONCE

        assert read == list(range(len(read)))
        assert len(read) < 900
        assert member.read(place)[len(read) :] == list(range(100, 900))

    async def test_paused_a_thousand_times(
        self, log: Log, topic: Callable[..., str], group: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Paused in the middle of a fetched batch a thousand times, everything is read, once and in order."""
        monkeypatch.setattr(kafka_poller, "MAX_RECORDS", 10)
        name = topic(partitions=3)
        parts = [Partition(name, number) for number in range(3)]
        for part in parts:
            fill(log, name, 4_000, partition=part.number)
        pauses = 0
        async with Member(log, group, re.escape(name)) as member:
            while len(member.records) < 12_000:
                handed = await member.poll(10)
                assert handed, f"nothing came after {pauses} pauses, with {len(member.records)} records read"
                consumer = member.consumer
                consumer.pause([handed[-1].partition])
                pauses += 1
                consumer.resume([handed[-1].partition])
                if pauses % 2:
                    await asyncio.sleep(0.001)

        assert pauses >= 1_000
        assert [member.read(part) for part in parts] == [list(range(4_000))] * 3

    async def test_resumes_within_a_moment(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A resume acts within a moment, though a fetch for another, idle, partition is under way."""
        name = topic(partitions=2)
        one = Partition(name, 0)
        took = []
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.owned) == 2)
            for n in range(20):
                member.consumer.pause([one])
                await asyncio.sleep(0.15)
                fill(log, name, 1, first=n)
                began = time.monotonic()
                member.consumer.resume([one])
                await member.until(lambda n=n: len(member.records) == n + 1)  # type: ignore[misc]
                took.append(time.monotonic() - began)

        assert sorted(took)[10] < 0.15
        assert member.read(one) == list(range(20))

    async def test_a_quiet_consumer_asks_seldom(
        self, log: Log, topic: Callable[..., str], group: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With nothing to read it asks a few times a second; a record, and a resume, still act within a moment."""
        monkeypatch.setattr(kafka_poller, "QUIET_SECONDS", 0.1)
        name = topic()
        one = Partition(name, 0)
        rounds, poll_round = itertools.count(), kafka_guards.poll_round
        monkeypatch.setattr(kafka_guards, "poll_round", lambda *given: (next(rounds), poll_round(*given))[1])
        took = []
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            await asyncio.sleep(0.5)
            before = next(rounds)
            await asyncio.sleep(1.5)
            asked = next(rounds) - before
            for n in range(10):
                if n % 2:
                    member.consumer.pause([one])
                await asyncio.sleep(0.2)
                began = time.monotonic()
                fill(log, name, 1, first=n)
                member.consumer.resume([one])
                await member.until(lambda n=n: len(member.records) == n + 1)  # type: ignore[misc]
                took.append(time.monotonic() - began)

        assert asked <= 15
        assert sorted(took)[5] < 0.15

    async def test_a_cancelled_poll_loses_nothing(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Polls that are cut short at any moment lose no record."""
        name = topic()
        producer = log.producer()
        records: list[int] = []
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            for n in range(300):
                producer.send(name, key=b"a", value=b"%d" % n)
                try:
                    async with asyncio.timeout(0.0005 * (n % 12)):
                        records += [record.offset for record in await member.consumer.poll(5)]
                except TimeoutError:
                    continue
            while len(records) < 300 and (more := await member.consumer.poll(10)):
                records += [record.offset for record in more]
        producer.close()

        assert records == list(range(300))

    def test_one_bad_timestamp_in_a_batch(self, log: Log, topic: Callable[..., str]) -> None:
        """A record that the broker refuses in the middle of a batch fails alone; its neighbours land in their order."""
        name, other = topic(), topic()
        producer = log.producer()
        producer.send(name, key=b"a", value=b"first").result(PATIENCE)
        tomorrow = int(time.time() * 1_000) + A_DAY_MS
        futures = []
        for n in range(600):
            bad = n in {5, 250, 251, 599}
            futures.append(producer.send(name, key=b"a", value=b"%d" % n, timestamp_ms=tomorrow if bad else None))
            producer.send(other, key=b"a", value=b"%d" % n)
        producer.flush(PATIENCE)

        assert [n for n, future in enumerate(futures) if isinstance(future.exception(0), RecordRefused)] == [
            5,
            250,
            251,
            599,
        ]
        assert sum(future.exception(0) is None for future in futures) == 596
        producer.send(name, key=b"a", value=b"last").result(PATIENCE)
        producer.close()
        values = [record.value for record in read_all(log.reader({Partition(name, 0): 0}), 598)]
        assert values == [
            b"first",
            *(b"%d" % n for n in range(600) if n not in {5, 250, 251, 599}),
            b"last",
        ]
        elsewhere = [record.value for record in read_all(log.reader({Partition(other, 0): 0}), 600)]
        assert elsewhere == [b"%d" % n for n in range(600)]

    def test_a_dead_producer_is_replaced(self, log: Log, topic: Callable[..., str]) -> None:
        """When the library's producer dies, its unacknowledged sends are repeated in order, by the next one."""
        name = topic()
        producer = log.producer()
        assert isinstance(producer, KafkaProducer)
        producer.send(name, key=b"a", value=b"0").result(PATIENCE)
        dead = producer._raw
        futures = [producer.send(name, key=b"a", value=b"%d" % n) for n in range(1, 2_000)]
        dead._transaction_manager.transition_to_fatal_error(LogError("as a broker would have it"))
        futures += [producer.send(name, key=b"a", value=b"%d" % n) for n in range(2_000, 3_000)]
        producer.flush(PATIENCE)

        assert [future.exception(0) for future in futures] == [None] * len(futures)
        assert producer._raw is not dead
        producer.close()
        # What the dead one had on its way may have landed before it died: repeated, then, but never lost or reordered.
        end = log.end_offsets([Partition(name, 0)])[Partition(name, 0)]
        numbers = [int(record.value or b"") for record in read_all(log.reader({Partition(name, 0): 0}), end)]
        first_seen = list(dict.fromkeys(numbers))
        assert first_seen == list(range(3_000))

    def test_many_at_once_when_the_producer_dies(self, log: Log, topic: Callable[..., str]) -> None:
        """They are repeated in order, by the next one, with those that came behind them."""
        name = topic()
        producer = log.producer()
        assert isinstance(producer, KafkaProducer)
        contents = [Encoded(b"a", b"%d" % n, ()) for n in range(3_000)]
        producer.send_all(name, contents[:1]).result(PATIENCE)
        dead = producer._raw
        sent = [producer.send_all(name, contents[1:2_000])]
        dead._transaction_manager.transition_to_fatal_error(LogError("as a broker would have it"))
        sent.append(producer.send_all(name, contents[2_000:]))

        assert [dict(one.result(PATIENCE)) for one in sent] == [{}, {}]
        assert producer._raw is not dead
        producer.close()
        end = log.end_offsets([Partition(name, 0)])[Partition(name, 0)]
        numbers = [int(record.value or b"") for record in read_all(log.reader({Partition(name, 0): 0}), end)]
        assert list(dict.fromkeys(numbers)) == list(range(3_000))

    def test_a_topic_that_is_made_later(self, log: Log, topic: Callable[..., str]) -> None:
        """A topic that is not there is refused by its name, within seconds, and works once it is made."""
        name = topic() + ".later"
        producer = log.producer()
        began = time.monotonic()
        with pytest.raises(RecordRefused, match=re.escape(name)):
            producer.send(name, key=b"a", value=b"x").result(PATIENCE)
        assert time.monotonic() - began < 10

        log.ensure_topics([TopicSpec(name)])

        assert producer.send(name, key=b"a", value=b"x").result(PATIENCE).offset == 0
        producer.close()

    async def test_a_header_name_that_is_no_text(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A header whose name is not UTF-8 (only other clients write such) reads with escapes and blocks nothing."""

        class Bytes(str):
            __slots__ = ()

            def encode(self, *_: object) -> bytes:
                return b"\xff-name"

        name = topic()
        producer = log.producer()
        producer.send(name, key=b"a", value=b"0")
        producer.send(name, key=b"a", value=b"1", headers=((Bytes("no text"), b"\xff"), ("fine", b"y")))
        producer.send(name, key=b"a", value=b"2")
        producer.close()
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) == 3)

        assert member.values == [b"0", b"1", b"2"]
        assert member.records[1].headers == (("\\xff-name", b"\xff"), ("fine", b"y"))

    async def test_a_record_that_cannot_be_read(
        self, log: Log, topic: Callable[..., str], group: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A broken record holds its partition, whose records before it come; the other partitions are read on."""
        name = topic(partitions=2)
        one, two = Partition(name, 0), Partition(name, 1)
        for n in range(10):
            fill(log, name, 1, first=n)
        fill(log, name, 10, partition=1)
        intact = DefaultRecordBatch.validate_crc
        monkeypatch.setattr(DefaultRecordBatch, "validate_crc", lambda batch: batch.base_offset != 5 and intact(batch))
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.read(two)) == 10 and len(member.read(one)) == 5)
            await member.poll(2)
            fill(log, name, 10, partition=1, first=10)
            await member.until(lambda: len(member.read(two)) == 20)
            assert member.read(one) == [0, 1, 2, 3, 4]

            member.consumer.seek(one, 6)
            await member.until(lambda: member.read(one) == [0, 1, 2, 3, 4, 6, 7, 8, 9])

    async def test_rounds_that_fail_by_chance(
        self, log: Log, topic: Callable[..., str], group: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rounds that fail for a reason that passes hold nothing: everything is read, once and in order."""
        name = topic()
        fill(log, name, 3_000)
        rounds, poll_round = itertools.count(), kafka_guards.poll_round

        def fails_at_times(*arguments: Any) -> Any:
            if next(rounds) % 3 == 2:
                raise CoordinatorNotAvailableError
            return poll_round(*arguments)

        monkeypatch.setattr(kafka_guards, "poll_round", fails_at_times)
        monkeypatch.setattr(kafka_poller, "MAX_RECORDS", 200)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 3_000)

        assert member.read(Partition(name, 0)) == list(range(3_000))

    def test_a_script_that_ends_at_once(self, log: Log, log_url: str, topic: Callable[..., str]) -> None:
        """What was sent a moment before the interpreter ends is delivered by a flush at exit."""
        name = topic()
        script = (
            "import atexit, sys\nfrom topics.open import open_log\n"
            "producer = open_log(sys.argv[1]).producer()\natexit.register(producer.close)\n"
            "for n in range(500): producer.send(sys.argv[2], key=b'a', value=b'%d' % n)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, log_url, name], cwd=ROOT, capture_output=True, text=True, check=False
        )

        assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
        records = read_all(log.reader({Partition(name, 0): 0}), 500)
        assert [record.value for record in records] == [b"%d" % n for n in range(500)]

    def test_the_largest_event_fits_its_topic(self, log: Log, topic: Callable[..., str]) -> None:
        """A record exactly as large as its topic and its producer say is taken: what the wire adds does not count."""
        name = topic(max_record_bytes=100_000)
        producer = log.producer(max_record_bytes=100_000)
        headers = tuple((f"h{n:04}", b"v" * 15) for n in range(1_000))

        position = producer.send(name, key=b"k" * 100, value=os.urandom(79_900), headers=headers).result(PATIENCE)

        [record] = read_all(log.reader({position.partition: 0}), 1)
        assert (len(record.key or b""), len(record.value or b""), record.headers) == (100, 79_900, headers)
        assert sum(len(name) + len(value) for name, value in headers) == 20_000
        producer.close()

    async def test_more_metadata_than_a_request_takes(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """300 partitions commit 4 kB of metadata each in one call, and the next owner reads it all back."""
        name = topic(partitions=300)
        async with Member(log, group, re.escape(name)) as first:
            await first.until(lambda: len(first.owned) == 300)
            commits = {part: Commit(0, f"{part.number:04}" + "x" * 4_092) for part in sorted(first.owned)}
            await first.consumer.commit(commits)
            with pytest.raises(LogError, match="4096"):
                await first.consumer.commit({Partition(name, 0): Commit(0, "x" * 4_097)})
            first.on_revoke = {part: Commit(0, commit.metadata.upper()) for part, commit in commits.items()}
            assert log.committed(group, list(commits)) == commits

        async with Member(log, group, re.escape(name)) as second:
            await second.until(lambda: len(second.owned) == 300)
        assert second.commits == first.on_revoke

    async def test_a_slow_owner_does_not_starve_the_group(
        self, log: Log, topic: Callable[..., str], group: str
    ) -> None:
        """A revocation that takes too long is cut short: the partitions that stay are silent for seconds, not more."""

        class Slow(Member):
            async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
                await super().revoked(partitions)
                await asyncio.sleep(5)
                return dict.fromkeys(partitions, Commit(0, "too late"))

        name = topic(partitions=4)
        async with Slow(log, group, re.escape(name)) as slow:
            slow.run()
            await slow.until(lambda: len(slow.owned) == 4)
            async with Member(log, group, re.escape(name)) as other:
                other.run()
                await other.until(lambda: len(other.owned) == 2)
                began = time.monotonic()
                for number in range(4):
                    fill(log, name, 1, partition=number)
                await other.until(lambda: len(slow.records) + len(other.records) == 4)
                assert time.monotonic() - began < 4
                assert log.committed(group, sorted(other.owned)) == dict.fromkeys(sorted(other.owned))

    async def test_fetches_that_stall(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """When records are there and none come, the watchdog replaces the consumer, and they come."""
        name = topic()
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            poller = at_work(member.consumer)
            poller._watchdog.patience = 1.0
            stalled = poller._consumer
            await asyncio.sleep(0.2)
            for node in stalled._fetcher._session_handlers:
                stalled._fetcher._clear_pending_fetch_request = lambda *_: None  # no fetch ever counts as answered
                stalled._fetcher._nodes_with_pending_fetch_requests.add(node)
            await asyncio.sleep(0.2)
            fill(log, name, 10)
            await member.until(lambda: len(member.records) >= 10)

            assert poller._consumer is not stalled
            assert member.read(Partition(name, 0)) == list(range(10))

    async def test_a_join_that_never_ends(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """When a consumer is neither in its group nor on its way, the watchdog replaces it."""
        name = topic()
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            poller = at_work(member.consumer)
            poller._watchdog.patience = 1.0
            orphan = poller._consumer
            orphan._coordinator.state = MemberState.REBALANCING
            await member.until(lambda: poller._consumer not in {orphan, None})
            fill(log, name, 10)
            await member.until(lambda: set(member.read(Partition(name, 0))) == set(range(10)))

    async def test_a_member_that_was_forgotten(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A member without partitions stays when the others read everything, and is replaced when nobody does."""
        name = topic()
        async with Member(log, group, re.escape(name)) as first, Member(log, group, re.escape(name)) as second:
            first.run()
            second.run()
            await first.until(lambda: first.owned or second.owned)
            idle = at_work((second if first.owned else first).consumer)
            await asyncio.sleep(1)
            assert idle._membership.forgotten(idle._consumer) == []

        assert idle._membership.owned_in(group) == set()

    async def test_takeover_by_a_stable_member(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A member with a stable identity that comes back has its partitions at once, without a rebalance."""
        name = topic()

        class Quiet:
            def __init__(self) -> None:
                self.owned: set[Partition] = set()

            def assigned(self, commits: Mapping[Partition, Commit | None]) -> None:
                self.owned |= commits.keys()

            async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
                self.owned -= set(partitions)
                return {}

            def lost(self, partitions: Sequence[Partition]) -> None:
                self.owned -= set(partitions)

            def unreadable(self, found: object) -> None: ...

        generations = []
        for _ in range(2):
            owner = Quiet()
            consumer = log.consumer(group, pattern=re.escape(name), rebalance=owner, member="worker-1")
            await consumer.start()
            began = time.monotonic()
            while not owner.owned:
                await consumer.poll(0.1)
                assert time.monotonic() - began < PATIENCE
            generations.append(generation(consumer))
            await consumer.close()

        assert generations[0] == generations[1]

    async def test_broker_restart(self, log: Log, kafka: Broker, topic: Callable[..., str], group: str) -> None:
        """After a broker's restart records flow by themselves; what was sent meanwhile lands in order; commits work."""
        if not kafka.restartable:
            pytest.skip("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to restart")
        name = topic()
        one = Partition(name, 0)
        producer = log.producer()
        async with Member(log, group, re.escape(name)) as member:
            member.run()
            producer.send(name, key=b"a", value=b"0").result(PATIENCE)
            await member.until(lambda: len(member.records) == 1)
            await asyncio.to_thread(kafka.stop)
            meanwhile = [producer.send(name, key=b"a", value=b"%d" % n) for n in range(1, 100)]
            with pytest.raises(LogUnavailable):
                await member.consumer.commit({one: Commit(1)})
            await asyncio.to_thread(kafka.start)
            began = time.monotonic()
            producer.send(name, key=b"a", value=b"100")
            await member.until(lambda: len(set(member.read(one))) == 101)

            assert time.monotonic() - began < 15  # 2 to 4 s on a quiet machine
            assert [future.result(PATIENCE).offset for future in meanwhile] == list(range(1, 100))
            await eventually_commits(member, {one: Commit(101, "after")})
            assert member.values == [b"%d" % n for n in range(101)]
        producer.close()
        assert log.committed(group, [one]) == {one: Commit(101, "after")}

    async def test_broker_killed(self, log: Log, kafka: Broker, topic: Callable[..., str]) -> None:
        """What was acknowledged before a broker was killed is there when it is back."""
        if not kafka.restartable:
            pytest.skip("the broker of KAFKA_BOOTSTRAP_SERVERS is not ours to kill")
        name = topic()
        producer = log.producer()
        sent = [producer.send(name, key=b"a", value=b"%d" % n) for n in range(5_000)]
        sent[1_000].result(PATIENCE)
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        producer.flush(PATIENCE)
        producer.close()

        assert [future.result(0).offset for future in sent] == list(range(5_000))
        values = [record.value for record in read_all(log.reader({Partition(name, 0): 0}), 5_000)]
        assert values == [b"%d" % n for n in range(5_000)]

    async def test_takeover_in_time(self, log: Log, log_url: str, topic: Callable[..., str], group: str) -> None:
        """After kill -9 of an owner the next has its partition within the session's time-out and two seconds."""
        name = topic()
        fill(log, name, 1)
        with child(log_url, "consume", group=group, pattern=re.escape(name)) as process:
            process.hear("committed")
            async with Member(log, group, re.escape(name)) as member:
                member.run()
                await asyncio.sleep(1)
                process.kill()
                began = time.monotonic()
                await member.until(lambda: member.owned)

        assert time.monotonic() - began < 9


async def eventually_commits(member: Member, commits: Mapping[Partition, Commit]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await member.consumer.commit(commits)
        except LogUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


def test_unknown_setting() -> None:
    """A setting that the client does not have is named, with those there are."""
    with pytest.raises(SettingsError, match=r"sasl_user.*sasl_plain_username"):
        KafkaLog(["127.0.0.1:1"], {"sasl_user": "x"})


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no broker answers, every question says so with the address."""
    monkeypatch.setattr("topics.kafka.client.BOOTSTRAP_MS", 300)
    log = KafkaLog(["127.0.0.1:1"], {})

    with pytest.raises(LogUnavailable, match=re.escape("kafka://127.0.0.1:1")):
        log.probe()
    with pytest.raises(LogUnavailable, match=re.escape("kafka://127.0.0.1:1")):
        log.reader({Partition("a", 0): 0})
    log.close()


async def test_nobody_there_for_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that finds no broker says so when it starts; it closes."""
    monkeypatch.setattr("topics.kafka.client.BOOTSTRAP_MS", 300)
    log = KafkaLog(["127.0.0.1:1"], {})
    member = Member(log, "group", ".*")

    with pytest.raises(LogUnavailable, match=re.escape("kafka://127.0.0.1:1")):
        await member.consumer.start()
    await member.consumer.close()


def test_nobody_there_for_a_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A send returns at once where no broker answers; what was not delivered fails when the producer closes."""
    monkeypatch.setattr("topics.kafka.client.BOOTSTRAP_MS", 300)
    producer = KafkaLog(["127.0.0.1:1"], {}).producer()
    began = time.monotonic()
    future = producer.send("a", key=b"k", value=b"v")
    assert time.monotonic() - began < 0.5

    with pytest.raises(LogUnavailable):
        producer.close(timeout=0.5)
    with pytest.raises(LogUnavailable):
        future.result(5)


def test_guards_name_what_there_is() -> None:
    """The private names that the guards use exist in the installed library."""
    from kafka.consumer.fetcher import Fetcher  # noqa: PLC0415
    from kafka.consumer.group import KafkaConsumer as RawConsumer  # noqa: PLC0415
    from kafka.coordinator.consumer import ConsumerCoordinator  # noqa: PLC0415
    from kafka.producer.sender import Sender  # noqa: PLC0415
    from kafka.producer.transaction_manager import TransactionManager  # noqa: PLC0415

    assert kafka_guards.MAX_PARKED > 0
    names = {
        RawConsumer: ["_poll_once"],
        Fetcher: ["_parse_fetched_data"],
        ConsumerCoordinator: ["_send_offset_commit_request", "fetch_committed_offsets", "request_rejoin"],
        Sender: ["_can_split"],
        TransactionManager: ["classify_batch_error", "set_sequence_number", "ERROR_CLASS_RETRIABLE"],
    }
    assert [f"{kind.__name__}.{name}" for kind, some in names.items() for name in some if not hasattr(kind, name)] == []
