from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import Engine

from dead_letter.letter.letter import decode
from dead_letter.replay.claim import Claim
from dead_letter.replay.copies import mark_found
from dead_letter.replay.outgoing import event_to_send
from dead_letter.replay.replay import BATCH, Item, Replayer
from dead_letter.replay.selection import survey
from dead_letter.store.filters import Filter
from dead_letter.store.rows import Copying, Edit
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import START, a_letter, a_record, an_event, arrivals, as_record, claimed
from topics.cli.pace import Pace
from topics.errors import LogUnavailable, RecordRefused
from topics.event import codec
from topics.event.event import Event, Operation, Replay
from topics.event.result import Result, pack
from topics.log import Lag, Log, Partition, Position, Producer, Record
from topics.names import DEFAULT, MAX_EVENT_BYTES

TOPIC = "writeback.events.hubspot"
OPEN = Filter(state="open")


@dataclass
class Time:
    """Stands still; sleeping moves it."""

    at: float = 0.0
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds
        self.on_sleep()


def replayer(log: Log, store: LetterStore, time: Time | None = None, *, new_id: bool = False, **pace: Any) -> Replayer:
    time = time or Time()
    claim, paced = claimed(store), Pace(time.monotonic, time.sleep, **pace)
    return Replayer(log, store, claim, who="ada", now=lambda: START, pace=paced, new_id=new_id)


def replay(log: Log, store: LetterStore, filters: Filter = OPEN) -> list[Item]:
    return list(replayer(log, store).run(survey(log, store, list(store.in_order(filters)))))


def fates(log: Log, store: LetterStore, filters: Filter = OPEN) -> list[str]:
    return [item.fate for item in survey(log, store, list(store.in_order(filters)))]


def on_topic(log: Log, topic: str = TOPIC) -> list[Record]:
    """Everything on the topic, by partition and offset."""
    ends = log.end_offsets([Partition(topic, number) for number in range(log.topics()[topic])])
    reader = log.reader(dict.fromkeys(ends, 0))
    records: list[Record] = []
    while len(records) < sum(ends.values()):
        records += reader.poll(5.0)
    reader.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def outcomes(items: Iterable[Item]) -> list[str]:
    return [item.outcome for item in items]


