"""The one offset that holds up the commit of the rest is named, once."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.worker.samples import Feed, assignment
from worker.engine.lane.assignment import Assignment
from worker.engine.lane.lane import Lane
from worker.engine.progress.metadata import CROWDED
from worker.observe.head_of_line import Blocking, HeadOfLine, blocking

WRITTEN = 1_700_000_000.0


def filled(count: int, undone: int) -> Assignment:
    """``count`` records, of which all are done but the first ``undone``."""
    lane = Lane()
    feed = Feed(lane, assignment())
    deliveries = [feed.put(f"k{number}") for number in range(count)]
    for delivery in deliveries[undone:]:
        lane.finish(delivery, 0.0)
    return feed.assignment


@pytest.mark.parametrize(
    ("count", "undone", "metadata", "blocked"),
    [
        (1_000, 1, 0, True),  # the window is full, and all but one are done
        (1_000, 19, 0, True),
        (1_000, 20, 0, False),  # 98 % done is not more than 98 %
        (900, 1, 0, False),  # 90 % full is not more than 90 %
        (901, 1, 0, True),
        (200, 1, CROWDED, True),  # few offsets, but they fill the metadata
        (200, 1, CROWDED // 2, False),
        (0, 0, 0, False),
    ],
)
def test_the_rule_of_thumb(count: int, undone: int, metadata: int, *, blocked: bool) -> None:
    """A window more than 90 % full, of which more than 98 % is done, is blocked by its first."""
    found = blocking(filled(count, undone), 1_000, metadata)

    assert found == (Blocking(0, WRITTEN, "contact", "upsert", 0) if blocked else None)


def test_a_letter_on_its_way_blocks_too() -> None:
    """What never was in a lane has no function to name, but an offset."""
    one = assignment()
    for offset in range(1_000):
        one.progress.receive(offset)
    for offset in range(1, 1_000):
        one.progress.done(offset)

    assert blocking(one, 1_000, 0) == Blocking(0, 0.0, "", "letter", 0)


def test_it_is_told_once_for_each_offset() -> None:
    """The same offset is no news a second later; the next one is, and so is the same again after it had gone."""
    head = HeadOfLine(1_000)
    first, later = filled(1_000, 1), filled(1_000, 2)
    later.progress.done(0)
    with capture_logs() as logs:
        for one in (first, first, later, assignment(), first):
            head.look([(one, 0)])

    assert [(log["event"], log["offset"]) for log in logs] == [("lane.blocked", offset) for offset in (0, 1, 0)]
    assert logs[0] == {
        "event": "lane.blocked",
        "log_level": "warning",
        "partition": str(first.partition),
        "offset": 0,
        "object": "contact",
        "operation": "upsert",
        "attempts": 0,
        "waiting_since": WRITTEN,
    }


def test_the_age_of_the_oldest_outlives_its_being_dropped() -> None:
    """While a destination is down its records are dropped from memory: they wait no less for that."""
    head = HeadOfLine(1_000)
    one = filled(3, 3)
    ages = []
    for each in (one, one.again(), filled(3, 0)):
        head.look([(each, 0)])
        ages.append(head.waiting_since(one.partition))

    assert ages == [WRITTEN, WRITTEN, None]
