"""A dead-letter topic that somebody made too small: the letter goes with less evidence, or holds its event visibly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from dead_letter.letter.letter import Attempt, Letter, decode
from tests.dead_letter.samples import a_letter, a_record
from topics.kafka.producer import ENVELOPE_BYTES
from topics.log import Log, Partition
from topics.log.backlog import read_to_end
from topics.names import DEFAULT, TopicSpec
from topics.open import open_log
from worker.clock import FakeClock
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import Outcomes
from worker.engine.settlement.publisher import RetryingPublisher

BYTES = 30_000
"""What the topic takes."""


class Small:
    """A topic for letters that takes few bytes, and what writes them there."""

    def __init__(self, log: Log, max_record_bytes: int) -> None:
        self.log, self.topic, self.clock = log, f"letters-{uuid4().hex}", FakeClock()
        log.ensure_topics([TopicSpec(self.topic, max_record_bytes=max_record_bytes)])
        self._producer = log.producer(max_record_bytes=2_000_000)
        publisher = RetryingPublisher(self._producer, self.topic, self.clock)
        self.outcomes = Outcomes(Ledger(publisher), publisher, publisher, self.clock, DEFAULT.worker_group)

    def letters(self) -> list[Letter]:
        batches = read_to_end(self.log, {Partition(self.topic, 0): 0})
        return [decode(record) for records in batches for record in records]

    def close(self) -> None:
        self._producer.close(5.0)
        self.log.delete_topic(self.topic)
        self.log.close()


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Small]:
    kafka = request.param == "kafka"
    url = f"kafka://{request.getfixturevalue('kafka').bootstrap}" if kafka else f"sqlite:///{tmp_path}/log.db"
    small = Small(open_log(url), BYTES - ENVELOPE_BYTES if kafka else BYTES)
    yield small
    small.close()


def tried(times: int, size: int) -> Letter:
    """A letter of an event with a value of that size."""
    attempts = tuple(Attempt(n, 1.0, "retry", "HTTP 503", 9.0, 503, "down " * 800) for n in range(1, times + 1))
    record = replace(a_record(), value=b"v" * size)
    return a_letter(record=record, attempts=attempts, excerpt="down " * 800, reason="HTTP 503 " * 400)


@pytest.mark.parametrize(
    ("times", "size", "answers", "excerpt", "reason"),
    [
        (3, 100, [4_000, 4_000, 4_000], 4_000, 3_600),
        (9, 100, [4_000, 4_000], 4_000, 3_600),
        (9, 15_000, [0, 0], 4_000, 3_600),
        (9, 20_000, [0, 0], 0, 3_600),
        (9, 25_000, [], 0, 200),
    ],
)
async def test_evidence_goes_first(
    small: Small, times: int, size: int, *, answers: list[int], excerpt: int, reason: int
) -> None:
    """As much of it as has room; the event itself is whole. ``answers``: characters of what was said at each call."""
    letter = tried(times, size)
    await small.outcomes.write(letter)
    (written,) = small.letters()

    assert written.record.value == letter.record.value
    assert (len(written.attempts), written.omitted) == (len(answers), times - len(answers))
    assert [len(attempt.excerpt) for attempt in written.attempts] == answers
    assert (len(written.excerpt), len(written.reason)) == (excerpt, reason)
    assert small.outcomes.refusal(letter.connection) is None


async def test_an_event_that_is_too_large_by_itself_holds_its_connection(small: Small) -> None:
    """The reason names what is refused, and what the topic has to take; nothing is cut off the event."""
    letter = tried(1, BYTES + 5_000)
    writing = asyncio.create_task(small.outcomes.write(letter))
    async with asyncio.timeout(30):
        while small.outcomes.refusal(letter.connection) is None:  # noqa: ASYNC110 - nothing tells when it is so
            await asyncio.sleep(0.01)
    refusal = small.outcomes.refusal(letter.connection)
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)

    assert refusal is not None
    assert f"the log refuses the dead letter of {letter.record.partition} offset {letter.record.offset:,}" in refusal
    assert "its topic has to take 2,097,152 bytes" in refusal
    assert small.letters() == []
    assert small.outcomes.refusal(letter.connection) is None
