from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from dead_letter.letter.letter import STORY, Letter, encode
from dead_letter.store import archive as store_archive
from dead_letter.store.archive import Archive, catch_up, pause, starts
from dead_letter.store.filters import Filter
from dead_letter.store.store import Arrival, LetterStore
from tests.dead_letter.samples import a_letter, publish
from topics.errors import StoreUnavailable
from topics.log import Log, Partition
from topics.names import DEFAULT, MAX_LETTER_BYTES
from topics.store import open_store

PLACE = Partition(DEFAULT.dead_letter, 0)


@asynccontextmanager
async def running(archive: Archive) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(archive.run(stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 30)


async def until(store: LetterStore, count: int) -> None:
    async with asyncio.timeout(30):
        while await asyncio.to_thread(store.count) < count:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.02)


class Away(LetterStore):
    """A store whose database is away for some calls."""

    def __init__(self, engine: Engine, failures: int) -> None:
        super().__init__(engine)
        self.failures = failures

    def save_batch(self, arrivals: Sequence[Arrival]) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the store is away")
        return super().save_batch(arrivals)


def test_catching_up_is_complete_and_repeatable(log: Log, store: LetterStore) -> None:
    """A listing that catches up first holds every letter, each once, however often it is done."""
    publish(log, *(a_letter(offset) for offset in range(1_000)))
    counts = [catch_up(log, store), catch_up(log, store)]
    publish(log, a_letter(1_000))
    counts.append(catch_up(log, store))

    assert counts == [1_000, 0, 1]
    assert store.count() == 1_001


def test_without_a_topic_there_is_nothing_to_catch_up(store: LetterStore, log: Log) -> None:
    """A log on which nothing has happened yet is no error."""
    log.delete_topic(DEFAULT.dead_letter)

    assert catch_up(log, store) == 0


