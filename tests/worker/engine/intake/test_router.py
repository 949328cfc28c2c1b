"""Whatever comes, it finds its connection or the dead letters, and the worker goes on."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass

import pytest

from connectors.contract import Function
from tests.tools.one_process_profile import Bench
from tests.worker.samples import event
from topics import names
from topics.event import codec
from topics.event.event import Operation
from topics.log import Headers, Partition
from worker.engine.intake.intake import ConnectionOpener

ONE = Partition(names.DEFAULT.events_topic("acme"), 0)


@dataclass(frozen=True)
class Hostile:
    """A record that is not deliverable, and what its letter must say."""

    value: bytes | None
    verdict: str
    reason: str
    key: bytes | None = b"k"
    headers: Headers = ()


def binary(**headers: bytes) -> Headers:
    given = {
        "ce_specversion": b"1.0",
        "ce_id": b"h1",
        "ce_source": b"test",
        "ce_type": b"writeback.upsert",
        "ce_subject": b"acme/contact/1",
    } | headers
    return tuple((name, value) for name, value in given.items() if value)


HOSTILE = {
    "not JSON": Hostile(b"{", "malformed", "the value is not JSON"),
    "a list": Hostile(b"[1]", "malformed", "a JSON list, not an object"),
    "a null value": Hostile(None, "malformed", "no value (a tombstone)"),
    "neither key nor value": Hostile(None, "malformed", "no value (a tombstone)", key=None),
    "an empty value": Hostile(b"", "malformed", "the value is not JSON"),
    "not UTF-8": Hostile(b'{"operation": "\xff\xfe"}', "malformed", "the value is not JSON"),
    "half a surrogate pair": Hostile(b'{"object": "\\ud800"}', "malformed", "the value is not JSON"),
    "NUL and escapes": Hostile(b"\x00\x1b[2J", "malformed", "the value is not JSON"),
    "a deep nest": Hostile(b'{"a":' * 5_000, "malformed", "the value is not JSON"),
    "a megabyte": Hostile(b"x" * 1_000_000, "malformed", "the value is not JSON"),
    "a header of bytes": Hostile(b"{}", "malformed", "is not UTF-8", headers=binary(ce_source=b"\xff")),
    "no operation": Hostile(b"{}", "malformed", "operation: Field required"),
    "a strange type": Hostile(b"{}", "malformed", "ce_type is 'com.acme'", headers=binary(ce_type=b"com.acme")),
    "no id": Hostile(b"{}", "malformed", "ce_id is missing", headers=binary(ce_id=b"")),
    "a later CloudEvents": Hostile(
        b"{}", "malformed", "ce_specversion is '2.0'", headers=binary(ce_specversion=b"2.0")
    ),
    "an unknown object": Hostile(
        b"{}", "unknown-function", "connector acme 1.0 has contact", headers=binary(ce_subject=b"acme/planet/1")
    ),
    "an unknown operation": Hostile(
        b"{}", "unknown-function", "unknown function message", headers=binary(ce_type=b"writeback.message")
    ),
    "another's event": Hostile(
        b"{}",
        "rejected",
        "names the connection 'other', but the topic is 'acme'",
        headers=binary(ce_subject=b"other/contact/1"),
    ),
}


async def test_every_hostile_record_becomes_a_letter(bench: Bench) -> None:
    """Each with its original bytes and a reason that names the problem; what is behind them is delivered."""
    saas = bench.connect()
    sent = {}
    for name, hostile in HOSTILE.items():
        sent[bench.send(hostile.value, key=hostile.key, headers=hostile.headers)] = name
    bench.emit(event(99))

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == len(HOSTILE) + 1)

    assert saas.seen == ["e99"]
    letters = bench.letters()
    assert {letter.record.offset for letter in letters} == set(sent)
    for letter in letters:
        name = sent[letter.record.offset]
        hostile = HOSTILE[name]
        assert letter.verdict == hostile.verdict, name
        assert hostile.reason in letter.reason, name
        original = (letter.record.key, letter.record.value, letter.record.headers)
        assert original == (hostile.key, hostile.value, hostile.headers), name
        assert letter.connection == "acme"
    assert sorted(result.outcome for result in bench.results()) == ["dead"] * len(HOSTILE) + ["delivered"]


async def test_offsets_without_a_record_are_done(bench: Bench) -> None:
    """What the consumer passes, as there is no record, is no lag: the commit goes past it."""
    bench.connect()
    bench.emit(event(1), event(2))
    bench.log.trim({ONE: 2})

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    assert bench.log.lag(names.DEFAULT.worker_group)[ONE].records == 0


async def test_records_that_wait_are_not_passed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a connection is being opened, the consumer's position is behind records that nobody has taken yet."""
    saas = bench.connect()
    bench.emit(event(1), event(2))
    store_answers = threading.Event()
    look_up = ConnectionOpener._look_up
    monkeypatch.setattr(ConnectionOpener, "_look_up", lambda *given: (store_answers.wait(), look_up(*given))[1])
    async with bench.working() as worker:
        await bench.eventually(lambda: worker._consumer.position(ONE) == 2)
        worker._router.pass_over(worker._consumer.position)

        assert worker._router.assignments[ONE].progress.watermark == 0
        store_answers.set()
        await bench.eventually(lambda: bench.committed() == 2)

    assert saas.seen == ["e1", "e2"]


