"""Letters back onto their topics: copy, wait for the acknowledgement, only then mark.

What is marked is done. A copy is announced in the store before it is sent, with the place from which it would be
found, so that a replay which was cut off between copy and mark is cleared up by the next one instead of sent again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dead_letter.reading import partitions_of
from dead_letter.rows import Copying, Stored
from dead_letter.selection import Planned, target
from dead_letter.store import LetterStore
from topics import codec
from topics.errors import LogError, LogUnavailable, MalformedEvent, RecordRefused
from topics.event import Event, Operation, Replay
from topics.log import Headers, Log, Position, Producer
from topics.names import MAX_REPLAYED_BYTES, WORKER_GROUP

BATCH = 100
LAG_LIMIT = 1_000
"""Records a topic may have waiting before more is replayed onto it: live events are not to queue behind a replay."""
LAG_PATIENCE_S = 60.0
"""Seconds that a lag may stand still before the rest is given back: nobody is working on that topic."""
LAG_LOOK_S = 0.5
ACK_SECONDS = 150.0
"""Longer than the producer's own delivery time-out, so that what it gave up is told as that."""
_MARKS = {codec.REPLAY_LETTER, codec.REPLAY_NUMBER}

Outcome = Literal["replayed", "found", "refused", "unknown", "unsent"]
"""``found``: an earlier replay had copied it, now it is marked. ``unknown``: sent, but not acknowledged in time."""


@dataclass(frozen=True, slots=True)
class Item:
    """What became of one letter; ``copied_to``: where its event lies now."""

    letter: str
    outcome: Outcome
    why: str = ""
    copied_to: Position | None = None


class _Lag(NamedTuple):
    records: int
    topic: str


class Send(NamedTuple):
    """What is put back onto the topic."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Pace:
    """``rate``: events per second at the most, None: as fast as the topic's lag allows. Told the time."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    rate: float | None = None
    lag_limit: int = LAG_LIMIT
    patience_s: float = LAG_PATIENCE_S
    group: str = WORKER_GROUP


