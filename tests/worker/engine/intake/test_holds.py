"""What a worker must not decide alone: it holds the partition, says so, and does what it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.tools.one_process_profile import Bench
from tests.worker.samples import PARTITION, event, write_to_the_log
from topics import names
from topics.log import Commit, Log, Partition
from topics.store.orders import Order, OrderKind
from worker.engine.intake import holds
from worker.engine.intake.evidence import Evidence, gather
from worker.engine.intake.holds import EXAMINED
from worker.engine.intake.pauses import PartitionPauses
from worker.engine.lane.assignment import Assignment
from worker.worker import Worker

GHOST = Partition(names.DEFAULT.events_topic("ghost"), 0)


def order(bench: Bench, kind: OrderKind, place: Partition = PARTITION) -> None:
    bench.orders.give([Order(place, kind, bench.log.end_offsets([place])[place], "ops", 1_700_000_000.0)])


def answer(bench: Bench, place: Partition = PARTITION) -> str | None:
    (given,) = bench.orders.of([place])
    return given.answer


def held(worker: Worker, slug: str = "acme") -> bool:
    worker.observer.look()
    standing = worker.observer.states.current.get(slug)
    return standing is not None and standing.state == "held"


def reason(worker: Worker, slug: str = "acme") -> str:
    return worker.observer.states.current[slug].reason


# -- a connection that the store does not know ------------------------------------------------------------------------


def haunt(bench: Bench, *numbers: int) -> None:
    bench.log.ensure_topics([names.DEFAULT.events_spec("ghost")])
    bench.emit(*(event(number, connection="ghost") for number in numbers), slug="ghost")


async def test_a_topic_of_another_store_is_held(bench: Bench) -> None:
    """Nothing is dead-lettered, the state says what to do; a connection that is made then gets all of it, at once."""
    haunt(bench, 0, 1, 2)
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker, "ghost"))
        why, committed, letters = reason(worker, "ghost"), bench.committed("ghost"), bench.letters()
        saas = bench.connect("ghost")
        await bench.eventually(lambda: bench.committed("ghost") == 3)

    assert "no connection has the slug 'ghost' in this worker's store" in why
    assert "writeback topics bury ghost" in why
    assert (committed, letters) == (0, [])
    assert saas.seen == ["e0", "e1", "e2"]


async def test_it_is_dead_lettered_on_purpose(bench: Bench) -> None:
    """More than fits into memory at once, up to where it ended when that was ordered; what comes later waits again."""
    haunt(bench, *range(50))
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker, "ghost"))
        order(bench, "bury", GHOST)
        haunt(bench, 50)
        await bench.eventually(lambda: answer(bench, GHOST))
        await bench.eventually(lambda: held(worker, "ghost"))

    letters = bench.letters()
    assert answer(bench, GHOST) == "what lay below offset 50 is dead-lettered"
    assert sorted(letter.record.offset for letter in letters) == list(range(50))
    assert {letter.verdict for letter in letters} == {"unknown-connection"}
    assert bench.committed("ghost") == 50
    assert bench.orders.buried() == {"ghost"}


async def test_what_is_dead_lettered_holds_nothing_any_more(bench: Bench) -> None:
    """With nothing left the topic is not held, and a replay to a connection that is made then is not refused."""
    haunt(bench, 0, 1)
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker, "ghost"))
        order(bench, "bury", GHOST)
        await bench.eventually(lambda: answer(bench, GHOST))
        await bench.eventually(lambda: not held(worker, "ghost"))
        saas = bench.connect("ghost")
        haunt(bench, 2)
        await bench.eventually(lambda: bench.committed("ghost") == 3)

    assert saas.seen == ["e2"]


async def test_a_record_that_was_put_back_is_dead_lettered_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came before its new partition had been looked at, went back into the log, and is read again."""
    pause = PartitionPauses.hold

    def pause_late(self: PartitionPauses, assignment: Assignment, why: str) -> None:
        if why == EXAMINED:
            asyncio.get_running_loop().call_later(0.3, pause, self, assignment, why)
        else:
            pause(self, assignment, why)

    def look_long(log: Log, partitions: Sequence[Partition], now_ms: int) -> dict[Partition, Evidence]:
        time.sleep(1.0)
        return gather(log, partitions, now_ms)

    monkeypatch.setattr(PartitionPauses, "hold", pause_late)
    monkeypatch.setattr(holds, "gather", look_long)
    haunt(bench, 0)
    order(bench, "bury", GHOST)
    async with bench.working():
        await bench.eventually(lambda: answer(bench, GHOST))

    assert [letter.event_id for letter in bench.letters()] == ["e0"]


async def test_the_letters_say_why(bench: Bench) -> None:
    """No connection, and what is malformed besides says that, too."""
    haunt(bench, 0)
    bench.send(b"{", slug="ghost")
    order(bench, "bury", GHOST)
    async with bench.working():
        await bench.eventually(lambda: answer(bench, GHOST))
    known, malformed = bench.letters()

    assert known.event_id == "e0"
    assert "no connection has the slug 'ghost': `writeback connections list` shows what there is" in known.reason
    assert "the record is malformed" in malformed.reason


async def test_a_connection_that_exists_is_not_dead_lettered(bench: Bench) -> None:
    """The order is answered with that, and its events are delivered."""
    saas = bench.connect()
    bench.emit(event(0))
    order(bench, "bury")
    haunt(bench, 1)
    async with bench.working():
        await bench.eventually(lambda: answer(bench))

    assert answer(bench) == "there is a connection acme in the worker's store: its events are delivered"
    assert saas.seen == ["e0"]


# -- commits that are gone --------------------------------------------------------------------------------------------