async def test_a_record_that_comes_last_does_not_pass_those_that_wait(bench: Bench) -> None:
    """However long the opening of a connection takes: what came first is handed over first, and all of it."""
    saas = bench.connect()
    asked, store_answers = threading.Event(), threading.Event()

    def reads() -> frozenset[str]:
        asked.set()
        store_answers.wait()
        return frozenset()

    async with bench.working() as worker:
        worker._opener._reads = reads
        bench.emit(event(1))
        await bench.eventually(asked.is_set)
        bench.emit(event(2))
        reader = bench.log.reader({ONE: 1})
        worker._router.route(reader.poll(5.0))
        reader.close()
        store_answers.set()
        await bench.eventually(lambda: bench.committed() == 2)

    assert saas.seen == ["e1", "e2"]


async def test_what_looks_hostile_and_is_not_is_delivered(bench: Bench) -> None:
    """A null key, a megabyte of fields, emoji and strange headers are an event like any other."""
    saas = bench.connect()
    encoded = codec.encode(event(1, fields={"text": "x" * 1_000_000, "emoji": "\N{PILE OF POO}", "nul": "\x00"}))
    bench.send(encoded.value, key=None, headers=(*encoded.headers, ("x-\N{SNOWMAN}", "\N{SNOWMAN}".encode())))
    bench.send(b'{"operation": "upsert", "object": "contact", "fields": {}}', key=None)

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    assert saas.seen[0] == "e1"
    assert re.fullmatch(r"writeback\.events\.acme-0-1-\d{13}", saas.seen[1])
    assert saas.batches[0][0].fields["emoji"] == "\N{PILE OF POO}"
    assert bench.letters() == []


async def test_a_flood_of_malformed_records_is_read_within_the_budget(bench: Bench) -> None:
    """What is on its way to the dead letters is memory, too: reading waits for writing."""
    bench.connect()
    for number in range(1_500):
        bench.producer.send(names.DEFAULT.events_topic("acme"), key=None, value=b"{")
        bench.producer.send(names.DEFAULT.events_topic("acme"), **codec.encode(event(number))._asdict())
    bench.producer.flush(30)
    most = 0

    async with bench.working(budget_records=200) as worker:

        def done() -> bool:
            nonlocal most
            most = max(most, worker._router._budget.records)
            return bench.committed() == 3_000

        await bench.eventually(done)

    assert len(bench.letters()) == 1_500
    assert len([result for result in bench.results() if result.outcome == "delivered"]) == 1_500
    assert most <= 200 + 2 * 500  # one poll that came back before the pause, and one that was on its way


HOPELESS = {
    "malformed": Hostile(b"{", "malformed", "the value is not JSON"),
    "unknown object": HOSTILE["an unknown object"],
    "another's": HOSTILE["another's event"],
}


