"""Closes the replay, or the discard, of parked keys: a record on their topic frees them.

It follows the replayed events, when the log has acknowledged them. It names the newest letter that was diverted, when
nothing of the key is open any more, and otherwise none: then the key stays parked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, replace

from dead_letter.replay.lineage import key_of, lineage_of_keys
from dead_letter.store.parking import Key, Parked
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore
from topics.errors import LogError
from topics.event.unpark import NO_LETTER, Unpark, encode_unpark
from topics.log import Log, Partition, Position, Producer

ACK_SECONDS = 150.0
"""Longer than the producer's own delivery time-out, so that what it gave up is told as that."""


@dataclass(frozen=True, slots=True)
class Closing:
    """``flows``: the key is let go when its worker gets there; otherwise ``open`` are the letters that keep it parked.

    With none of these something was diverted that is not in the store yet. ``trouble``: why the record was not sent.
    """

    connection: str
    record_key: str
    partition: int
    names: str
    flows: bool
    open: tuple[str, ...]
    trouble: str = ""


def closings(
    store: LetterStore, letters: Iterable[Summary], going: Collection[str] = frozenset(), *, barred: bool = False
) -> list[Closing]:
    """What is to be said of the keys of these letters that are parked.

    Letters in ``going`` count as done with. ``barred``: only where replays are barred, and nothing is under way that
    ends it.
    """
    keys = dict.fromkeys(key for key in map(key_of, letters) if key is not None)
    found = store.parking.find(keys)
    parked = [found[key] for key in keys if key in found]
    return _closings(store, [one for one in parked if not barred or (one.barred and one.closing is None)], going)


def overdue(store: LetterStore) -> list[Closing]:
    """Parked keys without an open letter, whose closing record was not sent."""
    parked = [one for one in store.parking.parked() if one.closing != one.last]
    return [one for one in _closings(store, parked, frozenset()) if one.flows]


def lift(producer: Producer, store: LetterStore, log: Log, letters: Sequence[Summary]) -> None:
    """Let replayed events of these keys pass again, but free no key: a replay that was cut off may have barred them."""
    barred = closings(store, letters, barred=True)
    send(producer, store, log, [replace(one, names=NO_LETTER) for one in barred])


def send(producer: Producer, store: LetterStore, log: Log, several: Sequence[Closing]) -> list[Closing]:
    """Send their records; returns each with ``trouble`` set where it was not acknowledged."""
    topics = log.topics(log.names.events_prefix)
    places = [Partition(log.names.events_topic(one.connection), one.partition) for one in several]
    flying = [
        _send(producer, place, one) if place.number < topics.get(place.topic, 0) else None
        for place, one in zip(places, several, strict=True)
    ]
    sent = [
        replace(one, trouble=_trouble(place, future))
        for place, one, future in zip(places, several, flying, strict=True)
    ]
    store.parking.closing_sent({Key(one.connection, one.record_key): one.names for one in sent if not one.trouble})
    return sent


def _send(producer: Producer, place: Partition, one: Closing) -> Future[Position] | LogError:
    encoded = encode_unpark(one.connection, Unpark(one.record_key, one.names))
    try:
        return producer.send(place.topic, **encoded._asdict(), partition=place.number)
    except LogError as error:
        return error


def _trouble(place: Partition, sent: Future[Position] | LogError | None) -> str:
    if sent is None:
        return f"there is no {place} any more"
    if isinstance(sent, LogError):
        return str(sent)
    try:
        sent.result(ACK_SECONDS)
    except (NotYet, LogError) as error:
        return f"the log has not acknowledged it: {error}"
    return ""


def _closings(store: LetterStore, parked: Sequence[Parked], going: Collection[str]) -> list[Closing]:
    kin = lineage_of_keys(store, [one.key for one in parked])
    return [_closing(one, kin.of_key(one.key), going) for one in parked]


def _closing(parked: Parked, letters: Sequence[Summary], going: Collection[str]) -> Closing:
    waiting = tuple(letter.id for letter in letters if letter.state == "open" and letter.id not in going)
    newest = next((letter for letter in letters if letter.id == parked.last), None)
    flows = newest is not None and not waiting  # a letter that is not here yet is open
    partition = max(letters, key=lambda letter: letter.offset).partition if letters else 0
    names = parked.last if flows else NO_LETTER
    return Closing(parked.connection, parked.record_key, partition, names, flows, waiting)
