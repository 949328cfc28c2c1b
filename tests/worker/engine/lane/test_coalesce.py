"""What may travel in one call."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.worker.samples import UPSERT, assignment, event, record
from worker.engine.lane.assignment import Delivery
from worker.engine.lane.coalesce import gather

NAMED = replace(UPSERT, aliases=frozenset({"name"}))


def waiting(*fields: dict[str, Any]) -> Delivery:
    """The first of a key's events, the others behind it."""
    to = assignment()
    events = [event(offset, "k", fields=one) for offset, one in enumerate(fields)]
    chain = [Delivery(record(of, place), of, NAMED, to) for place, of in enumerate(events)]
    for one, following in itertools.pairwise(chain):
        one.next = following
    return chain[0]


def test_changes_of_a_record_are_one_call() -> None:
    """What waits behind one another goes out together."""
    head = waiting({"firstname": "Jo"}, {"phone": "1"})
    gather(head)

    assert (head.outgoing.fields, len(head.absorbed)) == ({"firstname": "Jo", "phone": "1"}, 1)


def test_the_last_in_the_log_wins() -> None:
    """A producer whose clock is ahead does not overwrite what was sent after it."""
    head = waiting({"city": "first"}, {"city": "second"})
    head.event = head.event.model_copy(update={"time": head.event.time + timedelta(hours=1)})
    gather(head)

    assert head.outgoing.fields == {"city": "second"}


@pytest.mark.parametrize("fields", [[{"firstname": "Jo"}, {"name": "Al Bo"}], [{"name": "Al Bo"}, {"firstname": "Jo"}]])
def test_a_field_under_another_name_is_never_merged(fields: list[dict[str, Any]]) -> None:
    """Whether first name or full name came last could not be seen in one call, so they stay two."""
    head = waiting(*fields)
    gather(head)

    assert (head.outgoing.fields, head.absorbed) == (fields[0], ())
