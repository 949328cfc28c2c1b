"""One event on its way: the record, what it asks for, and what was tried."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from connectors.contract import Evidence, Function
from dead_letter.letter.letter import Attempt
from topics.event.event import Event
from topics.log import Record
from worker.progress.metadata import LetterCause

if TYPE_CHECKING:
    from worker.lane.assignment import Assignment

KEPT_ATTEMPTS = 32
"""Attempts kept for the letter: the first half and the last half; the rest is a number."""


class Delivery:
    """An event in a lane.

    ``next`` is the event behind this one on the same key, which waits for it. ``round``: the first commit that knows
    the event before it to be done. ``spent``: attempts that counted. ``outgoing`` is what is sent by calling
    ``sends``: the event, or one call for it and ``absorbed``, the ones behind it; ``alone``: not together with others.
    ``letter_cause``: the verdict of its letter, as an earlier owner has announced it.
    """

    __slots__ = (
        "absorbed",
        "alone",
        "assignment",
        "attempts",
        "calls",
        "doubtful",
        "event",
        "first_at",
        "function",
        "key",
        "letter_cause",
        "next",
        "offset",
        "outgoing",
        "record",
        "round",
        "sends",
        "size",
        "spent",
        "suspect",
    )

    def __init__(self, record: Record, event: Event, function: Function, assignment: Assignment) -> None:
        self.record = record
        self.offset = record.offset
        self.size = record.size
        self.event = event
        self.outgoing = event
        self.absorbed: tuple[Delivery, ...] = ()
        self.alone = False
        self.function = function
        self.sends = function
        self.assignment = assignment
        self.key = event.record_key
        self.next: Delivery | None = None
        self.round = 0
        self.spent = 0
        self.calls = 0
        self.first_at = 0.0
        self.suspect = False
        self.doubtful = False
        self.letter_cause: LetterCause = ""
        self.attempts: list[Attempt] | None = None

    @property
    def backfill(self) -> bool:
        return self.event.replay is not None or self.event.options.backfill

    def note(self, *, at: float, ms: float, outcome: str, reason: str, evidence: Evidence) -> None:
        """Write an attempt that did not deliver into the story."""
        attempt = Attempt(
            number=self.calls,
            time=at,
            outcome=outcome,
            reason=reason,
            ms=ms,
            status=evidence.status,
            excerpt=evidence.excerpt,
            request_id=evidence.request_id,
        )
        if self.attempts is None:
            self.attempts = []
        if len(self.attempts) >= KEPT_ATTEMPTS:
            del self.attempts[KEPT_ATTEMPTS // 2]
        self.attempts.append(attempt)


Action = Literal["deliver", "find"]


@dataclass(slots=True)
class Batch:
    """Deliveries of one assignment and one function that go out in one call.

    ``replying``: replies to be acknowledged before all of it has ended; ``known``: the first commit that knows how it
    ended.
    """

    assignment: Assignment
    function: Function
    action: Action
    deliveries: list[Delivery]
    replying: int = 0
    known: float = math.inf
