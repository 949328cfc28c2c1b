"""Letters back onto their topics: copy, wait for the acknowledgement, only then mark.

What is marked is done. A copy is announced in the store before it is sent, with the place from which it would be
found, so that a replay which was cut off between copy and mark is cleared up by the next one instead of sent again.
Only letters that this replay has claimed go, and each is compared once more in the announcement.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace
from typing import Literal

from dead_letter.replay.claim import Claim
from dead_letter.replay.closing import ACK_SECONDS, Closing, closings, lift, send
from dead_letter.replay.outgoing import Send, event_to_send, replay_number
from dead_letter.replay.selection import Planned, target
from dead_letter.replay.turns import Turns
from dead_letter.store.rows import Copying, Stored, Summary
from dead_letter.store.store import LetterStore
from topics.cli.pace import Pace
from topics.errors import LogError, LogUnavailable, MalformedEvent, RecordRefused
from topics.log import Log, Position, Producer
from topics.log.backlog import partitions_of
from topics.names import MAX_REPLAYED_BYTES

BATCH = 100

Outcome = Literal["replayed", "found", "refused", "unknown", "unsent", "held", "taken", "unmarked"]
"""``found``: an earlier replay had copied it, now it is marked. ``unknown``: sent, but not acknowledged in time.
``held``: one before it of its parked key did not go. ``taken``: this replay was stopped for longer than its claim
holds, and the letter may be somebody else's. ``unmarked``: the same, when its copy was out already."""

TOO_LATE = "this replay was stopped for so long that its claim ended; "
UNMARKED = "its event is on its topic, and somebody else has discarded or claimed the letter since"


@dataclass(frozen=True, slots=True)
class Item:
    """What became of one letter; ``copied_to``: where its event lies now."""

    letter: str
    outcome: Outcome
    why: str = ""
    copied_to: Position | None = None


Items = Generator[Item, None, None]