async def deliver(bench: Bench, count: int) -> None:
    async with bench.working():
        bench.emit(*(event(number) for number in range(count)))
        await bench.eventually(lambda: bench.committed() == count)


@pytest.mark.parametrize(
    ("kind", "delivered", "told"),
    [
        ("ledger", ["e3", "e4"], "goes on at offset 3: what has no outcome goes out (2)"),
        (
            "start",
            ["e0", "e1", "e2", "e3", "e4"],
            "goes on from its first record, offset 0: all of it goes out (again)",
        ),
        ("end", [], "goes on at offset 5: what lay before it is passed, undelivered"),
    ],
)
async def test_commits_that_are_gone(
    bench: Bench, tmp_path: Path, kind: OrderKind, delivered: list[str], told: str
) -> None:
    """The topic was delivered from before: nothing goes out until an operator says from where; a restart asks anew."""
    saas = bench.connect()
    await deliver(bench, 3)
    bench.emit(event(3), event(4))
    write_to_the_log(tmp_path, "DELETE FROM commits")
    saas.batches.clear()
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker))
        why = reason(worker)
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker))
        before = list(saas.seen)
        order(bench, kind)
        await bench.eventually(lambda: answer(bench))
        await bench.eventually(lambda: bench.committed() == 5)
        assert not held(worker)
        bench.emit(event(5))
        await bench.eventually(lambda: bench.committed() == 6)

    assert "the group's commits are gone, and it was read before (the ledger has outcomes up to offset 2)" in why
    assert "`writeback topics resume acme` goes on with what has no outcome there (2)" in why
    assert before == []
    assert sorted(saas.seen) == [*delivered, "e5"]
    assert answer(bench) == told


async def test_a_new_topic_is_committed_before_anything_goes_out(bench: Bench) -> None:
    """A crash in the middle of the first call leaves a commit: the next worker takes nothing for gone."""
    saas = bench.connect()
    saas.open.clear()
    async with bench.working(grace_seconds=0.1):
        bench.emit(event(0))
        await bench.eventually(lambda: saas.batches)
        commit = bench.log.committed(names.DEFAULT.worker_group, [PARTITION])[PARTITION]
        saas.open.set()

    assert commit is not None
    assert commit.offset == 0


async def test_an_order_that_does_not_fit_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    """What is held for one reason is not let go for another."""
    bench.connect()
    await deliver(bench, 1)
    write_to_the_log(tmp_path, "DELETE FROM commits")
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker))
        order(bench, "skip")
        await bench.eventually(lambda: answer(bench))
        assert held(worker)

    told = answer(bench)
    assert told is not None
    assert told.startswith("it is not held for that now: partition 0: the group's commits are gone")


# -- what cannot be read ----------------------------------------------------------------------------------------------


async def test_a_damaged_record_is_passed_with_its_bytes(bench: Bench, tmp_path: Path) -> None:
    """What lies before it is delivered; it holds the partition until it is skipped, its bytes are in a letter."""
    saas = bench.connect()
    bench.emit(*(event(number) for number in range(4)))
    write_to_the_log(tmp_path, "UPDATE records SET headers = x'0102' WHERE id & 0xFFFFFFFFFF = 2 AND headers NOT NULL")
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker))
        await bench.eventually(lambda: bench.committed() == 2)
        why, before = reason(worker), list(saas.seen)
        order(bench, "skip")
        await bench.eventually(lambda: bench.committed() == 4)
        await bench.eventually(lambda: answer(bench))
        assert not held(worker)
    (letter,) = bench.letters()

    assert "partition 0: the headers of the record at offset 2 cannot be read" in why
    assert "writeback topics skip acme" in why
    assert before == ["e0", "e1"]
    assert saas.seen == ["e0", "e1", "e3"]
    assert (letter.verdict, letter.record.offset, letter.record.value) == ("unreadable", 2, b'{"n":2}')
    assert answer(bench) == "goes on at offset 3, past what cannot be read; its bytes are in a dead letter"


async def test_records_deleted_unread(bench: Bench) -> None:
    """They are missed: the partition is held with the offset, and goes on with what is left when it is told to."""
    saas = bench.connect()
    await deliver(bench, 2)
    bench.emit(*(event(number) for number in range(2, 6)))
    bench.log.trim({PARTITION: 4})
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker))
        why = reason(worker)
        order(bench, "skip")
        await bench.eventually(lambda: bench.committed() == 6)
        await bench.eventually(lambda: not held(worker))

    assert "offset 2 is no longer in the log: records were deleted unread" in why
    assert sorted(saas.seen) == ["e0", "e1", "e4", "e5"]


async def test_what_was_passed_stays_passed(bench: Bench, tmp_path: Path) -> None:
    """Also when it is read again from before, by the same worker: the events in front of it are not done yet."""
    saas = bench.connect()
    bench.emit(*(event(number) for number in range(4)))
    write_to_the_log(tmp_path, "UPDATE records SET headers = x'0102' WHERE id & 0xFFFFFFFFFF = 2 AND headers NOT NULL")
    saas.open.clear()
    async with bench.working() as worker:
        await bench.eventually(lambda: held(worker))
        await bench.eventually(lambda: saas.batches)
        order(bench, "skip")
        await bench.eventually(lambda: answer(bench))
        behind = bench.committed()
        bench.connections.resume("acme")
        saas.open.set()
        await bench.eventually(lambda: bench.committed() == 4)

    assert behind == 0
    assert sorted(set(saas.seen)) == ["e0", "e1", "e3"]
    assert len(bench.letters()) == 1
    assert bench.log.committed(names.DEFAULT.worker_group, [PARTITION]) == {PARTITION: Commit(4)}