class OtherLog:
    """The log, but for what a test changes."""

    def __init__(self, log: Log, **changes: Any) -> None:
        self._log = log
        self.__dict__.update(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def refusing(producer: Producer, refuse: dict[int, Exception | None]) -> Any:
    """A producer whose n-th send fails, in its future or (``KeyboardInterrupt``) at once."""
    count = 0

    class Refusing:
        close = producer.close

        def send(self, *args: Any, **kwargs: Any) -> Future[Position]:
            nonlocal count
            count += 1
            error = refuse.get(count)
            if isinstance(error, KeyboardInterrupt):
                raise error
            if error is None:
                return producer.send(*args, **kwargs)
            failed: Future[Position] = Future()
            failed.set_exception(error)
            return failed

    return Refusing()


def test_the_original_goes_back(log: Log, store: LetterStore) -> None:
    """Key, value and headers return to their topic and partition as they came, with the mark of the replay."""
    record = replace(a_record(7), partition=Partition(TOPIC, 1), headers=(*a_record(7).headers, ("own", b"\xff")))
    letter = a_letter(record=record)
    store.save(letter)
    [item] = replay(log, store)
    [copy] = on_topic(log)

    assert (item.outcome, item.copied_to) == ("replayed", Position(Partition(TOPIC, 1), 0))
    assert (copy.partition, copy.key, copy.value) == (record.partition, record.key, record.value)
    assert copy.headers == (*record.headers, *codec.replay_headers(Replay(letter=letter.id, number=1)))


def test_what_went_is_marked_and_written_down(log: Log, store: LetterStore) -> None:
    """After the acknowledgement the letter is replayed, and the trail says by whom and to where."""
    store.save(letter := a_letter())
    replay(log, store)

    assert store.get(letter.id).summary.state == "replayed"
    [action] = store.trail(letter.id)
    assert (action.who, action.what, action.time) == ("ada", "replay", START)
    assert action.detail == {"number": 1, "topic": TOPIC, "partition": 0, "offset": 0}


def test_the_order_is_the_events(log: Log, store: LetterStore) -> None:
    """However the letters came, the events return in the order in which they lay, over many batches."""
    letters = [a_letter(offset) for offset in range(2 * BATCH + 5)]
    store.save_batch(arrivals(*reversed(letters)))
    items = replay(log, store)

    assert outcomes(items) == ["replayed"] * len(letters)
    assert [record.key for record in on_topic(log)] == [letter.record.key for letter in letters]


def test_an_event_that_dies_again(log: Log, store: LetterStore) -> None:
    """The number grows from letter to letter, and there is one mark, the newest."""
    store.save(first := a_letter())
    replay(log, store)
    [copy] = on_topic(log)
    again = a_letter(record=replace(copy, offset=50), replay_of=first.id, replay_number=1)
    store.save(decode(as_record(again)))
    replay(log, store)

    marks = [codec.decode(record).replay for record in on_topic(log)]
    assert marks == [Replay(letter=first.id, number=1), Replay(letter=again.id, number=2)]


def test_an_edited_letter_sends_its_edit(log: Log, store: LetterStore) -> None:
    """The edited event is the same event corrected: its id, its partition and its options stay."""
    event = Event(operation=Operation.ADD, connection="hubspot", object="contact", key="1", fields={"emial": "x"})
    event = event.model_copy(update={"options": event.options.model_copy(update={"short": True})})
    record = replace(a_record(3, event), partition=Partition(TOPIC, 1))
    store.save(letter := a_letter(event=event, record=record))
    store.edit(letter.id, Edit("upsert", "contact", "1", {"email": "x"}), seen=None, who="ada", now=START)
    replay(log, store)
    [copy] = on_topic(log)
    sent = codec.decode(copy)

    assert copy.partition == record.partition
    assert (sent.id, sent.operation, sent.fields, sent.options) == (event.id, "upsert", {"email": "x"}, event.options)
    assert sent.replay == Replay(letter=letter.id, number=1)


def test_an_edited_letter_with_a_new_id(log: Log, store: LetterStore) -> None:
    """Where the vendor remembers ids, a correction can go as another event."""
    event = an_event()
    store.save(letter := a_letter(event=event))
    store.edit(letter.id, Edit("update", "contact", "1", {"b": 2}), seen=None, who="ada", now=START)
    list(replayer(log, store, new_id=True).run(survey(log, store, list(store.in_order(OPEN)))))

    assert codec.decode(on_topic(log)[0]).id != event.id


def test_a_malformed_letter_goes_once_it_is_an_event(log: Log, store: LetterStore) -> None:
    """What is no event is left alone until an operator has made one of it."""
    record = Record(Partition(TOPIC, 0), 3, 4, b"k", b"{nonsense")
    broken = a_letter(record=record, verdict="malformed", object=None, operation=None, event_id=None, event_key=None)
    store.save(broken)
    before = fates(log, store)
    store.edit(broken.id, Edit("add", "contact", "9", {"a": 1}), seen=None, who="ada", now=START)
    replay(log, store)

    assert before == ["ineligible"]
    assert codec.decode(on_topic(log)[0]).fields == {"a": 1}


def test_a_letter_of_others_goes_to_the_topic_of_its_connection(store: LetterStore) -> None:
    """A foreign record has no topic of ours: edited, it goes to the connection's, wherever its key belongs."""
    letter = a_letter(record=Record(Partition("orders", 5), 3, 4, b"k", b"v"), verdict="foreign")
    store.save(letter)
    store.edit(letter.id, Edit("add", "contact", None, {"a": 1}), seen=None, who="ada", now=START)
    send = event_to_send(store.get(letter.id), {TOPIC: 2}, DEFAULT)

    assert (send.topic, send.partition) == (TOPIC, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verdict": "foreign"}, "give it an event"),
        ({"verdict": "malformed"}, "give it an event"),
        ({"record": Record(Partition("orders", 0), 0, 0, b"k", b"v")}, "does not exist"),
        ({"record": Record(Partition("writeback.events.gone", 0), 0, 0, b"k", b"v")}, "writeback.events.gone"),
    ],
)
def test_why_a_letter_cannot_go(log: Log, store: LetterStore, changes: dict[str, Any], words: str) -> None:
    """An ineligible letter comes with what stands against it, and nothing is sent."""
    said = {"connection": "gone", **changes} if "record" in changes else changes
    store.save(a_letter(0, **said))
    planned = survey(log, store, list(store.in_order(OPEN)))

    assert [item.fate for item in planned] == ["ineligible"]
    assert words in planned[0].why
    assert list(replayer(log, store).run(planned)) == []


def test_what_went_cannot_go_again(log: Log, store: LetterStore) -> None:
    """Asked for by its id once more, a replayed or discarded letter stays where it is."""
    store.save_batch(arrivals(a_letter(0), a_letter(1)))
    store.discard([a_letter(1).id], "no", who="ada", now=START)
    replay(log, store)

    assert fates(log, store, Filter()) == ["ineligible", "ineligible"]
    assert len(on_topic(log)) == 1


