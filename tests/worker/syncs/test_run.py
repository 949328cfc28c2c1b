"""A sync from the query to the log, on each warehouse."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
from sqlalchemy import insert

from connectors import registry
from connectors.connections.store import Connections
from connectors.contract import Connector, Delivered, Verdict
from connectors.errors import UnknownConnection
from connectors.sandbox.faults import Faults
from connectors.sandbox.odoo.wires import Odoo
from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running
from tests.worker.syncs.conftest import World, sync_of
from topics.errors import LogUnavailable
from topics.event.event import Event, Operation
from worker.clock import FakeClock
from worker.refresher.leases import Held, Lease, Leases, Watch
from worker.syncs.errors import BadSync, GuardStopped, PlanOutdated, SourceFailed, SyncBusy
from worker.syncs.plan import maker
from worker.syncs.plan.file import Line, PlanFile
from worker.syncs.run import lease, sending
from worker.syncs.run.lease import held
from worker.syncs.run.run import Asked
from worker.syncs.run.sending import Sender
from worker.syncs.snapshot.blocks import Blocks, Writer
from worker.syncs.snapshot.compare import Change
from worker.syncs.state.runs import Runs
from worker.syncs.state.syncs import Fenced, Standing, Syncs
from worker.syncs.tables import SYNCS


def raising(error: Exception) -> NoReturn:
    raise error


def test_first_everything_then_only_what_changed(any_world: World) -> None:
    """Added rows whole; of a changed row the changed fields and what tells the record; of an unchanged one nothing."""
    any_world.people(1, 3)
    first = any_world.run(sync_of()).run
    assert (first.state, first.read, first.added, first.sent) == ("ok", 3, 3, 3)
    assert [event.fields for event in any_world.deliver()] == [
        {"email": f"u{n}@acme.com", "firstname": f"U{n}", "age": n} for n in (1, 2, 3)
    ]

    any_world.write("UPDATE people SET age = 50 WHERE id = 2", "INSERT INTO people VALUES (9, 'z@acme.com', 'Z', 1, 9)")
    query = "SELECT email, name, age, CAST(id AS VARCHAR(9)) AS id FROM people -- 100 % of them: all"
    by_text = sync_of(query=query, table=None)
    second = any_world.run(sync_of()).run
    assert (second.read, second.unchanged, second.added, second.changed) == (4, 2, 1, 1)
    assert [event.fields for event in any_world.deliver()] == [
        {"email": "u2@acme.com", "age": 50},
        {"email": "z@acme.com", "firstname": "Z", "age": 1},
    ]

    third = any_world.run(by_text.model_copy(update={"name": "texts"})).run
    assert (third.read, third.sent) == (4, 4)
    again = any_world.run(by_text.model_copy(update={"name": "texts"})).run
    assert (again.unchanged, again.sent) == (4, 0)


def test_the_reckoning_follows_the_ledger(world: World) -> None:
    """Sent, delivered, dead, pending: each event in one of them, and a replayed letter is delivered after all."""
    world.people(1, 10)
    run = world.run(sync_of()).run
    world.refuse = lambda event: event.fields["age"] in {3, 4}
    events = world.deliver()
    counted = Runs(world.store).get(run.id)
    assert counted is not None
    assert (counted.sent, counted.delivered, counted.dead, counted.pending) == (10, 8, 2, 0)

    world.tell(next(event for event in events if event.fields["age"] == 3), "delivered")
    counted = Runs(world.store).get(run.id)
    assert counted is not None
    assert (counted.delivered, counted.dead) == (9, 1)


def test_a_dead_row_comes_again_when_it_changes_or_is_asked_for(world: World) -> None:
    """It is not taken for delivered: not sent while it stays as it is, and whole when it is sent again."""
    world.people(1, 3)
    world.refuse = lambda event: event.fields["email"] != "u3@acme.com"
    world.run(sync_of())
    world.deliver()
    world.refuse = lambda _event: False

    quiet = world.run(sync_of()).run
    assert (quiet.sent, quiet.unchanged) == (0, 3)
    world.write("UPDATE people SET age = 70 WHERE id = 1")
    world.run(sync_of())
    assert [event.fields for event in world.deliver()] == [{"email": "u1@acme.com", "firstname": "U1", "age": 70}]
    world.run(sync_of(), failed=True)
    assert [event.fields["email"] for event in world.deliver()] == ["u2@acme.com"]
    assert world.run(sync_of(), failed=True).run.sent == 0


def test_mirror_removes_what_is_gone(world: World) -> None:
    """By setting a field where the sync says so; diff leaves it alone."""
    world.people(1, 3)
    diff, mirror = sync_of(), sync_of(name="mirror", mode="mirror", removed={"lifecyclestage": "other"})
    for sync in (diff, mirror):
        world.run(sync)
    world.deliver()
    world.write("DELETE FROM people WHERE id = 2")
    assert world.run(diff).run.removed == 1
    assert world.events() == []
    world.run(mirror)
    assert [(one.operation, one.fields) for one in world.events()] == [
        (Operation.UPSERT, {"email": "u2@acme.com", "lifecyclestage": "other"})
    ]
    with pytest.raises(BadSync, match="connection Crm: delete contact needs id"):
        world.run(sync_of(mode="mirror"))


def test_a_deletion_that_died_is_sent_again_as_it_was(world: World) -> None:
    """With --failed: the same fields under the same key, so that it keeps its place among the record's events."""
    world.people(1, 3)
    sync = sync_of(mode="mirror", key=["email", "id"], map={"id": "id", "email": "email"})
    world.run(sync)
    world.deliver()
    world.refuse = lambda event: event.operation is Operation.DELETE
    world.write("DELETE FROM people WHERE id = 1", "UPDATE people SET email = 'new@acme.com' WHERE id = 2")
    world.run(sync)
    died = [event for event in world.deliver() if event.operation is Operation.DELETE]
    world.run(sync, failed=True)
    again = world.events()

    assert [event.fields["id"] for event in died] == [1, 2]
    assert [(event.operation, event.key, event.fields) for event in again] == [
        (Operation.DELETE, died[0].key, died[0].fields)
    ], "the record 2 has a row, under another key: it is not deleted"


