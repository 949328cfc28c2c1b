"""One gate, many reasons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from tests.worker.samples import assignment
from topics.log import Partition
from worker.engine.intake.pauses import PartitionPauses


class Taps:
    """A consumer's pause and resume, written down."""

    def __init__(self) -> None:
        self.turned: list[str] = []

    def pause(self, partitions: Sequence[Partition]) -> None:
        self.turned += ["pause"] * len(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self.turned += ["resume"] * len(partitions)

    def seek(self, partition: Partition, offset: int) -> None:
        self.turned.append(f"seek {partition.number} {offset}")


def test_it_flows_when_no_reason_is_left() -> None:
    """The first reason pauses, the last one that goes resumes; the log hears nothing in between."""
    taps = Taps()
    pauses, one = PartitionPauses(cast("Any", taps)), assignment()

    pauses.hold(one, "full")
    pauses.hold(one, "down")
    pauses.hold(one, "full")
    pauses.release(one, "full")
    assert taps.turned == ["pause"]
    pauses.release(one, "down")

    assert taps.turned == ["pause", "resume"]
    assert one.holds == set()


def test_a_reason_that_is_not_there_changes_nothing() -> None:
    """Releasing twice, or what was never held, is no resume."""
    taps = Taps()
    pauses, one = PartitionPauses(cast("Any", taps)), assignment()

    pauses.release(one, "full")

    assert taps.turned == []


def test_a_partition_that_is_gone_is_left_alone() -> None:
    """The consumer would refuse: somebody else owns it."""
    taps = Taps()
    pauses, one = PartitionPauses(cast("Any", taps)), assignment()
    one.closed = True

    pauses.hold(one, "full")
    pauses.release(one, "full")

    assert taps.turned == []


def test_what_is_put_back_is_read_again() -> None:
    """The consumer goes back to it; whether the partition flows is another matter."""
    taps = Taps()
    pauses, one = PartitionPauses(cast("Any", taps)), assignment()

    pauses.put_back(one, 17)

    assert taps.turned == ["seek 0 17"]
