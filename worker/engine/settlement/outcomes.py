"""Ends an event: delivered or dead, in the ledger, with its letter and the reply somebody asked for."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import to_json

from connectors.contract import NO_EVIDENCE, Connector, Evidence
from dead_letter.letter.letter import Attempt, Letter, encode, letter_id, shorter
from topics.errors import RecordRefused, RecordTooLarge
from topics.event.event import Event
from topics.event.result import Outcome, Result, pack
from topics.log import Record
from topics.names import MAX_LETTER_BYTES, REPLY_PARTITIONS, slug_of
from worker.clock import Clock
from worker.engine.lane.assignment import Delivery
from worker.engine.settlement.ledger import Ledger
from worker.engine.settlement.publisher import RetryingPublisher
from worker.log_events import logger

LEDGER_REASON = 300
"""Characters of a reason that the ledger keeps; the letter has it all."""
REFUSED_PAUSE = 30.0
"""Seconds until a letter or a reply that the log refused is tried again."""
MAX_REPLY_DETAIL = 900_000
"""Bytes of a vendor's detail in a reply; a longer one is cut to a note (the record must fit its topic)."""


class Outcomes:
    """Where events end. Nothing here moves an offset: the caller does, after the await."""

    def __init__(
        self, ledger: Ledger, letters: RetryingPublisher, replies: RetryingPublisher, clock: Clock, group: str
    ) -> None:
        self._ledger = ledger
        self._letters = letters
        self._replies = replies
        self._clock = clock
        self._group = group
        self._refusals: dict[str, tuple[str, str]] = {}

    def refusal(self, slug: str) -> str | None:
        """Why the log does not take a letter of that connection now, where there is one that it does not take."""
        return next((reason for connection, reason in self._refusals.values() if connection == slug), None)

    def ended(
        self, delivery: Delivery, vendor_id: str | None, outcome: Outcome = "delivered", reason: str | None = None
    ) -> None:
        """Into the ledger. An event with ``reply_to`` needs ``reply`` first."""
        self._ledger.add(self._result(delivery, outcome, detail=_writable(vendor_id), reason=reason))

    async def reply(
        self, delivery: Delivery, detail: Any, outcome: Outcome = "delivered", reason: str | None = None
    ) -> None:
        """Tell who asked how it ended; returns when the log has it."""
        result = self._result(delivery, outcome, detail=detail, reason=reason)
        await self.tell(result, delivery.event.options.reply_to)

    async def bury(
        self,
        delivery: Delivery,
        cause: str,
        reason: str,
        connector: Connector,
        evidence: Evidence = NO_EVIDENCE,
        *,
        blocked_by: str | None = None,
    ) -> None:
        """Write the letter; returns when the log has it, and the reply."""
        event = delivery.event
        await self.bury_record(
            delivery.record,
            event,
            cause,
            reason,
            evidence=evidence,
            attempts=tuple(delivery.attempts or ()),
            calls=delivery.calls,
            connector=(connector.name, connector.version),
            doubtful=delivery.doubtful or cause == "unknown-outcome",
            blocked_by=blocked_by,
        )

    async def bury_record(
        self,
        record: Record,
        event: Event | None,
        cause: str,
        reason: str,
        *,
        evidence: Evidence = NO_EVIDENCE,
        attempts: tuple[Attempt, ...] = (),
        calls: int = 0,
        connector: tuple[str, str] = ("", ""),
        doubtful: bool = False,
        blocked_by: str | None = None,
    ) -> None:
        letter = Letter(
            id=letter_id(record),
            record=record,
            connection=slug_of(record.partition.topic) or record.partition.topic,
            object=event.object if event else None,
            operation=event.operation.value if event else None,
            event_id=event.id if event else None,
            event_key=event.key if event else None,
            verdict=cause,
            reason=reason,
            status=evidence.status,
            excerpt=evidence.excerpt,
            attempts=attempts,
            connector=connector[0],
            connector_version=connector[1],
            idempotency_key=(event.options.idempotency_key or event.id) if event else None,
            time=self._clock.now(),
            possible_duplicate=doubtful,
            blocked_by=blocked_by,
            replay_of=event.replay.letter if event and event.replay else None,
            replay_number=event.replay.number if event and event.replay else 0,
        )
        await self.write(letter)
        logger().warning(
            "letter.written", connection=letter.connection, cause=cause, reason=reason[:LEDGER_REASON], letter=letter.id
        )
        result = _dead(letter, calls, self._clock.now())
        self._ledger.add(result)
        if event is not None:
            await self.tell(result, event.options.reply_to)

    async def write(self, letter: Letter) -> None:
        """Returns when the log has the letter, with less evidence where its topic is too small for all of it.

        An event whose letter the topic still refuses is held, which states and doctor show, and tried again.
        """
        try:
            await self._write(letter)
        finally:
            self._refusals.pop(letter.id, None)

    async def _write(self, letter: Letter) -> None:
        while (error := await self._refused(letter)) is not None:
            less = shorter(letter) if isinstance(error, RecordTooLarge) else None
            if less is not None:
                logger().warning("letter.shortened", letter=letter.id, error=str(error))
                letter = less
                continue
            self._refusals[letter.id] = letter.connection, _is_refused(letter, error)
            logger().error("letter.refused", letter=letter.id, error=str(error))
            await self._clock.sleep(REFUSED_PAUSE)

    async def _refused(self, letter: Letter) -> RecordRefused | None:
        """Publish it; why the log does not take it, None when it has it."""
        encoded = encode(letter, self._group)
        try:
            await self._letters.publish(key=encoded.key, value=encoded.value, headers=encoded.headers)
        except RecordRefused as error:
            return error
        return None

    async def tell(self, result: Result, partition: int | None) -> None:
        """Returns when the log has the reply, on the partition that its event has named, if any."""
        if partition is None or partition >= REPLY_PARTITIONS:  # nobody can be reading there
            return
        value = pack([result._replace(detail=_writable(result.detail))])
        if len(value) > MAX_REPLY_DETAIL:
            note = f"{len(value):,} bytes, too large for a reply; it was {result.outcome}"
            value = pack([result._replace(detail=note)])
        while True:
            try:
                await self._replies.publish(key=result.id.encode(), value=value, partition=partition)
            except RecordRefused as error:  # as for a letter: somebody waits for it
                logger().error("reply.refused", event_id=result.id, error=str(error))
                await self._clock.sleep(REFUSED_PAUSE)
            else:
                return

    def _result(self, delivery: Delivery, outcome: Outcome, *, detail: Any, reason: str | None) -> Result:
        event, partition = delivery.event, delivery.record.partition
        return Result(
            event.id,
            outcome,
            event.connection,
            event.object,
            event.operation.value,
            event.key,
            partition.topic,
            partition.number,
            delivery.offset,
            delivery.calls,
            self._clock.now(),
            detail,
            reason,
            delivery.doubtful,
        )


def _is_refused(letter: Letter, error: RecordRefused) -> str:
    return (
        f"the log refuses the dead letter of {letter.record.partition} offset {letter.record.offset:,}: {error}. "
        f"It is tried again every {REFUSED_PAUSE:.0f} s; its topic has to take {MAX_LETTER_BYTES:,} bytes"
    )


def _dead(letter: Letter, calls: int, now: float) -> Result:
    record = letter.record
    return Result(
        id=letter.event_id or letter.id,
        outcome="dead",
        connection=letter.connection,
        object=letter.object or "",
        operation=letter.operation or "",
        key=letter.event_key,
        topic=record.partition.topic,
        partition=record.partition.number,
        offset=record.offset,
        attempts=calls,
        time=now,
        reason=letter.reason[:LEDGER_REASON],
        possible_duplicate=letter.possible_duplicate,
        letter=letter.id,
    )


def _writable(detail: Any) -> Any:
    """The vendor's words as JSON can carry them: half a surrogate pair, or an odd type, must not stop an event."""
    try:
        to_json(detail)
    except ValueError:
        text = json.dumps(detail, ensure_ascii=False, skipkeys=True, default=repr)
        return json.loads(text.encode("utf-8", "replace"))
    return detail