@pytest.mark.parametrize("kind", HOPELESS)
async def test_a_producer_that_goes_wrong_is_quarantined(bench: Bench, kind: str) -> None:
    """A flood that needs no call to be refused stops after a hundred letters; resumed, what is good is delivered."""
    hostile = HOPELESS[kind]
    saas = bench.connect()
    for _ in range(180):
        bench.producer.send(
            names.DEFAULT.events_topic("acme"), key=hostile.key, value=hostile.value, headers=hostile.headers
        )
    bench.emit(*(event(number) for number in range(300)))

    async with bench.working() as worker:
        await bench.eventually(lambda: bench.connections.get("acme").state == "quarantined")
        await bench.eventually(lambda: saas.built == 2)  # it has come back to the worker
        await bench.eventually(lambda: worker._router.intakes["acme"].records == 0)
        await bench.eventually(lambda: bench.committed() >= 100)
        dead_lettered, reason = len(bench.letters()), bench.connections.get("acme").state_reason
        held = bench.committed()
        bench.connections.set_state("acme", "active")
        await bench.eventually(lambda: bench.committed() == 480)

    assert (dead_lettered, held) == (100, 100)
    assert "malformed or not for this connector" in reason
    assert len(bench.letters()) == 180
    assert sorted(saas.seen) == sorted(f"e{number}" for number in range(300))


async def test_malformed_records_are_counted_among_all_that_come(bench: Bench) -> None:
    """A third of them is no flood, however slow the vendor is with the others."""
    saas = bench.connect()
    saas.open.clear()
    for number in range(300):
        bench.producer.send(names.DEFAULT.events_topic("acme"), key=None, value=b"{")
        bench.emit(event(2 * number), event(2 * number + 1))

    async with bench.working() as worker:
        await bench.eventually(lambda: worker._router._budget.records == 600)
        assert len(bench.letters()) == 300
        assert saas.built == 1
        saas.open.set()
        await bench.eventually(lambda: bench.committed() == 900)

    assert bench.connections.get("acme").state == "active"
    assert len(set(saas.seen)) == 600


@pytest.mark.parametrize("operation", [Operation.ADD, Operation.UPSERT])
async def test_a_connector_that_fails_to_say_what_it_can(bench: Bench, operation: Operation) -> None:
    """A bug in one connector's ``function`` is a letter with the bug in it, not the end of the worker."""
    saas = bench.connect()
    other = bench.connect("other")

    def function(object_name: str, operation: Operation) -> Function:
        raise KeyError("nothing")

    saas.function = function  # type: ignore[method-assign]
    bench.emit(event(1, operation=operation))
    bench.emit(event(2, connection="other"), slug="other")

    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 1 and bench.committed("other") == 1)

    assert other.seen == ["e2"]
    (letter,) = bench.letters()
    assert letter.verdict == "unknown-function"
    assert "KeyError('nothing')" in letter.reason


async def test_many_lanes_stay_within_the_budget_together(bench: Bench) -> None:
    """A poll brings a lane more than its share: what is too much is put back, and nothing is lost or out of order."""
    slugs = [f"c{number}" for number in range(20)]
    saas = [bench.connect(slug) for slug in slugs]
    for one in saas:
        one.open.clear()
    for slug in slugs:
        bench.emit(*(event(number, key=str(number % 7), connection=slug) for number in range(200)), slug=slug)
    most = held = 0

    async with bench.working(budget_records=100) as worker:

        def look() -> None:
            nonlocal most, held
            most = max(most, worker._router._budget.records)
            held = max(held, sum(intake.records for intake in worker._router.intakes.values()))

        def all_begun() -> bool:
            look()
            return all(one.batches for one in saas)

        def all_done() -> bool:
            look()
            return all(bench.committed(slug) == 200 for slug in slugs)

        await bench.eventually(all_begun)
        for one in saas:
            one.open.set()
        await bench.eventually(all_done)

    # The n-th lane to begin has its share, a n-th of the budget, while the others still hold their larger ones; a poll
    # may go over it by a quarter; and each lane has what it was given while it was opened.
    assert most <= 25 + sum(100 / lanes for lanes in range(1, 21)) + 20 * 20
    assert held <= most + 20 * 20
    for one in saas:
        assert len(one.seen) == 200
        for key in range(7):
            assert [int(name[1:]) for name in one.seen if int(name[1:]) % 7 == key] == list(range(key, 200, 7))
