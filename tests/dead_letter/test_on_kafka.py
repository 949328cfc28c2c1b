from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from dead_letter.letter.letter import Letter
from dead_letter.replay.replay import Replayer
from dead_letter.replay.selection import survey
from dead_letter.store.archive import Archive, catch_up
from dead_letter.store.filters import Filter
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import START, a_letter, a_record, an_event, claimed, publish
from tests.kafka_broker import Broker
from topics.cli.pace import Pace
from topics.event import codec
from topics.event.event import Replay
from topics.log import Log, Partition, Record
from topics.names import DEFAULT, MAX_EVENT_BYTES
from topics.open import open_log

pytestmark = pytest.mark.kafka


@pytest.fixture
def log(kafka: Broker) -> Iterator[Log]:
    log = open_log(f"kafka://{kafka.bootstrap}")
    log.ensure_topics(DEFAULT.system_topics)
    yield log
    log.close()


@pytest.fixture
def slug(log: Log) -> Iterator[str]:
    """A connection that no other test on this broker has."""
    slug = f"letters-{uuid4().hex[:8]}"
    log.ensure_topics([DEFAULT.events_spec(slug, partitions=2)])
    yield slug
    log.delete_topic(f"writeback.events.{slug}")


def letters_of(slug: str, count: int) -> list[Letter]:
    events = [an_event(key=str(turn)).model_copy(update={"connection": slug}) for turn in range(count)]
    return [a_letter(turn, event=event) for turn, event in enumerate(events)]


def test_there_and_back(log: Log, slug: str, store: LetterStore) -> None:
    """Over a real broker, letters get into the store as they were, and their events back onto their topic in order."""
    letters = letters_of(slug, 250)
    publish(log, *letters)
    catch_up(log, store)
    kept = list(store.in_order(Filter(connection=slug)))
    pace = Pace(lambda: 0.0, lambda _: None, lag_limit=1_000_000)
    items = list(
        Replayer(log, store, claimed(store), who="ada", now=lambda: START, pace=pace).run(survey(log, store, kept))
    )

    assert [stored.letter for stored in store.load([summary.id for summary in kept])] == letters
    assert {item.outcome for item in items} == {"replayed"}
    reader = log.reader({Partition(f"writeback.events.{slug}", 0): 0})
    records: list[Record] = []
    while len(records) < 250:
        records += reader.poll(5.0)
    reader.close()
    assert [codec.decode(record).key for record in records] == [letter.event_key for letter in letters]
    assert codec.decode(records[0]).replay == Replay(letter=letters[0].id, number=1)


def test_the_largest_letter(log: Log, slug: str, store: LetterStore) -> None:
    """A letter of the largest event, and one of a record with neither key nor value, pass a real broker; the largest
    event passes it once more on its way back."""
    [largest, nothing] = letters_of(slug, 2)
    record = a_record(0, codec.decode(largest.record))
    room = MAX_EVENT_BYTES - record.size
    largest = replace(largest, record=replace(record, headers=(*record.headers, ("x", b"x" * (room - 1)))))
    nothing = replace(nothing, record=replace(nothing.record, key=None, value=None, headers=()))
    publish(log, largest, nothing)
    catch_up(log, store)

    assert store.get(largest.id).letter == largest
    assert store.get(nothing.id).letter == nothing
    planned = survey(log, store, list(store.in_order(Filter(ids=[largest.id]))))
    pace = Pace(lambda: 0.0, lambda _: None)
    [item] = Replayer(log, store, claimed(store), who="ada", now=lambda: START, pace=pace).run(planned)
    assert (item.outcome, item.why) == ("replayed", "")


async def test_the_archive(log: Log, slug: str, store: LetterStore) -> None:
    """The archive takes what comes while it runs, and doubles nothing that a listing took first."""
    letters = letters_of(slug, 20)
    await asyncio.to_thread(publish, log, *letters[:10])
    await asyncio.to_thread(catch_up, log, store)
    stop = asyncio.Event()
    task = asyncio.create_task(Archive(log, store).run(stop))
    await asyncio.to_thread(publish, log, *letters[10:])
    async with asyncio.timeout(60):
        while await asyncio.to_thread(store.count, Filter(connection=slug)) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(task, 30)

    assert [summary.offset for summary in store.in_order(Filter(connection=slug))] == list(range(20))
