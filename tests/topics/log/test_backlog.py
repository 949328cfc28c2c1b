"""What the log has between some offsets and its end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from topics import names
from topics.errors import LogUnavailable
from topics.event.codec import encode
from topics.event.event import Event, Operation
from topics.log import Log, Partition, backlog
from topics.log.backlog import event_ids
from topics.open import open_log

PLACE = Partition(names.DEFAULT.events_topic("crm"), 0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """It has e0 to e3; those with an odd number are of the source ``b``, the others of ``a``."""
    opened = open_log(f"sqlite:///{tmp_path / 'log.db'}")
    opened.ensure_topics([opened.names.events_spec("crm", 1)])
    producer = opened.producer()
    for number in range(4):
        source = "ab"[number % 2]
        event = Event(
            id=f"e{number}", operation=Operation.UPSERT, connection="crm", object="contact", key="1", source=source
        )
        producer.send(PLACE.topic, **encode(event)._asdict()).result(10)
    producer.close()
    yield opened
    opened.close()


def test_the_ids_of_events(log: Log) -> None:
    """Of all, or of one source; from an offset on; none where there are none."""
    assert event_ids(log, {PLACE: 0}) == {"e0", "e1", "e2", "e3"}
    assert event_ids(log, {PLACE: 1}, source="b") == {"e1", "e3"}
    assert event_ids(log, {PLACE: 4}) == event_ids(log, {}) == set()


def test_records_that_do_not_come(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are said to be missing, and not waited for without an end."""
    monkeypatch.setattr(backlog, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(type(log.reader({PLACE: 0})), "poll", lambda *_: [])
    with pytest.raises(LogUnavailable, match=r"writeback\.events\.crm\[0\] has records from 0 on that do not come"):
        event_ids(log, {PLACE: 0})


def test_a_partition_is_read_back_from_its_text() -> None:
    """Also where the topic's name has brackets, which ours never has."""
    for place in (PLACE, Partition("odd[1]", 12)):
        assert Partition.parse(str(place)) == place
