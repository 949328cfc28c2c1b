"""Where events end: the letter first, then the reply and the ledger, nothing before it is acknowledged."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any, cast

from connectors.contract import Evidence
from dead_letter.letter.letter import decode
from tests.worker.samples import UPSERT, assignment, event, record
from topics import names
from topics.errors import LogUnavailable, RecordRefused
from topics.event.event import Options
from topics.event.result import Result, unpack
from topics.log import Headers, Partition, Position, Record
from worker.clock import FakeClock
from worker.engine.lane.assignment import KEPT_ATTEMPTS, Delivery
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import MAX_REPLY_DETAIL, REFUSED_PAUSE, Outcomes
from worker.engine.settlement.publisher import RetryingPublisher


class Topic:
    """Holds every send until the test acknowledges it, or answers with ``failures`` first."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.failures: list[Exception] = []
        self.sent: list[tuple[Record, Future[Position]]] = []

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
        future: Future[Position] = Future()
        if self.failures:
            future.set_exception(self.failures.pop(0))
            return future
        place = Partition(topic, partition or 0)
        self.sent.append((Record(place, len(self.sent), 0, key, value, headers), future))
        if self.at_once:
            self.acknowledge()
        return future

    def acknowledge(self) -> None:
        for _, future in self.sent:
            if not future.done():
                future.set_result(Position(Partition("t", 0), 0))

    @property
    def records(self) -> list[Record]:
        return [one for one, _ in self.sent]


class WorkerPort:
    def __init__(self, *, at_once: bool = True) -> None:
        self.clock = FakeClock()
        self.letters, self.replies = Topic(at_once=at_once), Topic(at_once=at_once)
        self.ledger = Ledger(RetryingPublisher(cast("Any", Topic()), "results", self.clock))
        ours = names.DEFAULT
        publishers = [
            RetryingPublisher(cast("Any", producer), topic, self.clock)
            for producer, topic in ((self.letters, ours.dead_letter), (self.replies, ours.replies))
        ]
        self.outcomes = Outcomes(self.ledger, publishers[0], publishers[1], self.clock, "group")

    def reply(self, number: int = 0) -> Result:
        return unpack(self.replies.records[number].value)[0]


class Acme:
    name, version = "acme", "1.2"


ACME = cast("Any", Acme())


def delivery(**options: Any) -> Delivery:
    of = event(4, options=Options(**options))
    made = Delivery(record(of, 4), of, UPSERT, assignment())
    made.calls = 2
    return made


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_letter_is_acknowledged_before_anything_else() -> None:
    """Neither the ledger nor who asked hears of a death that is not written down."""
    worker = WorkerPort(at_once=False)
    burying = asyncio.create_task(worker.outcomes.bury(delivery(reply_to=1), "rejected", "bad", ACME))
    await turns()
    assert len(worker.letters.records) == 1
    assert worker.replies.records == []
    assert worker.ledger.take() == []

    worker.letters.acknowledge()
    await turns()
    assert len(worker.replies.records) == 1
    assert not burying.done()
    worker.replies.acknowledge()
    await burying

    (result,) = worker.ledger.take()
    assert (result.id, result.outcome, result.reason, result.attempts) == ("e4", "dead", "bad", 2)


async def test_a_letter_has_it_all() -> None:
    """The original, the verdict, the vendor's words, every attempt, who tried."""
    worker = WorkerPort()
    one = delivery()
    for number in (1, 2):
        one.calls = number
        one.note(at=number * 10.0, ms=5.0, outcome="retry", reason="busy", evidence=Evidence(503, "sorry", "r-1"))

    await worker.outcomes.bury(one, "exhausted", "busy (gave up)", ACME, Evidence(503, "sorry"))

    letter = decode(worker.letters.records[0])
    assert letter.record == one.record
    assert (letter.verdict, letter.status, letter.excerpt) == ("exhausted", 503, "sorry")
    assert [(a.number, a.time, a.status, a.request_id) for a in letter.attempts] == [
        (1, 10.0, 503, "r-1"),
        (2, 20.0, 503, "r-1"),
    ]
    assert (letter.connector, letter.connector_version) == ("acme", "1.2")
    assert letter.time == worker.clock.now()


def test_attempts_are_kept_from_both_ends() -> None:
    """A thousand attempts do not fill the memory; the first and the last are there."""
    one = delivery()
    for number in range(1, 1_001):
        one.calls = number
        one.note(at=0.0, ms=0.0, outcome="retry", reason="busy", evidence=Evidence())

    numbers = [attempt.number for attempt in one.attempts or []]
    assert len(numbers) == KEPT_ATTEMPTS
    assert (numbers[0], numbers[-1]) == (1, 1_000)
    assert numbers == sorted(numbers)