class Replayer:
    """Takes what ``plan`` found eligible, in the order it is given, which is the order of the events.

    ``who`` and ``now`` go to the trail. ``new_id``: an edited event is another event, not the corrected same one.
    """

    def __init__(
        self, log: Log, store: LetterStore, *, who: str, now: Callable[[], float], pace: Pace, new_id: bool = False
    ) -> None:
        self._log = log
        self._store = store
        self._who = who
        self._now = now
        self._pace = pace
        self._new_id = new_id

    def run(self, planned: Sequence[Planned], *, waiting: Callable[[str], None] = lambda _: None) -> Iterator[Item]:
        """One item per letter that is eligible or copied, as it is known; the others are not touched.

        ``waiting`` is told why nothing moves. Ctrl-C first marks what is acknowledged; what is marked is done, so the
        same selection once more goes on where this one stopped.
        """
        yield from self._mark_copied([item for item in planned if item.fate == "copied"])
        letters = [item.letter.id for item in planned if item.fate == "eligible"]
        topic_of = {item.letter.id: target(item.letter) for item in planned}
        producer = self._log.producer(name="writeback-replay", max_record_bytes=MAX_REPLAYED_BYTES)
        try:
            while letters:
                part, letters = letters[:BATCH], letters[BATCH:]
                trouble = self._wait_for_room({topic_of[letter] for letter in part}, waiting)
                items = [Item(letter, "unsent", trouble) for letter in part] if trouble else self._batch(producer, part)
                yield from items
                trouble = next((item.why for item in items if item.outcome in {"unknown", "unsent"}), "")
                if trouble:
                    yield from (Item(letter, "unsent", trouble) for letter in letters)
                    return
        finally:
            producer.close(5.0)

    def _mark_copied(self, planned: Sequence[Planned]) -> list[Item]:
        items = [Item(item.letter.id, "found", item.why, item.copy) for item in planned]
        self._mark(items, {item.letter.id: item.letter.copying.number for item in planned if item.letter.copying})
        return items

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _batch(self, producer: Producer, ids: Sequence[str]) -> list[Item]:
        letters = self._store.load(ids)
        numbers = {letter.summary.id: _number(letter) for letter in letters}
        sends, items = self._prepare(letters)
        self._announce(sends, numbers)
        flying: dict[str, Future[Position]] = {}
        try:
            for letter, send in sends.items():
                self._wait_for_rate()
                try:
                    flying[letter] = producer.send(
                        send.topic, key=send.key, value=send.value, headers=send.headers, partition=send.partition
                    )
                except RecordRefused as error:
                    items.append(Item(letter, "refused", str(error)))
        except LogUnavailable as error:
            items += [Item(letter, "unsent", str(error)) for letter in sends if letter not in flying]
        finally:
            # also on Ctrl-C: what has left is waited for and marked, so that nobody need ask what became of it
            settled = [self._settle(letter, future) for letter, future in flying.items()]
            self._mark(settled, numbers)
        order = {letter: turn for turn, letter in enumerate(ids)}
        return sorted((*items, *settled), key=lambda item: order[item.letter])

    def _prepare(self, letters: Sequence[Stored]) -> tuple[dict[str, Send], list[Item]]:
        topics = self._log.topics()
        sends: dict[str, Send] = {}
        refused: list[Item] = []
        for letter in letters:
            try:
                sends[letter.summary.id] = event_to_send(letter, topics, new_id=self._new_id)
            except (MalformedEvent, ValueError) as error:
                refused.append(Item(letter.summary.id, "refused", str(error)))
        return sends, refused

    def _announce(self, sends: Mapping[str, Send], numbers: Mapping[str, int]) -> None:
        """Where each copy would be found: from the present end of every partition it could go to."""
        topics = sorted({send.topic for send in sends.values()})
        ends = {topic: self._log.end_offsets(partitions_of(self._log, topic)) for topic in topics}
        starts = {topic: {place.number: end for place, end in places.items()} for topic, places in ends.items()}
        self._store.begin_copying(
            {letter: Copying(numbers[letter], send.topic, starts[send.topic]) for letter, send in sends.items()}
        )

    def _settle(self, letter: str, future: Future[Position]) -> Item:
        try:
            return Item(letter, "replayed", copied_to=future.result(ACK_SECONDS))
        except (NotYet, LogUnavailable) as error:
            return Item(letter, "unknown", f"the log has not acknowledged it: {error}")
        except LogError as error:
            return Item(letter, "refused", str(error))

    def _mark(self, items: Sequence[Item], numbers: Mapping[str, int]) -> None:
        details = {
            item.letter: {
                "number": numbers[item.letter],
                "topic": item.copied_to.partition.topic,
                "partition": item.copied_to.partition.number,
                "offset": item.copied_to.offset,
            }
            for item in items
            if item.copied_to is not None
        }
        if details:
            self._store.mark_replayed(details, who=self._who, now=self._now())

    # -- pace ---------------------------------------------------------------------------------------------------------

    def _wait_for_rate(self) -> None:
        if self._pace.rate:
            self._pace.sleep(1.0 / self._pace.rate)

    def _wait_for_room(self, topics: set[str], waiting: Callable[[str], None]) -> str:
        """Until the workers have less than the limit before them; why not, when nobody works on it."""
        least, since = self._lag(topics), self._pace.monotonic()
        lag = least
        while lag.records >= self._pace.lag_limit:
            if self._pace.monotonic() - since >= self._pace.patience_s:
                return f"{lag.topic} has {lag.records:,} events waiting that do not get fewer: is a worker running?"
            waiting(f"{lag.topic} has {lag.records:,} events waiting")
            self._pace.sleep(LAG_LOOK_S)
            lag = self._lag(topics)
            if lag.records < least.records:
                least, since = lag, self._pace.monotonic()
        return ""

    def _lag(self, topics: set[str]) -> _Lag:
        """The topic with the most waiting."""
        lags = {topic: self._log.lag(self._pace.group, topic) for topic in sorted(topics)}
        counts = [
            _Lag(sum(lag.records for place, lag in places.items() if place.topic == topic), topic)
            for topic, places in lags.items()
        ]
        return max(counts, default=_Lag(0, ""))


def event_to_send(letter: Stored, topics: Mapping[str, int], *, new_id: bool = False) -> Send:
    """The original's bytes, or the edited event, with the mark of the replay, to the original's partition.

    Raises ``MalformedEvent`` or ``ValueError`` for an edit that makes no event.
    """
    summary, record = letter.summary, letter.letter.record
    replay = Replay(letter=summary.id, number=_number(letter))
    topic = target(summary)
    if summary.edited is None:
        kept = tuple(header for header in record.headers if header[0].lower() not in _MARKS)
        number = record.partition.number if record.partition.number < topics.get(topic, 0) else None
        return Send(topic, number, record.key, record.value, (*kept, *codec.replay_headers(replay)))
    event = edited_event(letter, new_id=new_id).model_copy(update={"replay": replay})
    encoded = codec.encode(event)
    same_key = encoded.key == record.key and topic == record.partition.topic
    return Send(topic, record.partition.number if same_key else None, *encoded)


def edited_event(letter: Stored, *, new_id: bool = False) -> Event:
    """The event as edited: what was not edited is the original's, as far as there was one."""
    edit = letter.summary.edited
    if edit is None:
        return codec.decode(letter.letter.record)
    changed = {
        "operation": Operation(edit.operation),
        "object": edit.object,
        "key": edit.key,
        "fields": edit.fields,
    }
    try:
        original = codec.decode(letter.letter.record).model_dump()
    except MalformedEvent:
        original = {"connection": letter.summary.connection, "source": "writeback-dead-letters"}
        if letter.letter.event_id:
            original["id"] = letter.letter.event_id
    if new_id:
        original.pop("id", None)
    return Event.model_validate({**original, **changed})


def tally(items: Sequence[Item]) -> Counter[str]:
    return Counter(item.outcome for item in items)


def _number(letter: Stored) -> int:
    """Grows with every replay of the event, also from letter to letter."""
    return letter.letter.replay_number + letter.summary.replays + 1
