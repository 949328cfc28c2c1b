"""Parked keys in a whole worker on the embedded log: behind a letter, across owners, and after a change of mind."""

from __future__ import annotations

from connectors.contract import Delivered, Rejected, Verdict
from tests.tools.one_process_profile import Bench, Saas
from tests.worker.samples import event
from topics.event.event import Event, Operation
from topics.log import Commit, Partition
from topics.names import DEFAULT

PARTITION = Partition(DEFAULT.events_topic("acme"), 0)


def change(number: int, key: str = "ada") -> Event:
    return event(number, operation=Operation.UPSERT, key=key)


def refusing(saas: Saas, *ids: str) -> None:
    def answer(one: Event) -> Verdict:
        return Rejected("no") if one.id in ids else Delivered()

    saas.answer = answer


async def test_what_comes_behind_a_letter_follows_it(bench: Bench) -> None:
    """The later events of the key are dead-lettered in order, marked with the first; other keys flow."""
    saas = bench.connect(policy={"on_dead": "park"})
    refusing(saas, "e0")
    bench.emit(change(0), change(1), change(2, "bob"), change(3))
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 4)
        letters = bench.letters()

    assert saas.seen == ["e0", "e2"]
    assert [(letter.event_id, letter.verdict) for letter in letters] == [
        ("e0", "rejected"),
        ("e1", "blocked"),
        ("e3", "blocked"),
    ]
    assert {letter.blocked_by for letter in letters[1:]} == {letters[0].id}


async def test_a_partition_that_comes_back_knows_what_others_parked(bench: Bench) -> None:
    """While another worker had the partition it parked a key: events of that key go behind its letter."""
    saas = bench.connect(policy={"on_dead": "park"})
    bench.emit(change(0))
    async with bench.working() as worker:
        await bench.eventually(lambda: bench.committed() == 1)
        worker.lost([PARTITION])
        bench.parking.park("acme", "contact/ada", "others", offset=0, barred=False, now=0.0)
        worker.assigned({PARTITION: Commit(1)})
        bench.emit(change(1), change(2, "bob"))
        await bench.eventually(lambda: bench.committed() == 3)
        letters = bench.letters()

    assert saas.seen == ["e0", "e2"]
    assert [(letter.event_id, letter.blocked_by) for letter in letters] == [("e1", "others")]


async def test_a_connection_that_goes_on_again_parks_nothing(bench: Bench) -> None:
    """With the policy back at continue the keys flow, and their rows are gone."""
    saas = bench.connect(policy={"on_dead": "continue"})
    bench.parking.park("acme", "contact/ada", "old", offset=0, barred=False, now=0.0)
    bench.emit(change(0), change(1))
    async with bench.working():
        await bench.eventually(lambda: bench.committed() == 2)

    assert saas.seen == ["e0", "e1"]
    assert bench.parking.parked() == []