def test_a_guard_stops_a_run_before_it_sends(world: World) -> None:
    """Until somebody says yes."""
    world.people(1, 300)
    world.run(sync_of())
    world.events()
    world.write("UPDATE people SET name = NULL")
    with pytest.raises(GuardStopped, match=r"300 of 300 rows would be sent.*firstname would become empty in 300"):
        world.run(sync_of())
    assert world.events() == []
    assert Runs(world.store).list("people")[0].state == "stopped"
    assert world.run(sync_of(), yes=True).run.sent == 300


def test_a_plan_is_done_as_it_was_made(world: World, tmp_path: Path) -> None:
    """What has changed since is not in it; and it is done once."""
    world.people(1, 3)
    plan, target = world.runner.plan(sync_of(), tmp_path / "plan")
    assert (plan.changes, plan.estimate.calls, target.fields(plan.counts.examples["added"][0])["age"]) == (3, 1, 1)
    world.people(4, 5)
    world.run(sync_of(), plan=PlanFile(tmp_path / "plan"))
    assert len(world.events()) == 3
    with pytest.raises(PlanOutdated, match="people has run since"):
        world.run(sync_of(), plan=PlanFile(tmp_path / "plan"))
    with pytest.raises(PlanOutdated, match="definition of people has changed"):
        world.run(sync_of(map={"email": "email"}), plan=PlanFile(tmp_path / "plan"))


