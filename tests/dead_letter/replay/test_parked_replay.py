"""Replays and discards of parked keys, as the worker will read them from the topic."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from dead_letter.letter.letter import Letter
from dead_letter.replay.closing import Closing, closings, overdue, send
from dead_letter.replay.replay import BATCH, Item, Replayer
from dead_letter.replay.selection import Planned, survey
from dead_letter.store.filters import Filter
from dead_letter.store.rows import Edit
from dead_letter.store.store import LetterStore
from tests.dead_letter.replay.test_replay import OPEN, TOPIC, Dying, OtherLog, Time, on_topic, refusing
from tests.dead_letter.samples import START, a_letter, a_record, an_event, arrivals, claimed, replayed
from topics.cli.pace import Pace
from topics.errors import LogUnavailable, RecordRefused
from topics.event import codec
from topics.event.event import Event
from topics.event.result import Result, pack
from topics.event.unpark import NO_LETTER, unpark_of
from topics.log import Log, Partition, Record
from topics.names import DEFAULT


class Parked:
    """What a worker with ``on_dead: park`` would have left behind."""

    def __init__(self, log: Log, store: LetterStore) -> None:
        self.log = log
        self.store = store
        self.arrived = 0

    def dies(self, offset: int, key: str = "7", **changes: Any) -> Letter:
        """An event of the record dies, or is diverted when it is not the first."""
        record = changes.pop("record", None) or a_record(offset, an_event(key=key, n=offset))
        letter = a_letter(offset, event=codec.decode(record), record=record, **changes)
        barred = letter.replay_of is not None
        first, _ = self.store.parking.park(
            "hubspot", f"contact/{key}", letter.id, offset=record.offset, barred=barred, now=START + offset
        )
        if first != letter.id and "verdict" not in changes:
            letter = replace(letter, verdict="blocked", blocked_by=first)
        self.keep(letter)
        return letter

    def dies_again(self, copy: Record, before: Letter, **changes: Any) -> Letter:
        """The replayed event that lies there."""
        return self.dies(copy.offset, record=copy, replay_of=before.id, replay_number=1, **changes)

    def keep(self, letter: Letter) -> None:
        self.store.save_batch(arrivals(letter, start=self.arrived))
        self.arrived += 1

    def planned(self, *letters: Letter) -> list[Planned]:
        filters = Filter(ids=[letter.id for letter in letters]) if letters else OPEN
        return survey(self.log, self.store, list(self.store.in_order(filters)))

    def replay(self, *letters: Letter, log: Any = None) -> tuple[list[Item], list[Closing]]:
        replayer = self.replayer(log)
        return list(replayer.run(self.planned(*letters))), replayer.closed

    def replayer(self, log: Any = None) -> Replayer:
        time = Time()
        pace = Pace(time.monotonic, time.sleep)
        return Replayer(log or self.log, self.store, claimed(self.store), who="ada", now=lambda: START, pace=pace)

    def said(self) -> list[str]:
        """What lies on the topic: numbers of events, and letters that closing records name."""
        told = []
        for record in on_topic(self.log):
            unpark = unpark_of(record)
            told.append(f"close {unpark.letter}" if unpark else str(codec.decode(record).fields["n"]))
        return told

    def obey(self) -> bool:
        """The worker gets to the last closing record; whether the key is free."""
        closing_records = [unpark for record in on_topic(self.log) if (unpark := unpark_of(record))]
        return self.store.parking.close("hubspot", *closing_records[-1])


@pytest.fixture
def parked(log: Log, store: LetterStore) -> Parked:
    return Parked(log, store)


def test_a_replay_ends_with_a_closing_record(parked: Parked) -> None:
    """Behind the events of the key, on their partition, it names the newest letter, and the key is free."""
    letters = [parked.dies(offset) for offset in (3, 4, 5)]
    parked.dies(9, key="8")
    items, closed = parked.replay(*letters)

    assert [item.outcome for item in items] == ["replayed"] * 3
    assert parked.said() == ["3", "4", "5", f"close {letters[-1].id}"]
    assert [(one.record_key, one.flows, one.open, one.trouble) for one in closed] == [("contact/7", True, (), "")]
    assert parked.obey()
    assert [one.record_key for one in parked.store.parking.parked()] == ["contact/8"]


def test_the_closing_record_goes_to_the_partition_of_the_events(parked: Parked) -> None:
    """Wherever their producer put them."""
    record = replace(a_record(3, an_event(key="7", n=3)), partition=Partition(TOPIC, 1))
    parked.dies(3, record=record)
    parked.replay()

    assert [record.partition.number for record in on_topic(parked.log)] == [1, 1]


def test_an_edit_that_moves_the_event_frees_the_record_that_it_had(parked: Parked) -> None:
    """The key that was parked is the original's."""
    letter = parked.dies(3)
    parked.store.edit(letter.id, Edit("update", "contact", "99", {"n": 3}), seen=None, who="ada", now=START)
    parked.replay()

    assert [unpark.record_key for record in on_topic(parked.log) if (unpark := unpark_of(record))] == ["contact/7"]
    assert parked.obey()


