"""What the ledger knows of a partition whose commits are gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from dead_letter.letter.letter import letter_id
from tests.tools.one_process_profile import Bench
from tests.worker.samples import PARTITION, event, write_to_the_log
from topics import names
from topics.event.result import Result, pack
from worker.engine.intake.evidence import Evidence, gather
from worker.engine.progress.metadata import Memory


def told(bench: Bench, *outcomes: tuple[str, int]) -> Evidence:
    """With these in the ledger, in this order: ids of events, and where those lay."""
    for name, offset in outcomes:
        result = Result(
            name, "delivered", "acme", "contact", "upsert", None, PARTITION.topic, 0, offset, attempts=1, time=1.0
        )
        bench.producer.send(names.DEFAULT.results, key=b"acme", value=pack([result]))
    bench.producer.flush(5)
    return gather(bench.log, [PARTITION], 1_800_000_000_000)[PARTITION]


@pytest.fixture
def topic(bench: Bench) -> Bench:
    """Ten events in a topic, e100 at offset 0."""
    bench.connect()
    bench.emit(*(event(number) for number in range(100, 110)))
    return bench


def former(count: int) -> list[tuple[str, int]]:
    """The outcomes of a topic of that name that was deleted."""
    return [(f"e{offset}", offset) for offset in range(count)]


@pytest.mark.parametrize("before", [0, 3, 7, 10, 15])
@pytest.mark.parametrize("ended", [[], [0], [0, 1, 2, 5], [1, 3, 2], list(range(10))])
def test_outcomes_of_a_topic_that_was_deleted_say_nothing(topic: Bench, before: int, ended: list[int]) -> None:
    """However long it was, and however much of this one is done: only this one's outcomes count."""
    evidence = told(topic, *former(before), *((f"e{100 + offset}", offset) for offset in ended))

    assert sorted(offset for start, end in evidence.ended for offset in range(start, end)) == sorted(ended)
    assert evidence.delivered_before is bool(ended)


def test_a_record_that_is_no_event_is_known_by_its_letter(topic: Bench) -> None:
    """Its outcome has the letter's id."""
    topic.send(b"{")
    record = topic.records(PARTITION.topic)[-1]
    evidence = told(topic, *former(11), (letter_id(record), 10))

    assert evidence.ended == ((10, 11),)


def test_what_was_deleted_is_not_asked_for(topic: Bench) -> None:
    """Where the records of the first outcomes are gone, the others say what there is to know."""
    topic.log.trim({PARTITION: 4})
    evidence = told(topic, *((f"e{100 + offset}", offset) for offset in range(6)))

    assert evidence.ended == ((4, 6),)
    assert evidence.left == 4


def outcomes_at(*offsets: int) -> list[tuple[str, int]]:
    return [(f"e{100 + offset}", offset) for offset in offsets]


def test_an_offset_without_a_record_misses_no_outcome(topic: Bench, tmp_path: Path) -> None:
    """As transactions leave them: before, between and behind what is done. What has a record and no outcome is left."""
    write_to_the_log(tmp_path, "DELETE FROM records WHERE id & 0xFFFFFFFFFF IN (1, 2, 4, 8)")
    evidence = told(topic, *outcomes_at(0, 3, 5, 7))
    watermark, memory = evidence.memory()

    assert (evidence.left, evidence.exact) == (2, True)  # offsets 6 and 9
    assert watermark == 6
    assert memory == Memory(announced=[(6, 7)], done=[(7, 9)])
    assert evidence.last == 8


def test_what_cannot_be_read_may_be_missing_its_outcome(topic: Bench, tmp_path: Path) -> None:
    """It is not taken for an offset without a record, and nothing behind it is looked at."""
    write_to_the_log(tmp_path, "UPDATE records SET headers = x'05' WHERE id & 0xFFFFFFFFFF = 4")
    write_to_the_log(tmp_path, "DELETE FROM records WHERE id & 0xFFFFFFFFFF IN (2, 6)")
    evidence = told(topic, *outcomes_at(0, 1, 5))

    assert evidence.empty == ((2, 3),)
    assert (evidence.left, evidence.exact) == (6, False)  # 3, 4, and at most 6 to 9


def test_a_long_topic_is_not_read_to_the_end(topic: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not looked at counts as records."""
    monkeypatch.setattr("worker.engine.intake.evidence.LOOKED_AT", 3)
    monkeypatch.setattr("topics.sqlite.reader.READ_RECORDS", 2)
    write_to_the_log(tmp_path, "DELETE FROM records WHERE id & 0xFFFFFFFFFF IN (1, 8)")
    evidence = told(topic, *outcomes_at(0))

    assert evidence.empty == ((1, 2),)
    assert (evidence.left, evidence.exact) == (8, False)
