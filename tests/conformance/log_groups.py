"""What a log promises of groups: one owner per partition, what it committed, and who takes over when it dies."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import ClassVar

import pytest

from tests.conformance.log_harness import PATIENCE, Member, child
from topics.errors import CommitFenced
from topics.log import METADATA_BUDGET, Commit, Lag, Log, Partition
from topics.names import TopicSpec


def fill(log: Log, name: str, count: int, *, partition: int = 0, first: int = 0) -> None:
    producer = log.producer()
    for n in range(first, first + count):
        producer.send(name, key=b"k", value=b"%d" % n, partition=partition)
    producer.flush(PATIENCE)
    producer.close()


class LogGroups:
    new_topic_rounds: ClassVar[int] = 5
    """How often a topic is added while three members share a group."""

    async def test_reads_from_the_start(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A group without a commit is told so, and reads from the start, in order."""
        name = topic()
        fill(log, name, 500)

        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 500)

        assert member.commits == {Partition(name, 0): None}
        assert member.values == [b"%d" % n for n in range(500)]

    async def test_a_member_says_that_it_has_joined(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A consumer is in its group only between its start and its end, and so is one that owns nothing."""
        name = topic()
        member = Member(log, group, re.escape(name))
        before = member.consumer.joined
        async with member, Member(log, group, re.escape(name)) as second:
            for each in (member.run(), second.run()):
                await each.until(lambda: member.owned or second.owned)
                await each.until(lambda: member.consumer.joined and second.consumer.joined)

        assert before is False
        assert member.consumer.joined is False

    async def test_poll_times_out(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A poll with nothing to hand out returns an empty list when its time is up."""
        name = topic()
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            began = time.monotonic()

            records = await member.consumer.poll(0.5)

            assert records == []
            assert 0.4 <= time.monotonic() - began < 10

    async def test_pattern_is_the_whole_name(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A pattern takes the topics whose whole name it matches."""
        name = topic()
        log.ensure_topics([TopicSpec(f"{name}.a"), TopicSpec(f"{name}.b"), TopicSpec(f"{name}.a.more")])
        async with Member(log, group, re.escape(name) + r"\.(a|b)") as member:
            await member.until(lambda: len(member.owned) >= 2)
            fill(log, f"{name}.a.more", 1)
            fill(log, f"{name}.b", 1)
            await member.until(lambda: member.records)

        assert set(member.commits) == {Partition(f"{name}.a", 0), Partition(f"{name}.b", 0)}

    async def test_commit_and_metadata_come_back(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """The next owner is told the last commit with its metadata before any record, and reads on from there."""
        name = topic(partitions=2)
        one, two = Partition(name, 0), Partition(name, 1)
        fill(log, name, 10)
        fill(log, name, 10, partition=1)
        full = "ü" * (METADATA_BUDGET // 2)
        async with Member(log, group, re.escape(name)) as first:
            await first.until(lambda: len(first.records) >= 20)
            await first.consumer.commit({one: Commit(3, "old")})
            await first.consumer.commit({one: Commit(5, full)})

        async with Member(log, group, re.escape(name)) as second:
            await second.until(lambda: len(second.records) >= 15)

        assert second.commits == {one: Commit(5, full), two: None}
        assert (second.read(one), second.read(two)) == (list(range(5, 10)), list(range(10)))

    async def test_a_commit_may_go_back(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """The last commit counts, not the highest."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 10)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 10)
            await member.consumer.commit({one: Commit(8)})
            await member.consumer.commit({one: Commit(2, "back")})

            assert log.committed(group, [one]) == {one: Commit(2, "back")}

    async def test_revoked_is_committed_on_close(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """What ``revoked`` returns is committed before the partitions go."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 10)
        async with Member(log, group, re.escape(name)) as member:
            member.on_revoke = {one: Commit(7, "bye")}
            await member.until(lambda: member.records)

        assert member.owned == set()
        assert log.committed(group, [one]) == {one: Commit(7, "bye")}

    async def test_one_owner_per_partition(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Three members that come and go: no partition ever has two owners, and each is read on by the next."""
        name = topic(partitions=4)
        everything = {Partition(name, number) for number in range(4)}
        members = [Member(log, group, re.escape(name)) for _ in range(3)]
        for member in members:
            member.others = [other for other in members if other is not member]
        async with AsyncExitStack() as stack:
            for member in members[1:]:
                (await stack.enter_async_context(member)).run()
            async with members[0]:
                members[0].run()
                await members[1].until(lambda: set().union(*(m.owned for m in members)) == everything)
                await commit_one_each(members)
            await members[1].until(lambda: set().union(*(m.owned for m in members[1:])) == everything)

        assert [member.complaints for member in members] == [[], [], []]

    async def test_groups_are_independent(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Two groups each read everything and commit on their own."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 10)
        async with Member(log, group, re.escape(name)) as first, Member(log, f"{group}.b", re.escape(name)) as second:
            await first.until(lambda: len(first.records) >= 10)
            await second.until(lambda: len(second.records) >= 10)
            await first.consumer.commit({one: Commit(10)})

        assert log.committed(group, [one]) == {one: Commit(10)}
        assert log.committed(f"{group}.b", [one]) == {one: None}

    async def test_takeover_after_a_close(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """When the owner leaves, a member that stood by takes over and reads on at the commit."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 10)
        async with Member(log, group, re.escape(name)) as second, Member(log, group, re.escape(name)) as first:
            second.run()
            first.run()
            await first.until(lambda: len(first.records) + len(second.records) >= 10)
            owner, other = (first, second) if first.owned else (second, first)
            await owner.consumer.commit({one: Commit(4, "so far")})
            await owner.__aexit__()
            await other.until(lambda: one in other.owned and other.records[-1:] and other.records[-1].offset == 9)

            assert other.commits[one] == Commit(4, "so far")
            assert other.read(one) == list(range(4, 10))

    async def test_takeover_after_kill(self, log: Log, log_url: str, topic: Callable[..., str], group: str) -> None:
        """When the owner dies of kill -9, the next one has everything that was committed, and misses no record."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 200)
        with child(log_url, "consume", group=group, pattern=re.escape(name)) as process:
            process.hear("committed")
            async with Member(log, group, re.escape(name)) as member:
                member.run()
                fill(log, name, 200, first=200)
                process.hear("committed")
                committed = max(message.get("committed", 0) for message in process.kill())
                await member.until(lambda: one in member.owned)
                commit = member.commits[one]
                assert commit is not None
                fill(log, name, 1, first=400)
                await member.until(lambda: member.records[-1:] and member.records[-1].offset == 400)

        assert commit.offset >= committed > 0
        assert commit.metadata == f"done below {commit.offset}"
        assert member.read(one) == list(range(commit.offset, 401))

    async def test_commit_fenced_after_loss(
        self, log: Log, log_url: str, topic: Callable[..., str], group: str
    ) -> None:
        """An owner that was frozen, lost its partition and wakes up cannot commit: the new owner's commit stays."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 10)
        with child(log_url, "hold", group=group, pattern=re.escape(name)) as process:
            process.hear("holding")
            process.stop()
            async with Member(log, group, re.escape(name)) as member:
                member.run()
                await member.until(lambda: len(member.read(one)) >= 10)
                await member.consumer.commit({one: Commit(6, "new owner")})
                process.go_on()
                process.tell()

                assert process.hear("outcome")["outcome"] == "fenced"
                assert log.committed(group, [one]) == {one: Commit(6, "new owner")}

    async def test_commit_of_what_is_not_ours(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A commit for a partition that is not assigned, or after close, is fenced and leaves nothing behind."""
        name, other = topic(), topic()
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: member.owned)
            with pytest.raises(CommitFenced, match=re.escape(other)):
                await member.consumer.commit({Partition(other, 0): Commit(1)})

        with pytest.raises(CommitFenced):
            await member.consumer.commit({Partition(name, 0): Commit(1)})
        assert log.committed(group, [Partition(name, 0), Partition(other, 0)]) == {
            Partition(name, 0): None,
            Partition(other, 0): None,
        }

    async def test_new_topic_is_read(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """While three members share a group, a topic that is added is read within 5 s, every time."""
        prefix = topic()
        async with AsyncExitStack() as stack:
            members = [Member(log, group, re.escape(prefix) + r"(\..*)?") for _ in range(3)]
            for member in members:
                (await stack.enter_async_context(member)).run()
            await members[0].until(lambda: any(member.owned for member in members))
            for n in range(self.new_topic_rounds):
                name = f"{prefix}.{n}"
                log.ensure_topics([TopicSpec(name)])
                began = time.monotonic()
                fill(log, name, 1)
                await members[0].until(lambda name=name: any(member.read(Partition(name, 0)) for member in members))  # type: ignore[misc]

                assert time.monotonic() - began < 5

    async def test_close_without_start_and_twice(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A consumer closes before it started, and twice, and in the middle of joining."""
        name = topic()
        await Member(log, group, re.escape(name)).consumer.close()
        for polls in range(3):
            member = Member(log, group, re.escape(name))
            await member.consumer.start()
            for _ in range(polls):
                await member.poll(0.01)

            await member.consumer.close()
            await member.consumer.close()

            assert member.owned == set()

    async def test_lag(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Lag per partition of the topics with a prefix: committed, end, and the records between."""
        name = topic(partitions=2)
        one, two = Partition(name, 0), Partition(name, 1)
        fill(log, name, 10)
        async with Member(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.records) >= 10)
            await member.consumer.commit({one: Commit(4, "x")})

        assert log.lag(group, name) == {one: Lag(4, 10), two: Lag(None, 0)}
        assert [lag.records for lag in log.lag(group, name).values()] == [6, 0]
        assert log.end_offsets([one, two]) == {one: 10, two: 0}

    async def test_revocation_sees_every_partition_once(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """On close every partition that was assigned is revoked, once."""
        name = topic(partitions=3)
        seen: list[Partition] = []

        class Watching(Member):
            async def revoked(self, partitions: Sequence[Partition]) -> Mapping[Partition, Commit]:
                seen.extend(partitions)
                return await super().revoked(partitions)

        async with Watching(log, group, re.escape(name)) as member:
            await member.until(lambda: len(member.owned) == 3)

        assert sorted(seen) == [Partition(name, number) for number in range(3)]


async def commit_one_each(members: Sequence[Member]) -> None:
    for member in members:
        for partition in set(member.owned):
            await member.consumer.commit({partition: Commit(0, "mine")})