def test_a_key_that_is_not_parked_is_not_closed(parked: Parked) -> None:
    """Where nothing is parked a replay adds nothing to the topic."""
    parked.keep(a_letter(3, event=an_event(key="7", n=3)))
    _, closed = parked.replay()

    assert (parked.said(), closed) == (["3"], [])


def test_a_part_of_the_letters_keeps_the_key_parked(parked: Parked) -> None:
    """The first ones may go alone; the key then stays parked, and it is said which letters keep it."""
    first, second, third = (parked.dies(offset) for offset in (3, 4, 5))
    _, closed = parked.replay(first)

    assert parked.said() == ["3", f"close {NO_LETTER}"]
    assert [(one.flows, one.open) for one in closed] == [(False, (second.id, third.id))]
    assert not parked.obey()


def test_nothing_goes_past_an_open_letter(parked: Parked) -> None:
    """A letter whose predecessor is open and not going with it stays, and the answer names that one."""
    first, second, third = (parked.dies(offset) for offset in (3, 4, 5))
    plan = parked.planned(second, third)

    assert [item.fate for item in plan] == ["ineligible", "ineligible"]
    assert all(f"waits behind letter {first.id} of contact/7" in item.why for item in plan)
    assert [item.fate for item in parked.planned(first, second)] == ["eligible", "eligible"]
    assert [item.fate for item in parked.planned(first, third)] == ["eligible", "ineligible"]
    assert parked.planned(first, third)[1].why.startswith(f"it waits behind letter {second.id} ")


def test_nothing_goes_past_a_letter_that_cannot_go(parked: Parked) -> None:
    """Selected together with one that needs an edit first, the others behind it wait."""
    first = parked.dies(3, verdict="foreign")
    second = parked.dies(4)

    assert [item.fate for item in parked.planned(first, second)] == ["ineligible", "ineligible"]


def test_a_discarded_letter_is_in_nobodys_way(parked: Parked) -> None:
    """Neither the first, nor one from the middle that had never been sent."""
    first, second, third, fourth = (parked.dies(offset) for offset in (3, 4, 5, 6))
    parked.store.discard([first.id, third.id], "no", who="ada", now=START)

    assert [item.fate for item in parked.planned(second, fourth)] == ["eligible", "eligible"]
    parked.replay()
    assert parked.said() == ["4", "6", f"close {fourth.id}"]


def test_the_newest_was_discarded(parked: Parked) -> None:
    """The key is freed all the same: what is named is the newest letter, not the last one that was sent."""
    first, second = parked.dies(3), parked.dies(4)
    parked.store.discard([second.id], "no", who="ada", now=START)
    parked.replay()

    assert parked.said() == ["3", f"close {second.id}"]
    assert parked.obey()
    assert first.id != second.id


def test_a_replay_that_died_again_keeps_its_turn(parked: Parked) -> None:
    """Replayed alone, dead once more: its new letter goes before those that were diverted meanwhile."""
    first, second = parked.dies(3), parked.dies(4)
    parked.replay(first)
    copy = on_topic(parked.log)[0]
    again = parked.dies_again(copy, first, verdict="rejected")
    assert [item.letter.id for item in parked.planned()] == [again.id, second.id]
    assert [item.fate for item in parked.planned()] == ["eligible", "eligible"]
    assert [item.fate for item in parked.planned(second)] == ["ineligible"]

    parked.replay()
    numbers = [replayed.number for record in on_topic(parked.log) if (replayed := _replay_of(record))]
    assert numbers == [1, 2, 1]
    assert parked.said()[2:] == [f"close {NO_LETTER}", "3", "4", f"close {again.id}"]
    assert parked.obey()