def test_a_plan_beside_the_records_of_the_destination(world: World, tmp_path: Path) -> None:
    """One has it all already, one differs, one is not there; an API call each, and no more than were asked for."""
    world.people(1, 4)
    with running(Sandbox(latency=0.0)) as sandbox:
        settings = {"base_url": sandbox.url, "allow_private_addresses": True}
        Connections(world.store, world.settings.secret_key, check=registry.check).add(
            "Real", "hubspot", settings=settings, secrets={"access_token": "t"}
        )
        sync = sync_of(connection="Real", map={"email": "email", "name": "firstname"})
        plan, target = world.runner.plan(sync, tmp_path / "plan")
        for name, number in (("U1", 1), ("Other", 2)):
            body = {"properties": {"email": f"u{number}@acme.com", "firstname": name}}
            headers = {"Authorization": "Bearer t"}
            path = f"{sandbox.url}/crm/objects/2026-03/contacts"
            assert httpx.post(path, json=body, headers=headers).status_code == 201
        found = world.runner.at_the_destination(plan, target, 3)
    assert (found.looked, found.same, found.absent) == (3, 1, [3])
    assert found.differing == {2: {"firstname": ("Other", "U2")}}


def test_a_collation_of_its_own_does_no_harm(world: World) -> None:
    """A database that orders texts in another way is noticed, and the rows are sorted here."""
    world.write(
        "CREATE TABLE words (word TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER)",
        "INSERT INTO words VALUES ('a', 1), ('B', 2), ('c', 3), (NULL, 4)",
    )
    sync = sync_of(name="words", table="words", key="word", map={"word": "email", "n": "n"})
    ended = world.run(sync)
    assert (ended.run.sent, ended.run.refused, ended.refused[0].reason) == (3, 1, "the key word is NULL")
    assert world.run(sync).run.unchanged == 3


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"key": "name"}, SourceFailed, "two rows have the same key (name = 'U')"),
        ({"table": "poeple"}, SourceFailed, "no such table: poeple"),
        (
            {"map": {"emial": "email"}},
            BadSync,
            "no column 'emial'; they have id, email, name, age, changed_at. Did you",
        ),
        ({"map": {"firstname": "name"}}, BadSync, "Did you mean 'name'? A line of map is `column: field`."),
        ({"map": {"name": "firstname"}}, BadSync, "connection Crm: upsert contact needs email"),
        ({"warehouse": "finance"}, BadSync, "there is no warehouse 'finance'; there are dw"),
        ({"query": "DELETE FROM people RETURNING *", "table": None}, SourceFailed, "the warehouse sqlite"),
    ],
)
def test_what_is_wrong_is_named(world: World, changes: dict[str, object], error: type[Exception], said: str) -> None:
    """Before anything is sent."""
    world.write("INSERT INTO people VALUES (1, 'a@acme.com', 'U', 1, 1), (2, 'b@acme.com', 'U', 1, 1)")
    with pytest.raises(error) as raised:
        world.run(sync_of(**changes))
    assert said in str(raised.value)
    assert world.events() == []


def test_a_row_that_cannot_be_sent_is_told_and_the_others_go(world: World) -> None:
    """Each time, until it is mended; it is not taken for sent."""
    world.write("INSERT INTO people VALUES (1, 'a@acme.com', x'00ff', 1, 1), (2, 'b@acme.com', 'B', 1, 1)")
    for sent in (1, 0):
        ended = world.run(sync_of())
        assert (ended.run.sent, ended.run.refused) == (sent, 1)
        assert "firstname is bytes" in ended.refused[0].reason
    world.write("UPDATE people SET name = 'A' WHERE id = 1")
    assert world.run(sync_of()).run.added == 1


def test_one_run_at_a_time(world: World) -> None:
    """Another one hears who runs it."""
    monotonic = world.runner.clock.monotonic
    with held(world.store, "people", monotonic=monotonic), pytest.raises(SyncBusy, match="sync people is run by"):
        world.run(sync_of())
    Syncs(world.store).set_due("people", 10.0)
    with pytest.raises(SyncBusy, match="has just run it"):
        world.run(sync_of(), due=10.0)


def test_the_sync_of_a_process_that_died_runs_again(world: World) -> None:
    """Whoever asks again and again takes it over, without waiting; a look at a busy one asks the warehouse nothing."""
    clock = FakeClock()
    runner = replace(world.runner, clock=clock)
    Leases(world.store).take("sync:people", "dead")
    with pytest.raises(SyncBusy, match="run by dead"):
        runner.run(sync_of(table="poeple"), Asked("a test"))
    clock.advance(16)
    assert runner.run(sync_of(), Asked("a test")).run.state == "ok"