class Replayer:
    """Takes what ``plan`` found eligible, in the order it is given, which is the order of the events.

    ``claim``: which of them are this replay's; no others are touched. ``who`` and ``now`` go to the
    trail. ``new_id``: an edited event is another event, not the corrected same one. ``closed``: what the parked keys
    that were touched were told, as far as ``run`` has got.
    """

    def __init__(
        self,
        log: Log,
        store: LetterStore,
        claim: Claim,
        *,
        who: str,
        now: Callable[[], float],
        pace: Pace,
        new_id: bool = False,
    ) -> None:
        self.closed: list[Closing] = []
        self._log = log
        self._store = store
        self._claim = claim
        self._who = who
        self._now = now
        self._pace = pace
        self._new_id = new_id
        self._turns = Turns(store, ())

    def run(self, planned: Sequence[Planned], *, waiting: Callable[[str], None] = lambda _: None) -> Items:
        """One item per letter that is eligible or copied, as it is known; the others are not touched.

        ``waiting`` is told why nothing moves. Ctrl-C first marks what is acknowledged; what is marked is done, so the
        same selection once more goes on where this one stopped. A parked key is closed as soon as all of its letters
        have gone, or, however the run ends, at its end: close the iterator when you leave it early.
        """
        going = [item.letter for item in planned if item.goes]
        eligible = [item.letter for item in planned if item.fate == "eligible"]
        self._turns = Turns(self._store, going)
        producer = self._log.producer(name="replay", max_record_bytes=MAX_REPLAYED_BYTES)
        try:
            lift(producer, self._store, self._log, going)
            yield from self._mark_copied([item for item in planned if item.fate == "copied"])
            yield from self._run(producer, eligible, waiting)
        finally:
            try:
                self._close(producer, self._turns.touched())
            finally:
                producer.close(5.0)

    def _run(self, producer: Producer, going: Sequence[Summary], waiting: Callable[[str], None]) -> Iterator[Item]:
        while going:
            part, going = going[:BATCH], going[BATCH:]
            ids = [letter.id for letter in part]
            trouble = self._pace.wait_for_room(self._log, {target(letter, self._log.names) for letter in part}, waiting)
            items = [Item(letter, "unsent", trouble) for letter in ids] if trouble else self._batch(producer, ids)
            yield from items
            trouble = next((item.why for item in items if item.outcome in {"unknown", "unsent"}), "")
            if trouble:
                yield from (Item(letter.id, "unsent", trouble) for letter in going)
                return
            self._turns.past(ids)
            self._close(producer, self._turns.through())

    def _mark_copied(self, planned: Sequence[Planned]) -> list[Item]:
        items = {item.letter.id: Item(item.letter.id, "found", item.why, item.copy) for item in planned}
        self._mark(items, {item.letter.id: item.letter.copying.number for item in planned if item.letter.copying})
        self._turns.past(items)
        return list(items.values())

    def _close(self, producer: Producer, letters: Sequence[Summary]) -> None:
        if letters:
            self.closed += send(producer, self._store, self._log, closings(self._store, letters))
            self._turns.closed(letters)

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _batch(self, producer: Producer, ids: Sequence[str]) -> list[Item]:
        letters = self._store.load(ids)
        numbers = {letter.summary.id: replay_number(letter) for letter in letters}
        sends, items = self._prepare(letters)
        items |= self._announce(sends, numbers)
        flying: dict[str, Future[Position]] = {}
        try:
            for letter in (letter for letter in ids if letter in sends and letter not in items):
                if not self._claim.is_sure:
                    items[letter] = Item(letter, "unsent", "the store does not confirm that this letter is still ours")
                    continue
                before = self._held(letter, flying)
                if before:
                    items[letter] = Item(letter, "held", f"letter {before}, before it on its parked key, did not go")
                    continue
                self._pace.wait_for_rate()
                try:
                    flying[letter] = producer.send(**sends[letter]._asdict())
                except RecordRefused as error:
                    items[letter] = Item(letter, "refused", str(error))
        except LogUnavailable as error:
            left = [letter for letter in sends if letter not in flying and letter not in items]
            items |= {letter: Item(letter, "unsent", str(error)) for letter in left}
        finally:
            # also on Ctrl-C: what has left is waited for and marked, so that nobody need ask what became of it
            items |= {letter: self._settle(letter, future) for letter, future in flying.items()}
            self._mark(items, numbers)
        return [items[letter] for letter in ids if letter in items]

    def _prepare(self, letters: Sequence[Stored]) -> tuple[dict[str, Send], dict[str, Item]]:
        topics = self._log.topics()
        sends: dict[str, Send] = {}
        refused: dict[str, Item] = {}
        for letter in letters:
            try:
                sends[letter.summary.id] = event_to_send(letter, topics, self._log.names, new_id=self._new_id)
            except (MalformedEvent, ValueError) as error:
                refused[letter.summary.id] = Item(letter.summary.id, "refused", str(error))
        return sends, refused

    def _announce(self, sends: Mapping[str, Send], numbers: Mapping[str, int]) -> dict[str, Item]:
        """Where each copy would be found: from the present end of every partition it could go to.

        What must not be sent after all, as it is not this replay's any more.
        """
        topics = sorted({send.topic for send in sends.values()})
        ends = {topic: self._log.end_offsets(partitions_of(self._log, topic)) for topic in topics}
        starts = {topic: {place.number: end for place, end in places.items()} for topic, places in ends.items()}
        copies = {letter: Copying(numbers[letter], send.topic, starts[send.topic]) for letter, send in sends.items()}
        begun = self._store.begin_copying(copies, epoch=self._claim.epoch)
        return {letter: Item(letter, "taken", TOO_LATE + "nothing was sent") for letter in sends if letter not in begun}

    def _held(self, letter: str, flying: Mapping[str, Future[Position]]) -> str:
        """The letter that keeps this one back; waits until that is known."""
        before = self._turns.before(letter)
        if before is None:
            return ""
        gone = before in flying and self._settle(before, flying[before]).copied_to is not None
        return "" if gone else before

    def _settle(self, letter: str, future: Future[Position]) -> Item:
        try:
            return Item(letter, "replayed", copied_to=future.result(ACK_SECONDS))
        except (NotYet, LogUnavailable) as error:
            return Item(letter, "unknown", f"the log has not acknowledged it: {error}")
        except LogError as error:
            return Item(letter, "refused", str(error))

    def _mark(self, items: dict[str, Item], numbers: Mapping[str, int]) -> None:
        """Those of them whose copies the log has; an item whose letter cannot be marked any more says so."""
        details = {
            item.letter: {
                "number": numbers[item.letter],
                "topic": item.copied_to.partition.topic,
                "partition": item.copied_to.partition.number,
                "offset": item.copied_to.offset,
            }
            for item in items.values()
            if item.copied_to is not None
        }
        if details:
            left = self._store.mark_replayed(details, epoch=self._claim.epoch, who=self._who, now=self._now())
            items |= {letter: replace(items[letter], outcome="unmarked", why=TOO_LATE + UNMARKED) for letter in left}
            self._turns.went(details)
