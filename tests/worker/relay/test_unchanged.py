"""What says nothing new is not sent: the comparison by itself, and with real tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.topics.outbox.conftest import Warehouse
from tests.worker.relay.test_relay import events_in, log, relay_of, running, until
from topics.event.event import Operation
from topics.log import Log
from topics.outbox.relaying import Row
from topics.outbox.sent import Fields, Record
from worker.relay.unchanged import DAYS, Memory

__all__ = ["log"]

TODAY = 20_000
ADA = Record("crm", "contact/1")
UPSERTS = {"insert": Operation.UPSERT, "update": Operation.UPSERT}


@dataclass
class Days:
    """One record's state from one batch to the next."""

    fields: Fields = field(default_factory=dict)

    def sends(self, value: str, *, today: int = TODAY, kind: str = "upsert", **changes: Any) -> bool:
        memory = Memory({ADA: self.fields} if self.fields else {}, {"mine"}, today)
        row = Row(1, "id", *ADA, f"writeback.{kind}", value, "", "mine", backfill=False, refused=None)._replace(
            **changes
        )
        new = memory.is_new(row, value.encode())
        self.fields = memory.states().get(ADA, self.fields) or {}
        return new


def test_a_value_that_came_back_is_new_and_the_same_value_is_not() -> None:
    """A, A, B, A: three events; and a field beside it that was never sent makes the event new."""
    days = Days()
    sent = [days.sends(value) for value in ('{"n":"A"}', '{"n":"A"}', '{"n":"B"}', '{"n":"A"}', '{"n":"A","m":1}')]
    assert sent == [True, False, True, True, True]


@pytest.mark.parametrize(
    ("other", "today", "changes"),
    [
        ('{"n":1.0000000000000000002}', TODAY, {}),
        ('{"n":"1"}', TODAY, {}),
        ('{"n":null}', TODAY, {}),
        ('{"n":1}', TODAY + DAYS, {}),
        ('{"n":1}', TODAY - 1, {}),
        ('{"n":1}', TODAY, {"backfill": True}),
        ('{"n":1}', TODAY, {"trigger": "another"}),
        ('{"n":1}', TODAY, {"kind": "add"}),
        ('{"n":1}', TODAY, {"kind": "message"}),
    ],
)
def test_what_is_sent_all_the_same(other: str, today: int, changes: dict[str, Any]) -> None:
    """Another digit or type, too long ago, a clock set back, a backfill, a trigger that compares nothing, no upsert."""
    days = Days()
    assert days.sends('{"n":1}')
    assert not days.sends('{"n":1}')
    assert days.sends(other, today=today, **changes)


def test_after_a_delete_and_after_an_event_that_did_not_get_through_nothing_is_known() -> None:
    """The same upsert goes again."""
    days = Days()
    days.sends('{"n":1}')
    days.sends("{}", kind="delete")
    assert days.sends('{"n":1}')
    memory = Memory({ADA: days.fields}, {"mine"}, TODAY)
    assert memory.states({ADA}) == {ADA: None}


async def test_a_loader_that_fills_the_table_anew_sends_only_what_is_new(warehouse: Warehouse, log: Log) -> None:
    """It knows nothing of us. A silent load makes the relay forget: then the same values go, once."""
    warehouse.create(operations=UPSERTS, unchanged="drop")
    fill = "INSERT INTO contacts (id, email, score) VALUES (1, 'a@acme.com', 1.5), (2, '{}@acme.com', 2)"
    relay = relay_of(warehouse, log)
    silent: tuple[str, ...] = ("SET LOCAL writeback.loading = 'on'", "DELETE FROM contacts")
    if not warehouse.postgres:
        silent = (
            "INSERT INTO writeback_loading VALUES ('now')",
            "DELETE FROM contacts",
            "DELETE FROM writeback_loading",
        )

    async def sent_by(*statements: str) -> list[str]:
        before = len(events_in(log))
        warehouse.run(*statements)
        await until(lambda: not warehouse.rows())
        return [event.key or "" for event in events_in(log)[before:]]

    async with running(relay):
        assert await sent_by(fill.format("b")) == ["1", "2"]
        assert await sent_by("DELETE FROM contacts", fill.format("b")) == []
        assert await sent_by("DELETE FROM contacts", fill.format("c")) == ["2"]
        assert await sent_by("DELETE FROM contacts", fill.format("b")) == ["2"]
        assert relay.unchanged == 4
        warehouse.run(*silent)
        assert await sent_by(fill.format("b")) == ["1", "2"]