def test_a_later_letter_supersedes(log: Log, store: LetterStore) -> None:
    """An older event of a record does not go alone when a newer one died too; together they go, in order."""
    first, second = (a_letter(offset, event=an_event(key="7", n=offset)) for offset in (0, 1))
    store.save_batch(arrivals(first, second))

    assert fates(log, store, Filter(ids=[first.id])) == ["superseded"]
    assert fates(log, store, Filter(ids=[second.id])) == ["eligible"]
    assert fates(log, store) == ["eligible", "eligible"]
    store.discard([second.id], "no", who="ada", now=START)
    assert fates(log, store, Filter(ids=[first.id, second.id])) == ["superseded", "ineligible"]


def delivered(event: Event, offset: int, partition: int = 0) -> bytes:
    said = Result(
        event.id, "delivered", "hubspot", event.object, event.operation, event.key, TOPIC, partition, offset, 1, START
    )
    return pack([said])


def test_a_later_delivery_supersedes(log: Log, store: LetterStore) -> None:
    """What the ledger says to have been delivered later to the same record is not undone by an older event."""
    store.save_batch(arrivals(a_letter(5, event=an_event(key="7")), a_letter(6, event=an_event(key="8"))))
    producer = log.producer()
    for value in (delivered(an_event(key="7"), 9), delivered(an_event(key="8"), 4), b"of a later version"):
        producer.send(DEFAULT.results, key=None, value=value)
    producer.close(30)
    planned = survey(log, store, list(store.in_order(OPEN)))

    assert [item.fate for item in planned] == ["superseded", "eligible"]
    assert "contact/7 was delivered (offset 9)" in planned[0].why
    insisted = survey(log, store, list(store.in_order(OPEN)), superseded=True)
    assert [item.fate for item in insisted] == ["eligible", "eligible"]


def test_what_was_delivered_does_not_go_again(log: Log, store: LetterStore) -> None:
    """A letter of an event that the ledger says was delivered, at this very place, is ineligible, insisted or not."""
    went, other = a_letter(5, event=an_event(key=None)), a_letter(6, event=an_event(key=None))
    store.save_batch(arrivals(went, other))
    producer = log.producer()
    for letter, offset in ((went, 5), (other, 7)):
        event = an_event(key=None).model_copy(update={"id": letter.event_id})
        producer.send(DEFAULT.results, key=None, value=delivered(event, offset))
    producer.close(30)

    for superseded in (False, True):
        planned = survey(log, store, list(store.in_order(OPEN)), superseded=superseded)
        assert [item.fate for item in planned] == ["ineligible", "eligible"]
        assert planned[0].why == "the ledger says that its event was delivered: discard the letter"


def test_messages_are_never_superseded(log: Log, store: LetterStore) -> None:
    """A later alert to the same channel does not replace an earlier one."""
    said = {"operation": Operation.MESSAGE, "connection": "hubspot", "object": "message", "key": "QA"}
    first, second = (a_letter(offset, event=Event(**said)) for offset in (0, 1))
    store.save_batch(arrivals(first, second))

    assert fates(log, store, Filter(ids=[first.id])) == ["eligible"]


def test_a_refused_letter_stops_no_other(log: Log, store: LetterStore) -> None:
    """What the log will never take is told and stays open; the others go."""
    store.save_batch(arrivals(*(a_letter(offset) for offset in range(3))))
    odd = OtherLog(log, producer=lambda **said: refusing(log.producer(**said), {2: RecordRefused("too large")}))
    items = list(replayer(odd, store).run(survey(log, store, list(store.in_order(OPEN)))))

    assert outcomes(items) == ["replayed", "refused", "replayed"]
    assert [summary.offset for summary in store.in_order(OPEN)] == [1]


def test_a_log_that_goes_away_ends_the_replay(log: Log, store: LetterStore) -> None:
    """What was not acknowledged is unknown, what was not sent is told as that, and neither is marked."""
    store.save_batch(arrivals(*(a_letter(offset) for offset in range(BATCH + 2))))
    odd = OtherLog(log, producer=lambda **said: refusing(log.producer(**said), {BATCH: LogUnavailable("gone")}))
    items = list(replayer(odd, store).run(survey(log, store, list(store.in_order(OPEN)))))

    assert outcomes(items) == ["replayed"] * (BATCH - 1) + ["unknown"] + ["unsent"] * 2
    assert store.count(OPEN) == 3


def test_ctrl_c_marks_what_went_and_the_same_command_goes_on(log: Log, store: LetterStore) -> None:
    """Interrupted in the middle of a batch, nothing is sent twice and nothing is left out."""
    store.save_batch(arrivals(*(a_letter(offset) for offset in range(10))))
    odd = OtherLog(log, producer=lambda **said: refusing(log.producer(**said), {5: KeyboardInterrupt()}))  # type: ignore[dict-item]
    with pytest.raises(KeyboardInterrupt):
        list(replayer(odd, store).run(survey(log, store, list(store.in_order(OPEN)))))
    first = store.count(Filter(state="replayed"))
    replay(log, store)

    assert first == 4
    assert [record.key for record in on_topic(log)] == [a_letter(offset).record.key for offset in range(10)]


