"""What a letter store keeps, on every database. A test class inherits this and gives ``engine``."""

from __future__ import annotations

from typing import TypedDict

import pytest
from sqlalchemy import Engine

from dead_letter.errors import UnknownLetter
from dead_letter.letter.letter import Attempt, raw
from dead_letter.store.filters import Filter
from dead_letter.store.rows import Copying, Edit
from dead_letter.store.store import Arrival, LetterStore
from tests.dead_letter.samples import START, a_letter, a_record, an_event, arrivals, as_record, claimed, replayed
from topics.log import Headers, Partition, Record


class Operator(TypedDict):
    who: str
    now: float


OPERATOR = Operator(who="ada", now=START)


class LetterStoreContract:
    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError

    @pytest.fixture
    def store(self, engine: Engine) -> LetterStore:
        return LetterStore(engine)

    def test_a_letter_comes_back_as_it_was(self, store: LetterStore) -> None:
        """Bytes, headers, attempts: nothing is changed by having been stored."""
        headers: Headers = (("a", b"\xff\x00"), ("a", b""), ("none", None), ("\x00", b"x" * 100_000))  # type: ignore[assignment]
        record = Record(Partition("writeback.events.hubspot", 3), 7, 1_234, None, b"\x00\xfe", headers)
        letter = a_letter(record=record, possible_duplicate=True, blocked_by="other", excerpt="a\x00b")
        store.save_batch(arrivals(letter))

        assert store.get(letter.id).letter == letter

    def test_key_and_value_may_be_missing(self, store: LetterStore) -> None:
        """A tombstone without a key stays one: missing is not empty."""
        letter = a_letter(record=Record(Partition("t", 0), 0, 0, None, None))
        store.save(letter)

        assert store.get(letter.id).letter.record == letter.record

    def test_saving_again_is_the_same_as_once(self, store: LetterStore) -> None:
        """A letter is kept once, whether it comes again from the same place or was written twice by a crash."""
        letters = [a_letter(0), a_letter(1)]
        counts = [store.save_batch(arrivals(*letters)), store.save_batch(arrivals(*letters))]
        counts.append(store.save_batch(arrivals(letters[1], a_letter(2), start=2)))

        assert counts == [2, 0, 1]
        assert store.count() == 3

    def test_one_place_is_one_letter(self, store: LetterStore) -> None:
        """The same record of the topic, once read and once found unreadable, does not become two."""
        record = as_record(a_letter())
        store.save_batch([Arrival(a_letter(), record)])
        store.save_batch([Arrival(raw(record, "cannot be read"), record)])

        assert store.count() == 1

    def test_one_id_for_two_events_is_two_letters(self, store: LetterStore) -> None:
        """A letter is never lost because another one has its id."""
        first, second = a_letter(0, id="same"), a_letter(1, id="same")
        store.save_batch(arrivals(first, second))
        store.save_batch(arrivals(a_letter(2, id="same"), start=2))

        assert [summary.id for summary in store.list()] == ["same-0-2", "same-0-1", "same"]

    def test_hostile_text_is_stored(self, store: LetterStore) -> None:
        """NUL, lone surrogates and endless ids, which a database refuses, do not keep a letter out."""
        hostile = "\x00\ud800" + "x" * 10_000
        letter = a_letter(id=hostile, connection=hostile, object=hostile, event_key=hostile, verdict=hostile)
        store.save(letter)

        [summary] = store.list()
        assert len(summary.id) == 24
        assert store.get(summary.id).letter.event_key == hostile

    def test_marks_go_forward_with_what_is_saved(self, store: LetterStore) -> None:
        """The mark is behind the last record saved, whoever saved it, and goes back only when rewound."""
        store.save_batch(arrivals(a_letter(0), a_letter(1), start=10))
        store.save_batch(arrivals(a_letter(0), start=10))
        ahead = store.marks()
        store.rewind(0)

        assert (ahead, store.marks()) == ({0: 12}, {0: 0})

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            (Filter(), [3, 2, 1, 0]),
            (Filter(connection="slack"), [1]),
            (Filter(operation="add"), [2]),
            (Filter(object="deal"), [2]),
            (Filter(key="3"), [3]),
            (Filter(reason="EMIAL"), [3, 1, 0]),
            (Filter(reason="%"), []),
            (Filter(verdict="exhausted"), [2]),
            (Filter(status=503), [2]),
            (Filter(since=START + 1, until=START + 3), [2, 1]),
            (Filter(state="replayed"), []),
            (Filter(connection="hubspot", status=400), [3, 0]),
            (Filter(ids=[]), []),
        ],
        ids=str,
    )
    def test_filters(self, store: LetterStore, filters: Filter, found: list[int]) -> None:
        """A listing holds exactly what matches, the newest first, and the count agrees."""
        gone = a_letter(2, object="deal", operation="add", verdict="exhausted", status=503, reason="busy")
        store.save_batch(arrivals(a_letter(0), a_letter(1, connection="slack"), gone, a_letter(3)))

        assert [summary.offset for summary in store.list(filters)] == found
        assert store.count(filters) == len(found)

    def test_pages(self, store: LetterStore) -> None:
        """Page after page by the last id, every letter comes once."""
        store.save_batch(arrivals(*(a_letter(offset) for offset in range(7))))
        pages, before = [], None
        while page := store.list(limit=3, before=before):
            pages.append([summary.offset for summary in page])
            before = page[-1].id

        assert pages == [[6, 5, 4], [3, 2, 1], [0]]

    def test_groups(self, store: LetterStore) -> None:
        """Letters of one problem are one group, with its size and its time, and the most numerous comes first."""
        said = [a_letter(offset, reason=f"no contact {offset} a{offset}@x.org") for offset in range(3)]
        store.save_batch(arrivals(a_letter(9, reason="Busy", status=503), *said))
        groups = store.groups()

        assert [(group.count, group.first_seen - START, group.last_seen - START) for group in groups] == [
            (3, 0, 2),
            (1, 9, 9),
        ]
        assert groups[0].sample == "no contact 2 a2@x.org"
        assert store.count(Filter(fingerprint=groups[0].fingerprint)) == 3

    def test_get_by_prefix(self, store: LetterStore) -> None:
        """The beginning of an id is enough when only one letter has it; else the answer says which there are."""
        store.save_batch(arrivals(a_letter(0, id="abc1"), a_letter(1, id="abc2"), a_letter(2, id="abc")))

        assert store.get("abc1").summary.offset == 0
        assert store.get("abc").summary.offset == 2
        for wrong, words in (("ab", "abc1"), ("x", "'x'"), ("", "''"), ("%", "'%'")):
            with pytest.raises(UnknownLetter, match=words):
                store.get(wrong)

    def test_in_order_is_the_order_of_the_events(self, store: LetterStore) -> None:
        """However they came, letters are walked through by topic, partition and offset; more than a page of them."""
        offsets = list(range(1_200))
        store.save_batch(arrivals(*(a_letter(offset) for offset in reversed(offsets))))

        assert [summary.offset for summary in store.in_order(Filter())] == offsets

    def test_an_edit_keeps_the_original(self, store: LetterStore) -> None:
        """What a replay will send changes; what came does not, and the trail tells who, when and what."""
        letter = a_letter()
        store.save(letter)
        edit = Edit("update", "contact", "1", {"email": "ada@x.org"})
        store.edit(letter.id, edit, seen=None, **OPERATOR)

        stored = store.get(letter.id)
        assert (stored.summary.edited, stored.letter) == (edit, letter)
        [action] = store.trail(letter.id)
        assert (action.who, action.what, action.detail["before"]) == ("ada", "edit", None)
        assert action.detail["after"]["fields"] == {"email": "ada@x.org"}

    def test_a_replay_is_begun_and_marked(self, store: LetterStore) -> None:
        """A copy is announced before it is sent, and forgotten when the letter is marked."""
        letter = a_letter()
        store.save(letter)
        copying = Copying(1, "writeback.events.hubspot", {0: 42, 1: 0})
        epoch = claimed(store).epoch
        begun_ones = store.begin_copying({letter.id: copying}, epoch=epoch)
        begun = store.get(letter.id).summary
        left = store.mark_replayed({letter.id: {"offset": 42}}, epoch=epoch, **OPERATOR)
        marked = store.get(letter.id).summary

        assert (begun_ones, left) == ({letter.id}, [])
        assert (begun.state, begun.copying) == ("open", copying)
        assert (marked.state, marked.copying, marked.replays) == ("replayed", None, 1)
        assert [action.what for action in store.trail(letter.id)] == ["replay"]

    def test_only_open_letters_are_discarded(self, store: LetterStore) -> None:
        """A letter that went is not given up afterwards, and what was given up can still be read."""
        open_one, gone = a_letter(0), a_letter(1)
        store.save_batch(arrivals(open_one, gone))
        replayed(store, gone, {})
        done = store.discard([open_one.id, gone.id, "unknown"], "test data", **OPERATOR)

        assert done == [open_one.id]
        assert [summary.state for summary in store.list()] == ["replayed", "discarded"]
        assert store.trail(open_one.id)[0].detail == {"reason": "test data"}

    def test_notes(self, store: LetterStore) -> None:
        """A note is a line of the trail, in the order they were made."""
        store.save(letter := a_letter())
        store.note(letter.id, "asked the vendor", **OPERATOR)
        store.note(letter.id, "they fixed it", **OPERATOR)

        assert [action.detail["text"] for action in store.trail(letter.id)] == ["asked the vendor", "they fixed it"]

    def test_a_letter_of_a_replay_closes_the_first(self, store: LetterStore) -> None:
        """In a store filled anew from the topic, what was replayed and died again is open once, not twice."""
        first = a_letter(0)
        again = a_letter(1, replay_of=first.id, replay_number=1)
        store.save_batch(arrivals(first, again))

        assert [(summary.offset, summary.state) for summary in store.list()] == [(1, "open"), (0, "replayed")]

    def test_letters_of_the_same_record(self, store: LetterStore) -> None:
        """Letters of one record are found together; events without a key belong to none."""
        same = [a_letter(offset, event=an_event(key="7")) for offset in (0, 1)]
        loose = a_letter(2, event=an_event(key=None), record=a_record(2))
        store.save_batch(arrivals(*same, loose))
        [newest, middle, _] = store.list()

        assert newest.record_hash is None
        assert middle.record_hash is not None
        assert {summary.offset for summary in store.same_records([middle.record_hash])} == {0, 1}

    def test_a_long_story(self, store: LetterStore) -> None:
        """Attempts are counted with those that were left out."""
        attempts = tuple(Attempt(number, START, "retry", "busy", 1.0) for number in (1, 20))
        store.save(a_letter(attempts=attempts, omitted=18))

        assert store.list()[0].attempts == 20
