"""How far ahead the calls of a connection that cannot be repeated are announced.

Such a call begins only after a commit has said so: whatever dies then, the next owner knows what may have happened.
What was announced is under suspicion after a crash, sent or not. So there is one allowance for the connection, over all
its partitions, and nothing is announced while nothing can go out.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping, Sized
from typing import Protocol

SECONDS = 0.1
"""Announced ahead is what can be sent in this time: about two commits."""
LONGEST_WAIT = 1.0
"""Seconds without a call from which what was announced is taken back."""
ROUNDING = 1e-6
"""Of a call: hundredths do not add up exactly."""


class Announces(Protocol):
    """A partition, as the window sees it (``worker.engine.lane.assignment.Assignment`` explains the words)."""

    ahead: float
    sending: float
    turn: int

    @property
    def unannounced(self) -> Sized: ...

    def announce(self, calls: float) -> float: ...


class SendWindow:
    """``calls``: at most so many announced or under way; ``ahead``: announced and not under way; ``shut``: none now.

    An event whose call carries up to n of them is an nth of a call.
    """

    def __init__(self, assignments: Mapping[object, Announces], calls: int = 1) -> None:
        self.calls = calls
        self.ahead = calls
        self.shut = False
        self._assignments = assignments
        self._turn = itertools.count(1)

    def limit(self, concurrency: int, rate: float | None) -> None:
        """As many again as may be under way, or what the rate allows in ``SECONDS``."""
        self.calls = 2 * concurrency
        self.ahead = self.calls if rate is None else min(self.calls, max(1, int(rate * SECONDS)))

    @property
    def room(self) -> float:
        """Calls that may be announced now; the last one of them whole."""
        if self.shut:
            return 0.0
        ahead = out = 0.0
        for assignment in self._assignments.values():
            ahead += assignment.ahead
            out += assignment.sending
        room = min(self.ahead - ahead, self.calls - ahead - out)
        return room if room > ROUNDING else 0.0

    def announce(self, assignments: Iterable[Announces]) -> None:
        """Use the room for these, whose commit begins: a call for each in turn, whoever had none longest first."""
        room = self.room
        waiting = deque(sorted((one for one in assignments if one.unannounced), key=lambda one: one.turn))
        while waiting and room > ROUNDING:
            assignment = waiting.popleft()
            room -= assignment.announce(min(1.0, room))
            assignment.turn = next(self._turn)
            if assignment.unannounced:
                waiting.append(assignment)