class Dying(LetterStore):
    """Dies after the log has the copies and before they are marked."""

    def mark_replayed(self, *args: Any, **kwargs: Any) -> list[str]:
        raise SystemExit


def test_a_replay_that_was_killed_before_its_marks(log: Log, store: LetterStore, store_engine: Engine) -> None:
    """Copies that were made and not marked are found and marked by the next replay, not made again."""
    store.save_batch(arrivals(*(a_letter(offset) for offset in range(5))))
    with pytest.raises(SystemExit):
        list(replayer(log, Dying(store_engine)).run(survey(log, store, list(store.in_order(OPEN)))))
    fate = fates(log, store)
    items = replay(log, store)

    assert fate == ["copied"] * 5
    assert outcomes(items) == ["found"] * 5
    assert len(on_topic(log)) == 5
    assert store.count(OPEN) == 0


def test_a_replay_that_was_killed_before_its_copies(log: Log, store: LetterStore) -> None:
    """What was announced and never sent goes with the next replay."""
    letters = [a_letter(offset) for offset in range(3)]
    store.save_batch(arrivals(*letters))
    odd = OtherLog(log, producer=lambda **said: refusing(log.producer(**said), {1: KeyboardInterrupt()}))  # type: ignore[dict-item]
    with pytest.raises(KeyboardInterrupt):
        list(replayer(odd, store).run(survey(log, store, list(store.in_order(OPEN)))))

    assert outcomes(replay(log, store)) == ["replayed"] * 3
    assert len(on_topic(log)) == 3


def test_a_copy_that_was_marked_since_it_was_looked_at(log: Log, store: LetterStore) -> None:
    """An operator sees a copy announced; until he has the letter its replay has ended: the trail tells it once."""
    letter = a_letter()
    store.save_batch(arrivals(letter))
    other = claimed(store)
    store.begin_copying({letter.id: Copying(1, TOPIC, {0: 0})}, epoch=other.epoch)
    seen = list(store.in_order(OPEN))
    store.claims.end(other.epoch)
    ends = replayer(log, store)
    list(ends.run(survey(log, store, list(store.in_order(OPEN)))))
    store.claims.end(ends._claim.epoch)

    with Claim(store, who="ada", monotonic=lambda: 0.0) as mine:
        mark_found(log, store, mine, seen, who="ada", now=1.0)

    assert [action.what for action in store.trail(letter.id)] == ["replay"]


def test_the_rate(log: Log, store: LetterStore) -> None:
    """At ten a second, five events take half a second."""
    store.save_batch(arrivals(*(a_letter(offset) for offset in range(5))))
    time = Time()
    list(replayer(log, store, time, rate=10).run(survey(log, store, list(store.in_order(OPEN)))))

    assert time.at == pytest.approx(0.5)


def test_the_pace_follows_the_lag(log: Log, store: LetterStore) -> None:
    """Nothing is put in front of a topic that has more waiting than the limit, until its workers are through."""
    store.save(a_letter())
    lags = [5_000, 2_000, 999]
    asked: list[tuple[str, str]] = []

    def lag(group: str, prefix: str) -> dict[Partition, Lag]:
        asked.append((group, prefix))
        return {Partition(TOPIC, 0): Lag(0, lags.pop(0)), Partition(TOPIC + "-other", 0): Lag(0, 10**6)}

    said: list[str] = []
    slow = OtherLog(log, lag=lag)
    planned = survey(log, store, list(store.in_order(OPEN)))
    items = list(replayer(slow, store).run(planned, waiting=said.append))

    assert outcomes(items) == ["replayed"]
    assert asked == [(DEFAULT.worker_group, TOPIC)] * 3
    assert said == [f"{TOPIC} has 5,000 events waiting", f"{TOPIC} has 2,000 events waiting"]


def test_a_lag_that_stands_still_gives_the_rest_back(log: Log, store: LetterStore) -> None:
    """When nobody works on the topic, the replay ends, says so, and leaves the letters open."""
    store.save(a_letter())
    stuck = OtherLog(log, lag=lambda _group, _prefix: {Partition(TOPIC, 0): Lag(None, 5_000)})
    items = list(replayer(stuck, store).run(survey(log, store, list(store.in_order(OPEN)))))

    assert outcomes(items) == ["unsent"]
    assert "is a worker running?" in items[0].why
    assert store.count(OPEN) == 1


def test_the_largest_event_returns(log: Log, store: LetterStore) -> None:
    """An event at the size limit can be replayed with its mark."""
    record = a_record(0)
    room = MAX_EVENT_BYTES - record.size
    full = replace(record, headers=(*record.headers, ("x", b"x" * (room - 1))))
    store.save(a_letter(record=full))

    assert full.size == MAX_EVENT_BYTES
    assert outcomes(replay(log, store)) == ["replayed"]