def _replay_of(record: Record) -> Any:
    return None if unpark_of(record) else codec.decode(record).replay


def test_a_whole_replay_that_died_again(parked: Parked) -> None:
    """Every letter of the second round has the turn of its event, and the third round is free."""
    letters = [parked.dies(offset) for offset in (3, 4, 5)]
    parked.replay()
    copies = [record for record in on_topic(parked.log) if not unpark_of(record)]
    late = parked.dies(40, verdict="blocked")
    again = [parked.dies_again(copy, letter) for copy, letter in zip(copies, letters, strict=True)]
    parked.obey()

    assert [item.letter.id for item in parked.planned()] == [letter.id for letter in (*again, late)]
    assert {item.fate for item in parked.planned()} == {"eligible"}


def test_a_bar_that_a_killed_replay_left_is_lifted_first(parked: Parked) -> None:
    """Without that, the worker would divert this replay as well."""
    first, _ = parked.dies(3), parked.dies(4)
    parked.replay(first)
    again = parked.dies_again(on_topic(parked.log)[0], first, verdict="rejected")
    before = len(parked.said())
    parked.replay()

    assert parked.said()[before:] == [f"close {NO_LETTER}", "3", "4", f"close {again.id}"]


def test_what_came_during_the_replay_is_not_superseded_by_it(parked: Parked, log: Log) -> None:
    """Diverted between the copies, it is the newest event, though copies of older ones were delivered behind it."""
    parked.dies(3)
    parked.replay()
    copy = on_topic(log)[0]
    late = parked.dies(copy.offset - 1 if copy.offset else 0, record=a_record(100, an_event(key="7", n=100)))
    _deliver(log, codec.decode(copy), offset=150, of=parked)

    assert [(item.letter.id, item.fate) for item in parked.planned()] == [(late.id, "eligible")]


def _deliver(log: Log, event: Event, *, offset: int, of: Parked) -> None:
    """The copy of the first letter was delivered; as if it lay at this offset."""
    [letter] = of.store.list(Filter(state="replayed"))
    detail = {"number": 1, "topic": TOPIC, "partition": 0, "offset": offset}
    of.store.mark_replayed({letter.id: detail}, epoch=0, who="ada", now=START)
    said = Result(event.id, "delivered", "hubspot", "contact", "update", "7", TOPIC, 0, offset, 1, START)
    with closing(log.producer()) as producer:
        producer.send(DEFAULT.results, key=None, value=pack([said]))


def test_a_letter_that_is_not_here_yet_is_open(parked: Parked) -> None:
    """The store may be behind: what the worker has diverted and nobody has read is not forgotten."""
    parked.dies(3)
    parked.store.parking.park("hubspot", "contact/7", "not-here-yet", offset=0, barred=False, now=START)
    _, closed = parked.replay()

    assert parked.said() == ["3", f"close {NO_LETTER}"]
    assert [(one.flows, one.open) for one in closed] == [(False, ())]


def test_each_key_is_closed_as_soon_as_its_letters_have_gone(parked: Parked) -> None:
    """A long replay holds no record longer than that record takes."""
    letters = [parked.dies(offset, key=str(offset)) for offset in range(BATCH + 1)]
    parked.replay()
    said = parked.said()

    assert said.index(f"close {letters[0].id}") < said.index(str(BATCH))
    assert said.count("close") == 0
    assert sum(word.startswith("close") for word in said) == BATCH + 1


def test_a_refused_letter_holds_its_key_and_no_other(parked: Parked) -> None:
    """What is behind it does not go; the key stays parked; others go and are freed."""
    letters = [parked.dies(offset) for offset in (3, 4, 5)]
    other = parked.dies(6, key="8")
    odd = OtherLog(parked.log, producer=lambda **said: refusing(parked.log.producer(**said), {2: RecordRefused("no")}))
    items, closed = parked.replay(log=odd)

    assert [item.outcome for item in items] == ["replayed", "refused", "held", "replayed"]
    assert letters[1].id in items[2].why
    assert [(one.record_key, one.flows, one.open) for one in closed] == [
        ("contact/7", False, (letters[1].id, letters[2].id)),
        ("contact/8", True, ()),
    ]
    assert parked.said() == ["3", "6", f"close {NO_LETTER}", f"close {other.id}"]


