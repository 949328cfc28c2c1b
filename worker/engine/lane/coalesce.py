"""Waiting changes of one record become one call (per connection, off by default).

Updates (or upserts) of a record that wait behind one another go out as a single write; of a field that several set,
the last in the log wins, as without coalescing: the times in events are their producers' clocks, which differ. With
the record's deletion behind them, only that goes out. Only calls that may be repeated take part, every event still
gets its own result, and what is refused together is tried again one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from topics.event.event import Event, Operation
from worker.engine.lane.assignment import Delivery

MERGES = frozenset({Operation.UPDATE, Operation.UPSERT})
MOST = 500
"""Events in one call: a bound on what one refusal sends back to be tried alone."""


def gather(head: Delivery) -> None:
    """Let the head of a key take up what waits behind it and can go out in the same call."""
    separate(head)
    if not _joins(head, head):
        return
    chain = [head]
    following = head.next
    while following is not None and len(chain) < MOST and _joins(head, following):
        chain.append(following)
        following = following.next
    if following is not None and following.event.operation is Operation.DELETE and _together(head, following):
        head.absorbed = (*chain[1:], following)
        head.outgoing, head.sends = following.event, following.function
        return
    same = 1
    while same < len(chain) and chain[same].function is head.function:
        same += 1
    if same > 1:
        head.absorbed = tuple(chain[1:same])
        head.outgoing = _merge([delivery.event for delivery in chain[:same]])


def separate(delivery: Delivery) -> None:
    """What is sent for it is the event itself, and nothing else."""
    delivery.absorbed = ()
    delivery.outgoing, delivery.sends = delivery.event, delivery.function


def apart(delivery: Delivery) -> None:
    """The call was refused: each goes out alone, to find out whom it was for."""
    for one in (delivery, *delivery.absorbed):
        one.alone = True
    separate(delivery)


def _joins(head: Delivery, delivery: Delivery) -> bool:
    return delivery.event.operation in MERGES and _together(head, delivery)


def _together(head: Delivery, delivery: Delivery) -> bool:
    return (
        delivery.function.idempotent
        and not delivery.alone
        and delivery.function.object == head.function.object
        and delivery.backfill == head.backfill
        and delivery.event.key is not None
        and delivery.function.aliases.isdisjoint(delivery.event.fields)  # which of two names came last is lost in one
    )


def _merge(events: Sequence[Event]) -> Event:
    """Under the first one's id: a retry that has taken up more is still the same call."""
    fields: dict[str, Any] = {}
    for event in events:
        fields.update(event.fields)
    return events[-1].model_copy(update={"id": events[0].id, "fields": fields})
