"""What a log is, as a test suite; ``topics/kafka/log.py`` and ``topics/sqlite/log.py`` both inherit it.

A test class of an engine is ``class TestSqlite(LogContract)`` with the fixture ``log_url``: what ``open_log`` takes, in
this process and in the child processes that the suite starts, freezes and kills. The log may be shared with other
tests: the suite only touches topics and groups whose names it made up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest

from tests.conformance.log_flow import LogFlow
from tests.conformance.log_groups import LogGroups, fill
from tests.conformance.log_harness import PATIENCE, Member, child
from tests.conformance.log_records import LogRecords
from topics.log import Commit, Log, Partition
from topics.names import TopicSpec
from topics.open import open_log


class LogContract(LogRecords, LogGroups, LogFlow):
    @pytest.fixture
    def log_url(self) -> str:
        raise NotImplementedError("the engine's test class says which log, as open_log takes it")

    @pytest.fixture
    def log(self, log_url: str) -> Iterator[Log]:
        log = open_log(log_url)
        yield log
        log.close()

    @pytest.fixture
    def topic(self, log: Log) -> Callable[..., str]:
        """Makes a topic with a name of its own; takes what ``TopicSpec`` takes."""

        def make(*, partitions: int = 1, max_record_bytes: int = 1_048_576) -> str:
            name = f"conformance-{uuid4().hex}"
            log.ensure_topics([TopicSpec(name, partitions=partitions, max_record_bytes=max_record_bytes)])
            return name

        return make

    @pytest.fixture
    def group(self) -> str:
        return f"group-{uuid4().hex}"

    def test_probe_says_where(self, log: Log) -> None:
        """A log that answers says in one line what it is."""
        assert len(log.probe().splitlines()) == 1

    def test_ensure_topics_twice(self, log: Log) -> None:
        """A topic that exists stays as it is, with its partitions and its records."""
        name = f"conformance-{uuid4().hex}"
        log.ensure_topics([TopicSpec(name, partitions=2)])
        fill(log, name, 3)

        log.ensure_topics([TopicSpec(name, partitions=2), TopicSpec(f"{name}.b", partitions=1)])

        assert log.topics(name) == {name: 2, f"{name}.b": 1}
        assert log.end_offsets([Partition(name, 0)]) == {Partition(name, 0): 3}

    def test_ensure_topics_in_two_processes(self, log: Log, log_url: str) -> None:
        """Two processes that make the same topics at once both succeed."""
        prefix = f"conformance-{uuid4().hex}"
        names = [f"{prefix}.{n}" for n in range(5)]
        with ExitStack() as stack:
            children = [stack.enter_context(child(log_url, "ensure", names=names, partitions=2)) for _ in range(2)]
            for process in children:
                process.hear("ready")
            for process in children:
                process.tell()

            assert [process.hear("done")["done"] for process in children] == [names, names]
        assert log.topics(prefix) == dict.fromkeys(names, 2)

    def test_topics_by_prefix(self, log: Log, topic: Callable[..., str]) -> None:
        """A prefix is taken literally, and is a prefix: no wildcards, no middle."""
        name = topic()
        log.ensure_topics([TopicSpec(f"{name}_x"), TopicSpec(f"{name}-x")])

        assert log.topics(f"{name}_") == {f"{name}_x": 1}
        assert log.topics(name[1:]) == {}

    def test_commits_of_an_unknown_group(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A group that never was has committed nothing."""
        one = Partition(topic(), 0)

        assert log.committed(group, [one]) == {one: None}

    async def test_delete_topic(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """A deleted topic is gone with its records and commits; one of the same name starts at zero."""
        name = topic()
        one = Partition(name, 0)
        fill(log, name, 5)
        async with Member(log, group, name) as member:
            await member.until(lambda: one in member.owned)
            await member.consumer.commit({one: Commit(5, "done")})

        log.delete_topic(name)
        log.delete_topic(name)

        assert log.topics(name) == {}
        log.ensure_topics([TopicSpec(name)])
        assert log.end_offsets([one]) == {one: 0}
        assert log.committed(group, [one]) == {one: None}
        producer = log.producer()
        assert producer.send(name, key=b"a", value=b"new").result(PATIENCE).offset == 0
        producer.close()

    async def test_delete_topic_while_it_is_read(self, log: Log, topic: Callable[..., str], group: str) -> None:
        """Deleting a topic that a consumer owns takes it away and does not stop the consumer's other topics."""
        prefix = topic()
        gone, stays = Partition(f"{prefix}.gone", 0), Partition(f"{prefix}.stays", 0)
        log.ensure_topics([TopicSpec(gone.topic), TopicSpec(stays.topic)])
        async with Member(log, group, re.escape(prefix) + r"\..*") as member:
            await member.until(lambda: len(member.owned) == 2)

            log.delete_topic(gone.topic)

            await member.until(lambda: member.owned == {stays})
            fill(log, stays.topic, 3)
            await member.until(lambda: member.read(stays) == [0, 1, 2])

    def test_close_twice(self, log_url: str) -> None:
        """A log closes twice, used or not."""
        unused, used = open_log(log_url), open_log(log_url)
        used.probe()
        for log in (unused, used):
            log.close()
            log.close()