def test_a_holder_that_was_superseded_finishes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease is older than the one that counts: it may not claim, begin or go on, and sends nothing."""
    monkeypatch.setattr(sending, "SETTLE_S", 0.0)
    world.people(1, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Sender, "_send", lambda *_: raising(LogUnavailable("gone")))
        with pytest.raises(LogUnavailable):
            world.run(sync_of())
    syncs, runs = Syncs(world.store), Runs(world.store)
    (theirs,) = runs.unfinished("people")
    with (
        held(world.store, "people", monotonic=world.runner.clock.monotonic) as slow,
        world.runner.planner(sync_of()) as planner,
    ):
        syncs.claim("people", slow.epoch + 1)
        for late in (
            lambda: syncs.claim("people", slow.epoch),
            lambda: runs.begin("people", "crm", "diff", run="s", epoch=slow.epoch, asked_by="late", now=2.0),
            lambda: runs.leave(theirs, slow.epoch, now=2.0),
            lambda: runs.adopt(theirs, slow.epoch),
            lambda: world.runner._begin(planner.target, slow, Asked("late")),
        ):
            with pytest.raises(Fenced, match="another process has taken it over"):
                late()
    assert (runs.unfinished("people"), world.events()) == ([theirs], [])


def test_a_batch_does_not_lock_the_store_for_long() -> None:
    """A thousand events, or blocks of the snapshot that take as long to write; those that stay are cheap."""
    few = [Line(position, None, [Change("removed", key, {}) for key in range(10)]) for position in range(100)]
    one = [Line(None, None, [Change("added", key, {}) for key in range(1_000)])]
    none = [Line(position, b"digest", []) for position in range(400)]

    assert [len(batch) for batch in sending._batches(few)] == [17] * 5 + [15]
    assert [len(batch) for batch in sending._batches([*one, *one, *none])] == [1, 1, 200, 200]


def test_blocks_are_prepared_while_others_can_write(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unpacking and packing blocks is most of a batch's time, and SQLite lets one process write at a time."""
    world.people(1, 3)
    world.run(sync_of())
    world.write("UPDATE people SET age = 50 WHERE id = 2")
    real, written = Writer.apply, list[int]()

    def apply(writer: Writer, *given: Any) -> int:
        grown = real(writer, *given)
        with closing(sqlite3.connect(str(world.store.url.database), timeout=0.0)) as other, other:
            written.append(other.execute("UPDATE syncs SET paused = paused").rowcount)
        return grown

    monkeypatch.setattr(Writer, "apply", apply)
    assert world.run(sync_of()).run.changed == 1
    assert written == [1]


def test_a_batch_may_change_a_block_more_than_once(world: World) -> None:
    """The second change finds what the first has prepared, also where it was emptied meanwhile."""
    writer, store = Writer(world.store, "people", []), world.store
    with store.begin() as connection:
        writer.append([Change("added", key, {"n": key}) for key in (1, 2)], None)
        writer.write(connection)
    (block,) = Blocks(store, "people").index()
    for changes in (
        [Change("removed", 1, {}), Change("changed", 2, {"n": 20})],
        [Change("removed", 2, {})],
        [Change("added", 2, {"n": 200})],
        [Change("added", 3, {"n": 3})],
    ):
        writer.apply(block.position, changes, None)
    assert Blocks(store, "people").rows(block.position) == {1: {"n": 1}, 2: {"n": 2}}
    with store.begin() as connection:
        writer.write(connection)
    assert Blocks(store, "people").rows(block.position) == {2: {"n": 200}, 3: {"n": 3}}


