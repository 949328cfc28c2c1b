"""The promises, reckoned against what the vendor really did."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence

from dead_letter.letter.letter import Letter
from tests.simulation.connection import SimConnection
from tests.simulation.vendor import FUNCTIONS, TOLD
from topics.event import codec
from topics.event.event import Operation
from topics.event.result import Result
from topics.log import Partition, Record


class Reckoning:
    """What became of one connection's events, beside what its vendor has done.

    ``doubted``: events whose end a worker that died had not heard.
    """

    def __init__(
        self,
        of: SimConnection,
        records: Mapping[Partition, Sequence[Record]],
        results: Sequence[Result],
        letters: Sequence[Letter],
        doubted: set[str],
    ) -> None:
        self._of, self._vendor = of, of.vendor
        decoded = (codec.decode(record) for partition in of.partitions for record in records[partition])
        self._events = {event.id: event for event in decoded}
        self._results = [result for result in results if result.connection == of.slug]
        self._letters = [letter for letter in letters if letter.connection == of.slug]
        self._doubted = of.vendor.unanswered | doubted

    def check(self) -> None:
        delivered = {r.id for r in self._results if r.outcome == "delivered"}
        dead_lettered = {letter.event_id for letter in self._letters}
        assert delivered <= self._vendor.known, f"claimed but never done: {delivered - self._vendor.known}"
        superseded = {r.id for r in self._results if r.outcome == "superseded"}
        assert self._events.keys() == delivered | dead_lettered | superseded
        self._check_superseded(superseded, delivered)
        self._check_doubles()
        self._check_crashes()
        unknown = {letter.event_id for letter in self._letters if letter.verdict == "unknown-outcome"}
        assert unknown <= self._doubted, "dead-lettered, and never in doubt"
        after_letter = self._vendor.after_letter
        assert not after_letter, f"dead-lettered, and done all the same: {after_letter}"
        if (
            self._of.parked_keys and not self._of.coalesce
        ):  # one call for several has an end for all, an unknown one too
            self._check_parked()
        self._check_order()

    def _check_parked(self) -> None:
        """Behind the first letter of a key nothing is done any more."""
        first: dict[str, int] = {}
        for letter in self._letters:
            assert letter.event_id is not None
            key, number = codec.decode(letter.record).record_key, int(letter.event_id[1:])
            first[key] = min(first.get(key, number), number)
        for _, event in self._vendor.performed:
            number = int(event.id[1:])
            assert number <= first.get(event.record_key, number), f"{event.id} went past the letter of its key"

    def _check_superseded(self, superseded: set[str], delivered: set[str]) -> None:
        """Only a deletion makes a change superfluous, one that was made."""
        for event_id in superseded - delivered:
            event = self._events[event_id]
            assert any(
                other.operation is Operation.DELETE
                and other.record_key == event.record_key
                and int(other.id[1:]) > int(event_id[1:])
                for other in (self._events[one] for one in delivered)
            ), event_id

    def _check_doubles(self) -> None:
        times: dict[str, int] = defaultdict(int)
        for _, event in self._vendor.performed:
            times[event.id] += 1
        told = {r.id for r in self._results if r.possible_duplicate}
        for _, event in self._vendor.performed:
            if times[event.id] > 1 and not FUNCTIONS[event.object, event.operation].idempotent:
                assert event.object in TOLD, f"{event.id} ({event.object}) was done {times[event.id]} times"
                assert event.id in told, f"{event.id} was doubled and nobody was told"

    def _check_crashes(self) -> None:
        """A crash repeats no more calls that count than could be in flight."""
        repeated: dict[int, set[int]] = defaultdict(set)
        for life, event in self._vendor.performed:
            first, call = self._vendor.calls[event.id]
            if event.object in TOLD and life > first and event.id not in self._vendor.unanswered:
                repeated[first].add(call)
        for life, calls in repeated.items():
            assert len(calls) <= self._of.concurrency, (
                f"life {life}: {len(calls)} calls, {self._of.concurrency} at once"
            )

    def _check_order(self) -> None:
        """Within an owner's life a key only goes forward; the next may repeat what can be repeated, but nothing from
        before a call that cannot, and what was last stays last.
        """
        by_key: dict[str, list[tuple[int, int, bool]]] = defaultdict(list)
        for life, event in self._vendor.performed:
            repeatable = FUNCTIONS[event.object, event.operation].idempotent
            by_key[event.record_key].append((life, int(event.id[1:]), repeatable))
        for key, calls in by_key.items():
            for (life, offset, _), (next_life, next_offset, _) in itertools.pairwise(calls):
                forward = life < next_life or offset <= next_offset
                assert forward or self._of.coalesce, f"{key}: {calls}"  # a merged call, repeated one by one, goes back
            for place, (_, offset, repeatable) in enumerate(calls):
                later = [o for _, o, _ in calls[place:]]
                assert repeatable or min(later) == offset, f"{key}: {calls}"
            assert calls[-1][1] == max(offset for _, offset, _ in calls), f"{key}: {calls}"