def test_a_log_that_goes_away_in_the_middle(parked: Parked) -> None:
    """What was touched is closed as far as can be; what was not is told, and keeps the key."""
    letters = [parked.dies(offset) for offset in (3, 4)]
    odd = OtherLog(parked.log, producer=lambda **said: refusing(parked.log.producer(**said), {2: LogUnavailable("x")}))
    items, closed = parked.replay(log=odd)

    assert [item.outcome for item in items] == ["replayed", "unknown"]
    assert [(one.flows, one.open) for one in closed] == [(False, (letters[1].id,))]


def test_ctrl_c_closes_what_was_touched(parked: Parked) -> None:
    """Interrupted, the replay still says which keys flow; the same command goes on with the rest."""
    first, second = parked.dies(3, key="7"), parked.dies(4, key="8")
    stop = {2: KeyboardInterrupt()}
    odd = OtherLog(parked.log, producer=lambda **said: refusing(parked.log.producer(**said), stop))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        parked.replay(log=odd)
    before = parked.said()
    parked.replay()

    assert before == ["3", f"close {first.id}"]
    assert parked.said() == ["3", f"close {first.id}", "4", f"close {second.id}"]


def test_leaving_a_replay_early_closes_what_was_touched(parked: Parked) -> None:
    """The caller's own trouble leaves no record parked that has nothing open."""
    letters = [parked.dies(offset, key=str(offset)) for offset in range(BATCH + 1)]
    replayer = parked.replayer()
    with closing(replayer.run(parked.planned())) as run:
        next(run)

    assert [one.record_key for one in replayer.closed] == [f"contact/{offset}" for offset in range(BATCH)]
    assert len(letters) == BATCH + 1


def test_a_replay_that_was_killed_before_its_closing(parked: Parked, store_engine: Engine) -> None:
    """The next one finds the copies, marks them, and closes the key."""
    letter = parked.dies(3)
    store, parked.store = parked.store, Dying(store_engine)
    with pytest.raises(SystemExit):
        parked.replay()
    parked.store = store
    parked.replay()

    assert parked.said() == ["3", f"close {letter.id}"]


def test_a_closing_that_was_never_sent_is_found(parked: Parked) -> None:
    """A key of which nothing is open is overdue, whoever left it so."""
    letter = parked.dies(3)
    parked.dies(4, key="8")
    nothing = overdue(parked.store)
    detail = {"number": 1, "topic": TOPIC, "partition": 0, "offset": 0}
    replayed(parked.store, letter, detail)

    assert nothing == []
    assert [(one.record_key, one.names) for one in overdue(parked.store)] == [("contact/7", letter.id)]


def test_a_closing_of_a_connection_that_is_gone(parked: Parked, log: Log) -> None:
    """It is told, and nothing is made anew for it."""
    letter = parked.dies(3)
    detail = {"number": 1, "topic": TOPIC, "partition": 0, "offset": 0}
    replayed(parked.store, letter, detail)
    log.delete_topic(TOPIC)
    with closing(log.producer()) as producer:
        [one] = send(producer, parked.store, log, overdue(parked.store))
    assert f"there is no {TOPIC}[0]" in one.trouble
    assert TOPIC not in log.topics()


def test_the_outlook_of_a_plan(parked: Parked) -> None:
    """Before anything is sent it can be said which keys would flow."""
    first, second = parked.dies(3), parked.dies(4)
    summaries = list(parked.store.in_order(OPEN))

    assert [one.flows for one in closings(parked.store, summaries, {first.id, second.id})] == [True]
    assert [one.open for one in closings(parked.store, summaries, {first.id})] == [(second.id,)]


def test_ten_thousand_letters_of_one_key(parked: Parked, store: LetterStore) -> None:
    """The plan of a record that has waited for long is made in a moment."""
    letters = [a_letter(n, event=an_event(key="7", n=n), verdict="blocked" if n else "rejected") for n in range(10_000)]
    store.save_batch(arrivals(*letters))
    store.parking.park("hubspot", "contact/7", letters[0].id, offset=0, barred=False, now=START)

    assert {item.fate for item in parked.planned()} == {"eligible"}
