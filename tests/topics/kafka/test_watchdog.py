"""The watchdog is told the time and the facts; it says when a consumer must be replaced."""

from __future__ import annotations

from collections.abc import Sequence

from topics.kafka.watchdog import Watchdog
from topics.log import Partition

ONE, TWO = Partition("a", 0), Partition("b", 0)


class Facts:
    def __init__(self) -> None:
        self.dog = Watchdog(18.0)
        self.dog.reset(0.0)
        self.asked = 0

    def at(
        self,
        now: float,
        *,
        stable: bool = True,
        fetchable: Sequence[Partition] = (ONE,),
        stuck: Sequence[Partition] = (),
        forgotten: Sequence[Partition] = (),
    ) -> str | None:
        def behind(partitions: Sequence[Partition]) -> list[Partition]:
            self.asked += 1
            return [partition for partition in partitions if partition in stuck]

        return self.dog.look(
            now,
            stable=stable,
            fetchable=fetchable,
            idle=not fetchable,
            behind=behind,
            forgotten=lambda: forgotten,
        )


def test_a_join_that_does_not_end() -> None:
    """A join may take three session time-outs; then the consumer is replaced."""
    facts = Facts()

    assert facts.at(0, stable=False) is None
    assert facts.at(18, stable=False) is None
    assert "join" in (facts.at(18.1, stable=False) or "")


def test_an_outage_is_nobodys_fault() -> None:
    """While the broker is out no consumer is replaced, however long it takes."""
    facts = Facts()

    assert facts.at(10, stable=False) is None
    for now in range(10, 600):
        facts.dog.no_answer(now)
    assert facts.at(600, stable=False, stuck=[ONE]) is None
    assert facts.at(610, stuck=[ONE]) is None


def test_records_that_do_not_come() -> None:
    """A partition that has records and gives none is stuck; one that is idle is asked about once in a while."""
    facts = Facts()

    assert [facts.at(now, fetchable=[ONE, TWO]) for now in range(100)] == [None] * 100
    assert facts.asked == 13
    said = [facts.at(now, fetchable=[ONE, TWO], stuck=[TWO]) for now in range(100, 127)]
    assert [text for text in said if text] == ["b[0] has records, and none came for 18 s"]


def test_records_that_come() -> None:
    """A partition whose records come is never asked about."""
    facts = Facts()
    for now in range(100):
        facts.dog.moved(ONE, now)
        assert facts.at(now, stuck=[ONE]) is None

    assert facts.asked == 0


def test_no_partition() -> None:
    """A member without partitions is right where the others have them all, and forgotten where nobody does."""
    facts = Facts()

    assert [facts.at(now, fetchable=[]) for now in range(100)] == [None] * 100
    assert "nobody reads a[0]" in (facts.at(120, fetchable=[], forgotten=[ONE]) or "")
