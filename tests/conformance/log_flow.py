"""What a log promises of the flow to one consumer: pause, resume, seek, deleted records, and what it does not skip."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import ClassVar

from tests.conformance.log_groups import fill
from tests.conformance.log_harness import Member
from topics.log import Commit, Log, Partition
from topics.log.retention import Retention


class LogFlow:
    pauses: ClassVar[int] = 200
    """How many records, at the least, are read while every poll is followed by a pause and a resume."""

    async def test_paused_means_nothing_comes(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A paused partition soon hands out nothing, the others go on; resumed, it continues where it stopped."""
        name = topic(partitions=2)
        one, two = Partition(name, 0), Partition(name, 1)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.owned) == 2)
            member.consumer.pause([one])
            quiet, n = 0, 0
            while quiet < 3:
                assert n < 20, "the pause never took hold"
                seen = len(member.read(one))
                fill(log, name, 1, first=n)
                fill(log, name, 1, first=n, partition=1)
                n += 1
                await member.until(lambda: len(member.read(two)) == n)  # noqa: B023 - run at once
                quiet = quiet + 1 if len(member.read(one)) == seen else 0
            assert len(member.read(one)) < n

            member.consumer.resume([one])
            await member.until(lambda: len(member.read(one)) >= n)

            assert member.read(one) == list(range(n))

    async def test_pause_in_the_middle_of_a_batch(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Paused and resumed after every poll, in the middle of what was fetched: nothing skipped, nothing repeated."""
        name = topic(partitions=2)
        one, two = Partition(name, 0), Partition(name, 1)
        count = self.pauses * 25
        fill(log, name, count)
        fill(log, name, count, partition=1)
        async with Member(log, group, re.escape(name)) as member:
            turn = 0
            while len(member.records) < 2 * count:
                seen = len(member.records)
                await member.until(lambda: len(member.records) > seen)  # noqa: B023 - run at once
                member.consumer.pause([(one, two)[turn % 2]])
                if turn % 3 == 0:
                    await member.poll(0)
                    await asyncio.sleep(0)
                member.consumer.resume([(one, two)[turn % 2]])
                turn += 1

        assert member.read(one) == list(range(count))
        assert member.read(two) == list(range(count))

    async def test_pause_twice_resume_once(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Pausing twice and resuming once flows again; pausing or resuming what is not ours does no harm."""
        name = topic()
        one = Partition(name, 0)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            member.consumer.pause([one, Partition("not-ours", 0)])
            member.consumer.pause([one])
            member.consumer.resume([one, Partition("not-ours", 0)])
            fill(log, name, 5)

            await member.until(lambda: len(member.records) >= 5)

            assert member.read(one) == list(range(5))

    async def test_seek(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """After a seek, back or forward, the next record is the one at that offset; nothing fetched before comes."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 3_000)
        async with Member(log, group, re.escape(name)) as member:
            for start in (1_500, 0, 2_990, 17):
                await member.until(lambda: member.records)
                member.consumer.seek(one, start)
                member.records.clear()
                await member.until(lambda start=start: len(member.records) >= min(100, 3_000 - start))  # type: ignore[misc]

                read = member.read(one)
                assert read == list(range(start, start + len(read)))

    async def test_seek_while_paused(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A paused partition can be sought back; it continues there once it is resumed."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 200)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 200)
            member.consumer.pause([one])
            await member.poll(0.2)
            member.consumer.seek(one, 50)
            member.records.clear()
            await member.poll(0.2)
            member.consumer.resume([one])
            await member.until(lambda: len(member.records) >= 150)

        assert member.read(one) == list(range(50, 200))

    async def test_seek_when_assigned(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """An owner that seeks while it is told of its assignment gets its first record from there."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 20)
        member = Member(log, group, re.escape(name), on_assigned=lambda member: member.consumer.seek(one, 12))
        async with member:
            await member.until(lambda: len(member.records) >= 8)

        assert member.read(one) == list(range(12, 20))

    async def test_a_consumer_that_waits_is_woken(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A record that is sent while a consumer waits in a long poll comes long before the poll's time is up."""
        name = topic()
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            waiting = asyncio.create_task(member.consumer.poll(30))
            await asyncio.sleep(0.3)
            fill(log, name, 1)

            records = await asyncio.wait_for(waiting, 5)

            assert [record.offset for record in records] == [0]

    async def test_position(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A position is the next offset to be handed out: behind what was, back at a seek, None for others'."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 3_000)
        async with Member(log, group, re.escape(name)) as member:
            while len(member.records) < 3_000:
                records = await member.poll()
                if records:
                    assert member.consumer.position(one) == records[-1].offset + 1

            member.consumer.seek(one, 1_200)
            assert member.consumer.position(one) == 1_200
            await member.until(lambda: member.consumer.position(one) == 3_000)
            assert member.consumer.position(Partition(f"{name}-other", 0)) is None

    async def test_deleted_unread(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """When committed records were deleted unread, that partition is held and told, and the others are read on."""
        name = topic(partitions=2)
        one, two = Partition(name, 0), Partition(name, 1)
        fill(log, name, 10)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 10)
            await member.consumer.commit({one: Commit(3)})
        log.trim({one: 8})

        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.owned) == 2)
            fill(log, name, 5, partition=1)
            await member.until(lambda: len(member.read(two)) >= 5)
            await member.poll(0.5)

        assert member.read(one) == []
        assert [(found.partition, found.offset, found.after) for found in member.held] == [(one, 3, None)]
        assert "offset 3 is no longer in the log: records were deleted unread" in member.held[0].reason
        assert log.committed(group, [one]) == {one: Commit(3)}

    async def test_what_is_done_and_old_is_deleted(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Of each partition the records that are below the commit and old enough; whatever the clock, no others."""
        name = topic(partitions=3)
        done, undone, unread = places = [Partition(name, number) for number in range(3)]
        now = time.time()
        producer = log.producer()
        for n in range(10):  # a record a day, the last one is young
            for place in places:
                at = int((now - (9 - n) * 86_400) * 1_000)
                producer.send(name, key=b"a", value=b"%d" % n, partition=place.number, timestamp_ms=at)
        producer.close()
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 30)
            await member.consumer.commit({done: Commit(9), undone: Commit(2)})
        retention = Retention(log, group, keep_s=4.5 * 86_400)

        assert not retention.delete(places, now)
        assert log.start_offsets(places) == {done: 5, undone: 2, unread: 0}
        assert not retention.delete(places, now + 365 * 86_400)  # the clock jumped a year ahead
        assert log.start_offsets(places) == {done: 9, undone: 2, unread: 0}
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 19)
        assert [member.read(place) for place in places] == [[9], list(range(2, 10)), list(range(10))]

    async def test_trimmed_start(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A group without a commit starts at the first record that is left after a trim."""
        name = topic()
        fill(log, name, 10)
        log.trim({Partition(name, 0): 6})

        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 4)

        assert member.read(Partition(name, 0)) == [6, 7, 8, 9]

    async def test_everything_trimmed(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A trim of everything keeps the numbering: the next record's offset is the old end."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 10)

        log.trim({one: 10})

        assert log.end_offsets([one]) == {one: 10}
        fill(log, name, 1, first=10)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.records)
        assert (member.read(one), member.values) == ([10], [b"10"])
