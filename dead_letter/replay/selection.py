"""What a replay would do with each letter, before it does anything: the dry run, and the plan of the real one."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from dead_letter.letter.letter import FOREIGN
from dead_letter.replay.copies import find_copies
from dead_letter.replay.deliveries import Delivered, deliveries, place_of
from dead_letter.replay.lineage import Lineage, Queue, key_of, lineage, queue_of, record_of
from dead_letter.store.parking import Key
from dead_letter.store.rows import Summary
from dead_letter.store.store import LetterStore
from topics.log import Log, Position
from topics.names import Names, is_refresh, slug_of

Fate = Literal["eligible", "ineligible", "superseded", "copied", "claimed"]
"""``copied``: an earlier replay was cut off behind the copy of this one; it only has to be marked. ``claimed``: another
replay has it."""

NEEDS_EDIT = {FOREIGN, "malformed"}
BLOCKED = "blocked"
NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Planned:
    """``why``: what stands against it, empty when it is eligible; ``copy``: where a copied one lies."""

    letter: Summary
    fate: Fate
    why: str = ""
    copy: Position | None = None

    @property
    def goes(self) -> bool:
        return self.fate in {"eligible", "copied"}


def survey(
    log: Log,
    store: LetterStore,
    letters: Sequence[Summary],
    *,
    claimed: Mapping[str, str] = NONE,
    held_back: Mapping[str, str] = NONE,
    superseded: bool = False,
) -> list[Planned]:
    """The plan for these letters, in the order of their events, from all that log, ledger and store know.

    Changes nothing. ``claimed``: letters that other replays have, and whose. ``held_back``: connections whose events do
    not go out now, and why. ``superseded``: an operator says that older events shall go although a newer one went.
    """
    kin = lineage(store, letters)
    ledger = deliveries(log, store, letters, kin)
    return plan(
        sorted(letters, key=kin.turn),
        log.topics(),
        kin,
        names=log.names,
        parked=set(store.parking.find({key for key in map(key_of, letters) if key is not None})),
        delivered={} if superseded else ledger.last,
        went=ledger.letters,
        copies=find_copies(log, letters),
        claimed=claimed,
        held_back=held_back,
        superseded=superseded,
    )


def plan(
    letters: Sequence[Summary],
    topics: Mapping[str, int],
    kin: Lineage,
    *,
    names: Names,
    parked: Container[Key],
    delivered: Delivered,
    copies: Mapping[str, Position],
    went: Container[str] = (),
    claimed: Mapping[str, str] = NONE,
    held_back: Mapping[str, str] = NONE,
    superseded: bool = False,
) -> list[Planned]:
    """One answer per letter, in their order, which is that of their events.

    What the ledger says was delivered (``went``) does not go again, unless it was edited and is another event by now.
    Superseded is an add, update, upsert or delete whose record has a later event that was delivered, or a later letter
    that is not going in the same replay: the older event would undo the newer one. Messages never are. Where the order
    of a record matters (its key is parked, or the letter was blocked), nothing goes past an open letter before it.
    """
    obstacles = {letter.id: _went(letter, went) or _obstacle(letter, topics, names, held_back) for letter in letters}
    may_go = {letter for letter, obstacle in obstacles.items() if not obstacle and letter not in claimed}
    ahead = _Ahead(kin)
    newest: dict[Queue, Summary | None] = {}
    planned: list[Planned] = []
    for letter in letters:
        before = ahead.of(letter) if letter.verdict == BLOCKED or key_of(letter) in parked else None
        obstacle = obstacles[letter.id] or (_waits(letter, before) if before else "")
        if letter.id in claimed:
            planned.append(Planned(letter, "claimed", claimed[letter.id]))
        elif letter.id in copies and letter.state == "open":
            planned.append(Planned(letter, "copied", "an earlier replay had copied it", copies[letter.id]))
        elif obstacle:
            planned.append(Planned(letter, "ineligible", obstacle))
        else:
            if not superseded and queue_of(letter) not in newest:
                newest[queue_of(letter)] = _newest(letter, kin, may_go)
            newer = "" if superseded else _superseded(letter, kin, newest[queue_of(letter)], delivered)
            planned.append(Planned(letter, "superseded" if newer else "eligible", newer))
        if planned[-1].goes:
            ahead.going.add(letter.id)
    return planned


class _Ahead:
    """The first letter of each record that is open and not going; asked in the order of the events."""

    def __init__(self, kin: Lineage) -> None:
        self.going: set[str] = set()
        self._kin = kin
        self._seen: dict[Queue, int] = {}

    def of(self, letter: Summary) -> Summary | None:
        """Which one is before this."""
        queue = self._kin.queue(letter)
        for turn in range(self._seen.get(queue_of(letter), 0), len(queue)):
            self._seen[queue_of(letter)] = turn
            if queue[turn].id == letter.id:
                return None
            if queue[turn].state == "open" and queue[turn].id not in self.going:
                return queue[turn]
        return None


def _went(letter: Summary, went: Container[str]) -> str:
    again = letter.id in went and letter.edited is None and letter.state == "open"
    return "the ledger says that its event was delivered: discard the letter" if again else ""


def _obstacle(letter: Summary, topics: Mapping[str, int], names: Names, held_back: Mapping[str, str]) -> str:
    if letter.state != "open":
        return f"it is {letter.state} already"
    if is_refresh(letter.topic) and letter.verdict == "malformed":
        return "it is no request that can be read: ask again (writeback refresh NAME), and discard it"
    if letter.verdict in NEEDS_EDIT and letter.edited is None:
        return f"it is {letter.verdict}: give it an event first (writeback dead-letters edit {letter.id[:12]} ...)"
    topic = target(letter, names)
    if slug_of(topic) is None and not is_refresh(topic):
        return f"{topic} is no topic of events ({names.events_prefix}...)"
    if topic not in topics:
        return f"the topic {topic} does not exist: the connection is gone or was never made"
    return held_back.get(slug_of(topic) or "", "")


def target(letter: Summary, names: Names) -> str:
    """The topic a replay goes to: the original one; for an edited stranger, that of its connection."""
    own = slug_of(letter.topic) is not None or is_refresh(letter.topic)
    return letter.topic if own else names.events_topic(letter.connection)


def _waits(letter: Summary, before: Summary) -> str:
    return f"it waits behind letter {before.id} of {record_of(letter)}, which is open: take that too, or discard it"


def _superseded(letter: Summary, kin: Lineage, newest: Summary | None, delivered: Delivered) -> str:
    if letter.operation == "message" or letter.event_key is None:
        return ""
    later = delivered.get(place_of(letter), -1)
    if later > kin.first_offset(letter):
        return f"a later event of {record_of(letter)} was delivered (offset {later})"
    if newest is not None and kin.first_offset(newest) > kin.first_offset(letter):
        return f"a later event of {record_of(letter)} is the letter {newest.id} ({newest.state})"
    return ""


def _newest(letter: Summary, kin: Lineage, may_go: set[str]) -> Summary | None:
    """The newest letter of the same record that is not going and has had its effect, or will have."""
    for other in reversed(kin.queue(letter)):
        waits = other.verdict == BLOCKED and other.state != "replayed"  # or was given up: it never went anywhere
        if other.id not in may_go and not kin.goes_on(other) and not waits:
            return other
    return None
