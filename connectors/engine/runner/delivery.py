"""Delivers events and returns verdicts: one event in a call, or many in a call to the batch endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from connectors.contract import Delivered, Evidence, Rejected, Retry, Unknown, Verdict
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.runner.batch import Judges
from connectors.engine.runner.calls import Call, idempotency_key, needs
from connectors.engine.runner.plan import BatchPlan, Plan
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import (
    Rules,
    after_answer,
    after_failure,
    after_item,
    delivered,
    evidence_of,
    refusal,
)
from connectors.engine.template.template import Missing, Scope
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import MAX_READ, Reply
from topics.event.event import Event

UNSAID = "the answer to the batch does not say what became of this record"


async def deliver_one(sender: Sender, call: Call, rules: Rules, scope: Scope, event: Event) -> Verdict:
    """Deliver one event in a call of its own."""
    try:
        prepared = call.prepare(scope)
    except Missing as missing:
        return Rejected(needs(event, missing))
    except ValueError as error:
        return Rejected(f"{event.operation} {event.object} cannot be put into a request: {error}")
    try:
        reply = await sender.send(prepared, event.options.timeout_s)
    except TransportFailure as failure:
        return after_failure(failure, rules)
    except NoToken as none:
        return none.verdict
    return after_answer(
        reply,
        call.expected.body_of(reply),
        rules,
        call.expected,
        id_at=call.id_at,
        detail_at=call.detail_at,
        now=sender.now(),
    )


async def deliver_batch(sender: Sender, plan: Plan, batch: BatchPlan, events: Sequence[Event]) -> list[Verdict]:
    """Deliver events in one call. Those that cannot be put into the request are refused, and the others are sent."""
    verdicts: dict[int, Verdict] = {}
    items: dict[int, Any] = {}
    for place, event in enumerate(events):
        try:
            items[place] = batch.item(plan.scope(event))
        except Missing as missing:
            verdicts[place] = Rejected(needs(event, missing))
    if items:
        seconds = max((event.options.timeout_s or 0.0 for event in events), default=0.0) or None
        key = idempotency_key(*(events[place] for place in items)) if batch.idempotency_header else ""
        sending = partial(_send, sender, plan, batch, list(items.values()), seconds=seconds, key=key)
        sent = await sending()
        if key and any(isinstance(verdict, Unknown) for verdict in sent):
            # the vendor carries out a batch once for each key, so sending it again may tell what became of it
            again = await sending()
            sent = again if all(_is_told(verdict) for verdict in again) else sent
        verdicts.update(zip(items, sent, strict=True))
    return [verdicts[place] for place in range(len(events))]


async def _send(
    sender: Sender, plan: Plan, batch: BatchPlan, items: list[Any], *, seconds: float | None, key: str
) -> list[Verdict]:
    """``key``: the batch's idempotency key; empty when it has none."""
    call, rules = batch.call, batch.rules
    try:
        prepared = call.prepare(Scope({}, unique=plan.unique, items=items))
        if batch.idempotency_header is not None and key:
            prepared = prepared._replace(headers={**prepared.headers, batch.idempotency_header: key})
        reply = await sender.send(prepared, seconds, MAX_READ)
    except TransportFailure as failure:
        return _each(items, after_failure(failure, rules))
    except NoToken as none:
        return _each(items, none.verdict)
    except (Missing, ValueError) as error:
        return _each(items, Rejected(f"cannot be put into a request: {error}"))
    body = call.expected.body_of(reply)
    refused = refusal(reply, body, rules, call.expected, sender.now())
    if refused is not None:
        return _each(items, refused)
    return _attribute(batch, items, reply, body)


def _is_told(verdict: Verdict) -> bool:
    """Whether the verdict is about the record, and not about the call."""
    return isinstance(verdict, Delivered) or (isinstance(verdict, Rejected) and not verdict.whole)


def _each(items: list[Any], verdict: Verdict) -> list[Verdict]:
    """One verdict on the whole call as the verdict on each event. After a refusal the caller bisects the batch.

    That also holds for a refusal which means that a record is gone: it is about one record, and nothing was done for
    the others.
    """
    if len(items) > 1:
        if isinstance(verdict, Delivered):
            verdict = Rejected("one of the batch is gone already", whole=True)
        elif isinstance(verdict, Rejected):
            verdict = replace(verdict, whole=True)
    return [verdict] * len(items)


def _attribute(batch: BatchPlan, items: list[Any], reply: Reply, body: Any) -> list[Verdict]:
    call, rules = batch.call, batch.rules

    @cache
    def evidence() -> Evidence:
        return evidence_of(reply, body, rules)

    judges = Judges(
        done=lambda result: delivered(reply, result, rules, call.id_at, call.detail_at),
        refused=lambda error: after_item(error, _status(batch.item_status, error), rules, evidence().request_id),
        is_record=lambda result: call.id_at is None or call.id_at(result) is not None,
        lost=lambda: Retry(UNSAID, evidence=evidence()) if rules.idempotent else Unknown(UNSAID, evidence()),
    )
    return batch.attribute(items, body, judges)


def _status(status_at: Callable[[Any], Any] | None, error: Any) -> int | None:
    status = status_at(error) if status_at is not None else None
    return status if isinstance(status, int) else None