async def test_a_log_that_is_away_is_waited_for() -> None:
    """A letter is repeated until the log has it."""
    worker = WorkerPort()
    worker.letters.failures = [LogUnavailable("away")] * 3
    burying = asyncio.create_task(worker.outcomes.bury(delivery(), "rejected", "bad", ACME))
    for _ in range(10):
        await turns()
        worker.clock.advance(5.0)
    await burying

    assert len(worker.letters.records) == 1


async def test_a_refused_letter_holds_its_event() -> None:
    """A topic made too small by hand: said, held and tried again; never dropped."""
    worker = WorkerPort()
    worker.letters.failures = [RecordRefused("too large")] * 2
    burying = asyncio.create_task(worker.outcomes.bury(delivery(), "rejected", "bad", ACME))
    await turns()
    assert worker.ledger.take() == []
    for _ in range(2):
        assert not burying.done()
        worker.clock.advance(REFUSED_PAUSE)
        await turns()
    await burying

    assert len(worker.letters.records) == 1


async def test_a_refused_reply_holds_its_event() -> None:
    """Somebody waits for it."""
    worker = WorkerPort()
    worker.replies.failures = [RecordRefused("too large")]
    replying = asyncio.create_task(worker.outcomes.reply(delivery(reply_to=1), {"id": 1}))
    await turns()
    assert not replying.done()
    worker.clock.advance(REFUSED_PAUSE)
    await replying

    assert worker.reply().detail == {"id": 1}


async def test_a_reply_carries_the_vendors_detail_to_its_partition() -> None:
    """In full, on the partition that the event names, under the event's id."""
    worker = WorkerPort()

    await worker.outcomes.reply(delivery(reply_to=6), {"id": 7, "tags": ["a"]})

    assert worker.replies.records[0].partition == Partition(names.DEFAULT.replies, 6)
    assert worker.replies.records[0].key == b"e4"
    assert worker.reply().detail == {"id": 7, "tags": ["a"]}


async def test_a_reply_that_is_too_large_says_so() -> None:
    """It was delivered; only the detail is cut to a note that fits."""
    worker = WorkerPort()

    await worker.outcomes.reply(delivery(reply_to=0), {"all": "x" * 2 * MAX_REPLY_DETAIL})

    assert worker.reply().outcome == "delivered"
    assert "too large for a reply" in worker.reply().detail
    assert len(worker.replies.records[0].value or b"") < 2_000


async def test_what_json_cannot_carry_is_no_reason_to_hang() -> None:
    """Half a surrogate pair and a Python object become text."""
    worker = WorkerPort()

    await worker.outcomes.reply(delivery(reply_to=0), {"a": "\ud800", "b": {1, 2}, "c": "\N{PILE OF POO}"})

    assert worker.reply().detail == {"a": "?", "b": "{1, 2}", "c": "\N{PILE OF POO}"}


async def test_nobody_reads_a_partition_that_is_not_there() -> None:
    """A reply to partition 99 is not written, and the event is done."""
    worker = WorkerPort()

    await worker.outcomes.reply(delivery(reply_to=99), {})

    assert worker.replies.records == []


async def test_a_record_without_an_event_has_a_letter_too() -> None:
    """A malformed record: original bytes, no event, an entry in the ledger under the letter's id."""
    worker = WorkerPort()
    broken = Record(Partition(names.DEFAULT.events_topic("acme"), 0), 9, 5, None, b"\xff")

    await worker.outcomes.bury_record(broken, None, "malformed", "not JSON")

    letter = decode(worker.letters.records[0])
    (result,) = worker.ledger.take()
    assert letter.record == broken
    assert (letter.event_id, letter.connection) == (None, "acme")
    assert (result.id, result.letter, result.offset) == (letter.id, letter.id, 9)


async def test_the_same_record_has_the_same_letter() -> None:
    """A crash between letter and commit writes it twice: under one id."""
    worker = WorkerPort()
    for _ in range(2):
        await worker.outcomes.bury(delivery(), "rejected", "bad", ACME)

    first, second = (decode(one) for one in worker.letters.records)
    assert first.id == second.id


async def test_a_doubtful_delivery_is_told() -> None:
    """In the ledger and in the reply: it may be there twice."""
    worker = WorkerPort()
    one = delivery(reply_to=0)
    one.doubtful = True

    await worker.outcomes.reply(one, {})

    assert worker.reply().possible_duplicate