@pytest.mark.parametrize("rows", [4, 9])
def test_a_lease_that_is_lost_ends_the_run_before_more_is_sent(
    world: World, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """Also while it only waits for the log; the next run finds what the log got, and sends the rest."""
    world.people(1, rows)
    clock, leases = FakeClock(), Leases(world.store)
    monkeypatch.setattr(sending, "SETTLE_S", 0.0)
    monkeypatch.setattr(sending, "LOOK_S", 0.01)
    monkeypatch.setattr(lease, "PULSE_SECONDS", 60.0)
    with monkeypatch.context() as patch:
        producer = world.log.producer()
        real, sent = producer.send, Counter[str]()

        def send(*given: Any, **named: Any) -> Any:
            sent["events"] += 1
            if sent["events"] < 4:
                return real(*given, **named)
            clock.advance(16)  # it stood still, another has the lease, and the log does not answer
            assert isinstance(leases.take("sync:people", "another", dead=leases.held()["sync:people"]), Lease)
            return Future()

        patch.setattr(producer, "send", send)
        patch.setattr(world.log, "producer", lambda **_: producer)
        with pytest.raises(Fenced, match="sync people: another process has taken the lease"):
            replace(world.runner, clock=clock).run(sync_of(), Asked("a test"))
    leases.release(Lease("sync:people", 2))
    first = [event.id for event in world.events()]
    world.run(sync_of())
    again = [event.id for event in world.events()]
    assert (len(first), len(again), sent["events"]) == (3, rows - 3, 4)
    assert not {*first} & {*again}


def test_a_lease_outlives_a_silence_in_which_nobody_took_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of ten million rows takes minutes, and a disk that stood still meanwhile is no reason to give it up."""
    monkeypatch.setattr(lease, "PULSE_SECONDS", 0.01)
    clock = FakeClock()
    with lease.held(world.store, "people", monotonic=clock.monotonic) as mine:
        clock.advance(60)
        assert _until(lambda: not mine.lost)
        clock.advance(60)
        Leases(world.store).release(mine.lease)
        Leases(world.store).take("sync:people", "another")
        assert _until(lambda: mine._taken)


def test_a_run_whose_pulse_never_comes_through_keeps_its_lease(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has no queue of writers: one that writes all the time keeps its own pulse out. Each batch is a pulse."""
    monkeypatch.setattr(lease, "PULSE_SECONDS", 3_600.0)
    monkeypatch.setattr(sending, "BATCH_EVENTS", 1)
    monkeypatch.setattr(maker, "BLOCK", 2)
    world.people(1, 10)
    clock, watch, leases = FakeClock(), Watch(), Leases(world.store)
    real, dead = Sender._send, list[bool]()

    def send(sender: Sender, events: Any) -> Any:
        clock.advance(9)
        dead.append(watch.dead("people", leases.held()["sync:people"], clock.monotonic()))
        return real(sender, events)

    monkeypatch.setattr(Sender, "_send", send)
    ended = replace(world.runner, clock=clock).run(sync_of(), Asked("a test"))
    assert (ended.run.state, ended.run.sent) == ("ok", 10)
    assert dead == [False] * 5


def test_a_silence_before_an_event_asks_the_store_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was suspended sends nothing before it knows that the lease is its own still, and then goes on."""
    monkeypatch.setattr(lease, "PULSE_SECONDS", 3_600.0)
    clock, leases = FakeClock(), Leases(world.store)
    with lease.held(world.store, "people", monotonic=clock.monotonic) as mine:
        seen = leases.held()["sync:people"]
        clock.advance(60)
        mine.keep()
        assert not mine.lost
        assert isinstance(leases.take("sync:people", "another", dead=seen), Held)
        clock.advance(60)
        assert isinstance(leases.take("sync:people", "another", dead=leases.held()["sync:people"]), Lease)
        with pytest.raises(Fenced):
            mine.keep()
        with pytest.raises(Fenced), mine.writing() as connection:
            connection.execute(insert(SYNCS).values(name="late", paused=False, epoch=1, version=0, rows=0))
    assert Syncs(world.store).standing("late") == Standing("late")
    assert leases.held()["sync:people"].holder == "another"


def test_a_heartbeat_counts_from_when_it_came_through(world: World) -> None:
    """One that waited for the store for longer than a lease lasts is no old one."""
    clock = FakeClock()
    with lease.held(world.store, "people", monotonic=clock.monotonic) as mine, mine.writing():
        clock.advance(60)
    assert mine.silent_for == 0


def _until(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return done()


@pytest.mark.parametrize("mode", ["diff", "full"])
def test_reset_sends_everything_again(world: World, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """As if nothing had ever been sent, also after a run that was cut off: its batch and its place are forgotten."""
    monkeypatch.setattr(sending, "SETTLE_S", 0.0)
    monkeypatch.setattr(sending, "BATCH_EVENTS", 2)
    sync = sync_of(mode=mode, query="SELECT * FROM people", table=None)
    world.people(1, 5)
    monkeypatch.setattr(maker, "BLOCK", 2)
    with monkeypatch.context() as patch:
        settle, batches = Sender._settle, []

        def cut_off(sender: Sender, *given: Any) -> None:
            batches.append(given)
            if len(batches) == 2:
                raise LogUnavailable("gone")
            settle(sender, *given)

        patch.setattr(Sender, "_settle", cut_off)
        with pytest.raises(LogUnavailable):
            world.run(sync)
    world.events()
    Syncs(world.store).reset("people")
    run = world.run(sync).run
    assert (run.added, len(world.events()), run.attempt) == (5, 5, 1)
    assert Runs(world.store).unfinished("people") == []


def test_what_fails_before_it_begins_is_in_the_history(world: World) -> None:
    """Once, with how often it was tried: a warehouse that is away for a night does not fill the list."""
    for _ in range(3):
        with pytest.raises(SourceFailed):
            world.run(sync_of(table="poeple"))
    with pytest.raises(UnknownConnection):
        world.run(sync_of(connection="nowhere"))
    found = Runs(world.store).list("people")
    assert [(run.state, run.attempt, run.connection) for run in found] == [
        ("failed", 1, "nowhere"),
        ("failed", 3, "Crm"),
    ]
    assert "no such table: poeple" in found[1].error


def test_a_field_under_its_other_name_is_not_missing(world: World) -> None:
    """What a connection lacks is asked in one way: a sync may send name where an account is found by its Name."""
    settings = {"base_url": "https://acme.my.salesforce.com", "unique": {"account": "Name"}}
    connections = Connections(world.store, world.settings.secret_key, check=registry.check)
    connections.add("Sf", "salesforce", settings=settings, secrets={"access_token": "t"})
    sync = sync_of(connection="Sf", object="account", map={"name": "name", "email": "website"})
    with world.runner.planner(sync) as planner:
        assert planner.target.always == {"added": ("name",), "changed": ("name",)}


ALIKE: dict[str, tuple[str, dict[str, Any], dict[str, str], dict[str, str]]] = {
    "odoo": (
        "contact",
        {"database": "odoo", "username": "admin"},
        {"api_key": "good"},
        {"id": "external_id", "name": "name", "email": "email"},
    ),
    "salesforce": (
        "contact",
        {"unique": {"contact": "external_id__c"}},
        {"access_token": "t"},
        {"id": "External_Id__c", "name": "name", "email": "email"},
    ),
    "google_sheets": (
        "Leads",
        {"spreadsheet_id": "sandbox", "unique": {"Leads": "email"}},
        {"access_token": "t"},
        {"email": "Email", "name": "name", "age": "age"},
    ),
    "xero": (
        "contact",
        {},
        {"access_token": "t"},
        {"id": "ContactNumber", "name": "name", "email": "email"},
    ),
    "sql": ("customer", {"keys": {"customer": "number"}}, {}, {"id": "number", "name": "name", "age": "age"}),
}
"""What is synced to each connector: the kind of record, settings, secrets, and the map of a row."""


@pytest.mark.parametrize("name", ALIKE)
def test_a_plan_beside_the_records_of_any_destination(world: World, tmp_path: Path, name: str) -> None:
    """Whatever the vendor calls a field and however it writes a value back: same, differing, and not there."""
    kind, settings, secrets, mapping = ALIKE[name]
    world.people(1, 3)
    with running(Sandbox(latency=0.0, odoo=Odoo(Faults(), key="good"))) as sandbox:
        settings = {"allow_private_addresses": True, "base_url": sandbox.url, **settings}
        if name == "sql":
            with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
                shop.execute("CREATE TABLE customer (number INTEGER PRIMARY KEY, name TEXT, age REAL)")
            settings = {"url": f"sqlite:///{tmp_path / 'shop.db'}", "keys": settings["keys"]}
        store = Connections(world.store, world.settings.secret_key, check=registry.check)
        made = store.add("Real", name, settings=settings, secrets=secrets, limits={"rate": 1_000})
        plan, target = world.runner.plan(
            sync_of(connection="Real", object=kind, map=mapping, operation="upsert"), tmp_path / "plan"
        )
        for given in ({"name": "U1", "age": 1}, {"name": "Other", "age": 2}):
            row = {"id": given["age"], "email": f"u{given['age']}@acme.com", **given}
            fields = {field: row[column] for column, field in mapping.items()}
            event = Event(operation=Operation.UPSERT, connection="real", object=kind, fields=fields)
            [verdict] = asyncio.run(delivered(registry.build(made, secrets), event))
            assert isinstance(verdict, Delivered), verdict
        found = world.runner.at_the_destination(plan, target, 3)

    assert (found.looked, found.same, found.absent) == (3, 1, [3])
    assert [list(one.values()) for one in found.differing.values()] == [[("Other", "U2")]]


async def delivered(connector: Connector, event: Event) -> list[Verdict]:
    try:
        return await connector.deliver([event])
    finally:
        await connector.close()


@pytest.mark.parametrize(
    ("name", "object_name", "settings", "mapping", "said"),
    [
        (
            "slack",
            "message",
            {},
            {"email": "channel", "name": "text", "id": "ts"},
            "cannot read message.find: this connector reads message.list",
        ),
        ("http", "person", {"base_url": "http://127.0.0.1:9"}, {"email": "path"}, "http has no get, list or findone"),
    ],
)
def test_a_destination_that_cannot_be_looked_at(  # noqa: PLR0917
    world: World,
    tmp_path: Path,
    name: str,
    object_name: str,
    settings: dict[str, Any],
    mapping: dict[str, str],
    said: str,
) -> None:
    """Refused by its name, and by what it lacks."""
    world.people(1, 1)
    store = Connections(world.store, world.settings.secret_key, check=registry.check)
    store.add("Real", name, settings=settings, secrets={"access_token": "t"})
    plan, target = world.runner.plan(
        sync_of(connection="Real", object=object_name, map=mapping, key="email", operation="add", mode="full"),
        tmp_path / "plan",
    )

    with pytest.raises(SourceFailed, match=f"Real cannot be looked at.*{said}"):
        world.runner.at_the_destination(plan, target, 3)


def test_a_plan_that_removes_beside_the_destination(world: World, tmp_path: Path) -> None:
    """A record that is to be removed differs as long as it is there; one that is gone is as the sync wants it."""
    world.people(1, 3)
    with running(Sandbox(latency=0.0)) as sandbox:
        settings = {"base_url": sandbox.url, "allow_private_addresses": True, "spreadsheet_id": "sandbox"}
        store = Connections(world.store, world.settings.secret_key, check=registry.check)
        store.add(
            "Real",
            "google_sheets",
            settings={**settings, "unique": {"Leads": "email"}},
            secrets={"access_token": "t"},
            limits={"rate": 1_000},
        )
        sync = sync_of(
            connection="Real", object="Leads", key="email", map={"email": "email"}, operation="upsert", mode="mirror",
            removed="delete",
        )  # fmt: skip
        world.run(sync)
        world.write("DELETE FROM people WHERE id < 3")
        sandbox.google_sheets.books["sandbox"].write("Leads!A1", [["email"], ["u1@acme.com"]], entered=False)
        plan, target = world.runner.plan(sync, tmp_path / "plan")
        found = world.runner.at_the_destination(plan, target, 5)

    assert (found.looked, found.same, found.absent) == (2, 1, [])
    assert found.differing == {"u1@acme.com": {"record": ("there", "removed")}}
