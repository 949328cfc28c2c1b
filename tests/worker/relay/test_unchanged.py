"""What says nothing new is not sent: the comparison by itself, and with real tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.topics.outbox.conftest import Warehouse
from tests.worker.relay.test_relay import events_in, log, relay_of, running, until
from topics.errors import LogUnavailable
from topics.event.event import Operation
from topics.log import Log
from topics.outbox.relaying import OutboxReader, Row
from topics.outbox.sent import Fields, Record
from worker.relay.relay import Relay
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
        memory = Memory({ADA: json.dumps(self.fields)} if self.fields else {}, {"mine"}, today)
        row = Row(1, "id", *ADA, f"writeback.{kind}", value, "", "mine", backfill=False, refused=None)._replace(
            **changes
        )
        new = memory.is_new(ADA, row, value.encode())
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
    memory = Memory({ADA: json.dumps(days.fields)}, {"mine"}, TODAY)
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


FILL = "INSERT INTO contacts (id, email, score) VALUES (1, '{}@acme.com', {})"
EMPTY = "DELETE FROM contacts"


def emails(log: Log) -> list[str]:
    return [event.fields["email"].partition("@")[0] for event in events_in(log)]


async def relayed(warehouse: Warehouse, log: Log, *fills: str, killed: bool = False) -> None:
    """The table is filled anew so often before a relay runs; ``killed``: before it has removed what it sent."""
    for fill in fills:
        warehouse.run(EMPTY, fill)
    before = len(events_in(log))

    def die(*_: object) -> None:
        raise LogUnavailable("killed here")

    if killed:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("topics.outbox.relaying.OutboxReader.settle", die)
            async with running(relay_of(warehouse, log)):
                await until(lambda: len(events_in(log)) > before)
    async with running(relay_of(warehouse, log)):
        await until(lambda: not warehouse.rows())


@pytest.mark.parametrize("known", ["a", "b"])
async def test_a_relay_that_is_killed_puts_no_old_value_last(warehouse: Warehouse, log: Log, known: str) -> None:
    """A was sent, or is in the batch twice; then B, and the relay is killed. What is last is B."""
    warehouse.create(operations=UPSERTS, unchanged="drop")
    await relayed(warehouse, log, FILL.format(known, 1))
    again = [FILL.format("a", 1)] * (1 if known == "a" else 2)
    await relayed(warehouse, log, *again, FILL.format("b", 1), killed=True)
    assert emails(log)[-1] == "b"
    assert warehouse.outbox.rejected() == []


async def test_a_row_that_is_refused_sets_no_old_value_free(warehouse: Warehouse, log: Log) -> None:
    """A was sent; then A, B and a number that JSON has not. What is last is B, and A goes again when it is back."""
    warehouse.create(operations=UPSERTS, unchanged="drop")
    await relayed(warehouse, log, FILL.format("a", 1))
    bad = FILL.format("c", "'NaN'" if warehouse.postgres else "9e999")
    await relayed(warehouse, log, FILL.format("a", 1), FILL.format("b", 1), bad)
    assert emails(log) == ["a", "b"]
    assert len(warehouse.outbox.rejected()) == 1
    await relayed(warehouse, log, FILL.format("b", 1))
    assert emails(log) == ["a", "b", "b"]


async def test_what_repeats_an_event_that_did_not_get_through_is_sent(warehouse: Warehouse, log: Log) -> None:
    """Two triggers on a table: the event of the first is too large, that of the second says a part of it."""
    for name, fields in (
        ("b", {"email": "email"}),
        ("a", {"email": "email", "note": "note"}),
        ("c", {"email": "email"}),
    ):
        warehouse.create(name=name, operations=UPSERTS, unchanged="drop", fields=fields)
    await relayed(
        warehouse, log, f"INSERT INTO contacts (id, email, note) VALUES (1, 'a@acme.com', '{'x' * 1_100_000}')"
    )
    assert emails(log)[0] == "a"
    assert [row["trigger_name"] for row in warehouse.outbox.rejected()] == ["a"]


async def test_pages_behind_each_other_know_what_the_one_before_has_sent(warehouse: Warehouse, log: Log) -> None:
    """Each is read before the one before is removed: A, A, B, B, A are three events."""
    warehouse.create(operations=UPSERTS, unchanged="drop")
    bad = FILL.format("c", "'NaN'" if warehouse.postgres else "9e999")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Relay, "batch", 1)
        await relayed(warehouse, log, *(FILL.format(value, 1) for value in "aabba"), bad, *[FILL.format("a", 1)] * 2)
        assert emails(log) == ["a", "b", "a", "a"]


async def test_a_load_that_ends_between_two_pages_makes_the_relay_forget(warehouse: Warehouse, log: Log) -> None:
    """The second page was read before it, and what the first one sent is not known any more."""
    warehouse.create(operations=UPSERTS, unchanged="drop")
    warehouse.run(EMPTY, FILL.format("a", 1))
    warehouse.run(EMPTY, FILL.format("a", 1))
    real, notes = OutboxReader.settle, warehouse.outbox.tables.loaded

    def settle(self: OutboxReader, *given: Any) -> None:
        real(self, *given)
        if len(warehouse.rows()) == 1:
            with warehouse.engine.begin() as connection:
                connection.execute(notes.insert().values(aggregatetype="crm", object="contact"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Relay, "batch", 1)
        patch.setattr(OutboxReader, "settle", settle)
        async with running(relay_of(warehouse, log)):
            await until(lambda: not warehouse.rows())
    assert emails(log) == ["a", "a"]


async def test_what_an_earlier_release_knew_is_known_no_more(warehouse: Warehouse, log: Log) -> None:
    """Its table had another form: the relay makes it anew, and the next event goes."""
    warehouse.create(operations=UPSERTS, unchanged="drop")
    await relayed(warehouse, log, FILL.format("a", 1))
    warehouse.run(f"ALTER TABLE {warehouse.outbox.tables.sent.fullname} RENAME COLUMN hashes TO fields")
    await relayed(warehouse, log, *[FILL.format("a", 1)] * 2)
    assert emails(log) == ["a", "a"]
