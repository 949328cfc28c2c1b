"""Ends requests: writes each into the ledger, tells everyone who waits, and writes dead letters for those given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dead_letter.letter.letter import Attempt, Letter, letter_id
from topics.event.refresh import OPERATION, RefreshRequest
from topics.event.result import Outcome, Result
from topics.log import Record
from worker.clock import Clock
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.outcomes import LEDGER_REASON, Outcomes
from worker.log_events import logger
from worker.refresher.job import Result as Ended
from worker.refresher.owned import Asked, fewest
from worker.refresher.runs import Run

EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Why requests become dead letters. ``cause``: the letter's verdict; ``attempts``: the runs that failed."""

    cause: str
    reason: str
    attempts: tuple[Attempt, ...] = ()
    connector: str = ""
    connector_version: str = ""


class RefreshOutcomes:
    """Commits nothing: the caller moves the offset, after the await."""

    def __init__(self, outcomes: Outcomes, ledger: Ledger, clock: Clock) -> None:
        self._outcomes = outcomes
        self._ledger = ledger
        self._clock = clock

    async def answer(self, asked: Sequence[Asked], run: Run, ended: Ended) -> None:
        """Answer requests whose run succeeded. Returns when the log has the answers."""
        detail = {
            "run": run.id,
            "rows": ended.rows,
            "seconds": round(self._clock.now() - run.started, 3),
            "requests": len(asked),
            "pending_writes": run.pending_writes,
        }
        results = [self._result(one, "delivered", run.attempt) for one in asked]
        await self._tell(asked, [result._replace(detail=detail) for result in results])
        await self._write_down([result._replace(detail=run.id) for result in results])

    async def bury(self, asked: Sequence[Asked], given_up: GivenUp) -> None:
        """Write the fewest dead letters that together ask for everything; each request is told which one covers it."""
        letters = {one: self._letter(one.record, one.request, given_up) for one in fewest(asked)}
        for letter in letters.values():
            await self._outcomes.write(letter)
        logger().error(
            "refresh.dead_lettered",
            connection=asked[0].request.connection,
            requests=len(asked),
            letters=[letter.id for letter in letters.values()],
            reason=given_up.reason[:LEDGER_REASON],
        )
        results = [
            self._result(one, "dead", len(given_up.attempts))._replace(
                reason=given_up.reason[:LEDGER_REASON], letter=_letter_for(one, letters).id
            )
            for one in asked
        ]
        await self._tell(asked, results)
        await self._write_down(results)

    async def bury_unread(self, record: Record, cause: str, reason: str) -> None:
        """Write a dead letter for a record that is no request. ``cause``: ``malformed`` or ``unreadable``."""
        letter = self._letter(record, None, GivenUp(cause, reason))
        await self._outcomes.write(letter)
        logger().warning("letter.written", connection="", cause=cause, reason=reason, letter=letter.id)
        result = Result(
            letter.id, "dead", "", "", OPERATION, None, record.partition.topic, record.partition.number, record.offset,
            0, self._clock.now(), reason=reason[:LEDGER_REASON], letter=letter.id,
        )  # fmt: skip
        await self._write_down([result])

    async def _tell(self, asked: Sequence[Asked], results: Sequence[Result]) -> None:
        pairs = zip(asked, results, strict=True)
        await asyncio.gather(*(self._outcomes.tell(result, one.request.reply_to) for one, result in pairs))

    async def _write_down(self, results: Sequence[Result]) -> None:
        for result in results:
            self._ledger.add(result)
        await self._ledger.flush()

    def _result(self, asked: Asked, outcome: Outcome, attempts: int, detail: Any = None) -> Result:
        request, record = asked.request, asked.record
        return Result(
            request.id,
            outcome,
            request.connection,
            _objects(request),
            OPERATION,
            None,
            record.partition.topic,
            record.partition.number,
            record.offset,
            attempts,
            self._clock.now(),
            detail,
        )

    def _letter(self, record: Record, request: RefreshRequest | None, given_up: GivenUp) -> Letter:
        return Letter(
            id=letter_id(record),
            record=record,
            connection=request.connection if request else "",
            object=_objects(request) if request else None,
            operation=OPERATION,
            event_id=request.id if request else None,
            event_key=None,
            verdict=given_up.cause,
            reason=given_up.reason,
            status=None,
            excerpt="",
            attempts=given_up.attempts,
            connector=given_up.connector,
            connector_version=given_up.connector_version,
            idempotency_key=None,
            time=self._clock.now(),
            replay_of=request.replay.letter if request and request.replay else None,
            replay_number=request.replay.number if request and request.replay else 0,
        )


def _objects(request: RefreshRequest) -> str:
    return EVERYTHING if request.objects is None else ",".join(request.objects)


def _letter_for(asked: Asked, letters: dict[Asked, Letter]) -> Letter:
    """The request's own letter, one that asks for at least as much, or the latest of several that together do."""
    if asked in letters:
        return letters[asked]
    for other, letter in letters.items():
        if other.scope | asked.scope == other.scope:
            return letter
    return list(letters.values())[-1]