def test_a_store_that_was_lost_fills_itself_again(log: Log, store: LetterStore, store_engine: Engine) -> None:
    """Marks are the store's own: an empty store is read into from the topic's start."""
    letters = [a_letter(0), a_letter(1, replay_of=a_letter(0).id, replay_number=1)]
    publish(log, *letters)
    catch_up(log, store)
    with store_engine.begin() as connection:
        for table in ("dead_letters", "dead_letter_marks"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    catch_up(log, store)

    assert [summary.state for summary in store.list()] == ["open", "replayed"]


def test_a_topic_that_was_made_anew_is_read_from_its_start(log: Log, store: LetterStore) -> None:
    """When the topic is shorter than the store's mark, it is another topic, and its letters are not skipped."""
    publish(log, a_letter(0), a_letter(1))
    catch_up(log, store)
    log.delete_topic(DEFAULT.dead_letter)
    log.ensure_topics(DEFAULT.system_topics)
    publish(log, a_letter(2))

    assert catch_up(log, store) == 1
    assert store.count() == 3


def test_what_is_no_letter_is_kept_raw(log: Log, store: LetterStore) -> None:
    """A record that cannot be decoded, or that the database refuses as a letter, is stored with its bytes."""
    good = encode(a_letter(0))
    nonsense = (*good.headers[:-1], (STORY, good.headers[-1][1].replace(b'"status":400', b'"status":%d' % 10**30)))
    producer = log.producer(max_record_bytes=MAX_LETTER_BYTES)
    producer.send(DEFAULT.dead_letter, key=b"k", value=b"\x00\xff", headers=((STORY, b"{"),))
    producer.send(DEFAULT.dead_letter, key=good.key, value=good.value, headers=nonsense)
    producer.send(DEFAULT.dead_letter, key=good.key, value=good.value, headers=good.headers)
    producer.close(30.0)
    catch_up(log, store)
    kept = list(store.in_order(Filter(verdict="foreign")))

    assert store.count() == 3
    assert [store.get(summary.id).letter.record.value for summary in kept] == [b"\x00\xff", good.value]


async def test_the_archive_keeps_what_comes(log: Log, store: LetterStore) -> None:
    """Letters get into the store while the archive runs, and the group's commit follows."""
    async with running(Archive(log, store)):
        publish(log, a_letter(0), a_letter(1))
        await until(store, 2)
        publish(log, a_letter(2))
        await until(store, 3)

    assert log.committed(DEFAULT.archive_group, [PLACE])[PLACE] == (3, "")


async def test_an_archive_started_again_doubles_nothing(log: Log, store: LetterStore) -> None:
    """It goes on at the store's mark, also where a listing has been ahead of it."""
    publish(log, a_letter(0), a_letter(1))
    async with running(Archive(log, store)):
        await until(store, 2)
    publish(log, a_letter(2))
    catch_up(log, store)
    publish(log, a_letter(3))
    async with running(Archive(log, store)):
        await until(store, 4)

    assert [summary.offset for summary in store.list()] == [3, 2, 1, 0]


async def test_a_store_that_is_away_loses_nothing(log: Log, store_engine: Engine) -> None:
    """The archive holds, tries again with growing pauses, commits nothing meanwhile, and then keeps everything."""
    store = Away(store_engine, failures=3)
    waits: list[int] = []

    def wait(failures: int) -> float:
        waits.append(failures)
        return 0.01

    publish(log, *(a_letter(offset) for offset in range(10)))
    async with running(Archive(log, store, pause=wait)):
        await until(store, 10)

    assert waits == [1, 2, 3]
    assert log.committed(DEFAULT.archive_group, [PLACE])[PLACE] == (10, "")


async def test_a_stop_during_an_outage_is_prompt(log: Log, store_engine: Engine) -> None:
    """Holding does not hold up the end; nothing is committed that the store does not have."""
    held = asyncio.Event()

    def wait(_: int) -> float:
        held.set()
        return 3_600.0

    publish(log, a_letter(0))
    async with running(Archive(log, Away(store_engine, failures=9), pause=wait)):
        await asyncio.wait_for(held.wait(), 30)

    assert log.committed(DEFAULT.archive_group, [PLACE])[PLACE] is None


async def test_letters_that_the_store_has_for_long_leave_the_topic(
    log: Log, store: LetterStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay in the store; younger ones stay in the topic; an empty store begins with what is left."""
    monkeypatch.setattr(store_archive, "DELETE_SECONDS", 0.01)
    now = time.time()
    for age in (40, 30, 20, 0):
        producer = log.producer(max_record_bytes=MAX_LETTER_BYTES)
        at = int((now - age * 86_400) * 1_000)
        producer.send(DEFAULT.dead_letter, **encode(a_letter(age))._asdict(), timestamp_ms=at)
        producer.close(30.0)
    async with running(Archive(log, store, keep_s=28 * 86_400, now=lambda: now)), asyncio.timeout(30):
        while log.start_offsets([PLACE]) != {PLACE: 2}:  # noqa: ASYNC110 - the log tells nobody
            await asyncio.sleep(0.02)

    assert store.count() == 4
    empty = open_store(f"sqlite:///{tmp_path}/empty.db")
    assert starts(LetterStore(empty), log, [PLACE]) == {PLACE: 2}
    empty.dispose()


def test_pauses_grow() -> None:
    """1, 2, 4, 8, 16, 30, 30 seconds, as the docstring says."""
    assert [pause(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize("changes", [{"reason": "x" * 4_000}, {"event_key": None}])
def test_a_letter_goes_from_the_topic_to_the_store_unchanged(
    log: Log, store: LetterStore, changes: dict[str, Any]
) -> None:
    """What comes out of the store is what was written, the record's bytes included."""
    letter = replace(a_letter(5), **changes)
    publish(log, letter)
    catch_up(log, store)

    assert store.get(letter.id).letter == letter


def test_letters_of_others_stay_in_the_topic(log: Log, store_engine: Engine) -> None:
    """A store takes the letters of its own connections; one that is made later gets those that were passed."""
    own = {"hubspot"}
    store = LetterStore(store_engine, lambda: own)
    publish(log, *(letter_of(slug, number) for number, slug in enumerate(("crm", "hubspot", "crm"))))
    first = (catch_up(log, store), store.strangers())
    own.add("crm")
    second = (catch_up(log, store), store.strangers())

    assert first == (1, ["crm"])
    assert second == (2, [])
    assert store.missed() == {}
    assert {letter.connection for letter in store.list()} == {"crm", "hubspot"}


def test_letters_that_others_wrote_are_everybodys(log: Log, store_engine: Engine) -> None:
    """What no events topic of ours is named in has no store."""
    producer = log.producer(max_record_bytes=MAX_LETTER_BYTES)
    producer.send(DEFAULT.dead_letter, key=b"k", value=b"who knows")
    producer.close(30.0)

    assert catch_up(log, LetterStore(store_engine, set)) == 1


def letter_of(slug: str, number: int) -> Letter:
    letter = a_letter(number)
    return replace(
        letter, connection=slug, record=replace(letter.record, partition=Partition(DEFAULT.events_topic(slug), 0))
    )
