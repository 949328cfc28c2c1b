"""The buffer of records read ahead, between the thread that reads the file and the loop that handles records.

Everything here is quick, and under one lock. A pause, a seek or a loss drops the buffered records and moves the
position back to the first that was not handed out. So none is skipped or repeated, or handed out when it must not be.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from topics.log import Commit, Partition, Record, Unreadable

READ_AHEAD_RECORDS = 2_000
READ_AHEAD_BYTES = 8 * 1_048_576
HAND_OUT_RECORDS = 250
"""Whoever takes them up does so in one pass of the event loop, and commits wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Assigned:
    commits: Mapping[Partition, Commit | None]
    ids: Mapping[Partition, int]
    epoch: int


@dataclass(frozen=True, slots=True)
class Lost:
    partitions: Sequence[Partition]


@dataclass(slots=True)
class Place:
    """A partition of ours. ``position``: the next offset to read.

    ``turn`` counts how often the buffer was dropped: records whose reading began before that are not taken.
    """

    id: int
    partition: Partition
    position: int
    held: bool = False
    paused: bool = False
    turn: int = 0
    ahead: deque[Record] = field(default_factory=deque)

    @property
    def wanted(self) -> bool:
        return not self.paused and not self.held


class ReadAhead:
    """``filled`` is called, in any thread, when there is something to take; ``drained``, when there is room again."""

    def __init__(self, filled: Callable[[], None], drained: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._notify = filled
        self._drained = drained
        self._news: deque[Assigned | Lost | Unreadable] = deque()
        self._places: dict[Partition, Place] = {}
        self._filled: deque[Place] = deque()
        self._records = 0
        self._bytes = 0

    # the reading thread's side

    def assign(self, places: Sequence[Place], news: Assigned) -> None:
        with self._lock:
            self._places.update((place.partition, place) for place in places)
            self._news.append(news)
        self._notify()

    def lose(self, partitions: Sequence[Partition]) -> None:
        with self._lock:
            gone = [partition for partition in partitions if partition in self._places]
            for partition in gone:
                self._drop(self._places.pop(partition))
            if gone:
                self._news.append(Lost(gone))
        self._notify()

    def places(self) -> list[Place]:
        return list(self._places.values())

    def has_room(self) -> bool:
        return self._records < READ_AHEAD_RECORDS and self._bytes < READ_AHEAD_BYTES

    def begin_read(self, place: Place) -> tuple[int, int]:
        """The position to read from, and the present ``turn``, to be passed to ``hand_in``."""
        with self._lock:
            return place.position, place.turn

    def hand_in(self, place: Place, turn: int, records: Sequence[Record]) -> bool:
        """Buffer what was read, unless the buffer was dropped meanwhile. Returns whether it was taken."""
        with self._lock:
            if place.turn != turn or not place.wanted or not records:
                return False
            if not place.ahead:
                self._filled.append(place)
            place.ahead.extend(records)
            place.position = records[-1].offset + 1
            self._records += len(records)
            self._bytes += sum(record.size for record in records)
        self._notify()
        return True

    def hold(self, place: Place, turn: int, found: Unreadable) -> bool:
        """Stop reading it until a seek. False when its buffer was dropped meanwhile, or it is held already."""
        with self._lock:
            if place.turn != turn or place.held:
                return False
            place.held = True
            self._news.append(found)
        self._notify()
        return True

    # the loop's side

    def take(self) -> Assigned | Lost | Unreadable | list[Record]:
        """The next change of the assignment, if there is one; else buffered records, of the partitions in turn."""
        with self._lock:
            if self._news:
                return self._news.popleft()
            taken: list[Record] = []
            while self._filled and len(taken) < HAND_OUT_RECORDS:
                place = self._filled.popleft()
                room = HAND_OUT_RECORDS - len(taken)
                if len(place.ahead) <= room:
                    taken.extend(place.ahead)
                    place.ahead.clear()
                else:
                    taken.extend(place.ahead.popleft() for _ in range(room))
                    self._filled.append(place)
            was_full = not self.has_room()
            self._records -= len(taken)
            self._bytes -= sum(record.size for record in taken)
        if was_full:
            self._drained()
        return taken

    def take_news(self) -> Assigned | Lost | Unreadable | list[Record]:
        """The next change of the assignment, never records."""
        with self._lock:
            return self._news.popleft() if self._news else []

    def pause(self, partitions: Sequence[Partition]) -> None:
        with self._lock:
            for place in self._ours(partitions):
                if not place.paused:
                    place.paused = True
                    self._drop(place)

    def resume(self, partitions: Sequence[Partition]) -> None:
        with self._lock:
            for place in self._ours(partitions):
                place.paused = False

    def seek(self, partition: Partition, offset: int) -> None:
        with self._lock:
            for place in self._ours([partition]):
                self._drop(place)
                place.position = offset
                place.held = False

    def position(self, partition: Partition) -> int | None:
        """The next offset to hand out."""
        with self._lock:
            place = self._places.get(partition)
            if place is None:
                return None
            return place.ahead[0].offset if place.ahead else place.position

    def clear(self) -> None:
        with self._lock:
            for place in self._places.values():
                self._drop(place)
            self._places.clear()
            self._news.clear()

    def _ours(self, partitions: Sequence[Partition]) -> list[Place]:
        return [place for partition in partitions if (place := self._places.get(partition)) is not None]

    def _drop(self, place: Place) -> None:
        place.turn += 1
        if not place.ahead:
            return
        place.position = place.ahead[0].offset
        place.held = False  # the unreadable record follows these records, and will be found again
        self._records -= len(place.ahead)
        self._bytes -= sum(record.size for record in place.ahead)
        place.ahead.clear()
        self._filled.remove(place)
