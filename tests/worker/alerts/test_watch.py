"""What an alert looks at, whom it tells, and when."""

from __future__ import annotations

import time
from typing import Any

import pytest

from connectors.errors import UnknownConnection
from dead_letter.store.store import LetterStore
from tests.dead_letter.samples import a_letter
from tests.worker.alerts.conftest import World, alert_of
from topics.errors import LogUnavailable
from topics.outbox.definition import Trigger
from topics.outbox.engine import open_engine
from topics.outbox.outbox import Outbox
from topics.warehouse import warehouse_url
from worker.alerts.errors import BadAlert
from worker.alerts.watch import Watch
from worker.clock import FakeClock, SystemClock
from worker.refresher.leases import Leases
from worker.syncs.errors import SyncBusy

FAILED = "SELECT id, mail FROM imports WHERE failed ORDER BY id"


def _texts(events: list[Any]) -> list[str]:
    return [event.fields["text"] for event in events]


def test_a_query_with_rows_is_told_once_and_then_that_it_is_over(world: World) -> None:
    """One message with the rows below it while it holds, one when the query has none any more."""
    alert = alert_of(query=FAILED, text="{count} imports failed, the first is {mail}")

    nothing = world.look(alert)
    world.write("INSERT INTO imports VALUES (1, 'ada@acme.com', true), (2, 'bob@acme.com', true), (3, 'x', false)")
    began, goes_on = world.look(alert), world.look(alert)
    world.write("UPDATE imports SET failed = false")
    over, quiet = world.look(alert), world.look(alert)

    assert (nothing, goes_on, quiet) == ([], [], [])
    assert [(event.connection, event.object, event.fields["channel"]) for event in began] == [
        ("slack", "message", "QA")
    ]
    assert _texts(began) == [
        "2 imports failed, the first is ada@acme.com\n• id: 1, mail: ada@acme.com\n• id: 2, mail: bob@acme.com"
    ]
    assert _texts(over)[0].startswith("trouble: over, since ")


def test_rows_follow_in_the_thread_of_a_message_that_is_delivered(world: World) -> None:
    """As CSV, in messages that Slack takes; once, also when another process goes on; none under a dead letter."""
    world.write("INSERT INTO imports VALUES " + ", ".join(f"({n}, 'u{n}@acme.com', true)" for n in range(1, 301)))
    (message,) = world.look(alert_of(query=FAILED, rows=1, attach=250))
    world.watch.follow_up()
    early = world.says()
    world.ended(message, "delivered", "1722.0042")
    after = Watch(world.settings, world.store, world.log, SystemClock(), world.settings.alerts)
    after.follow_up()
    replies = world.says()
    after.follow_up()
    again = world.says()

    assert message.fields["text"] == "trouble: the query has 300 rows\n• id: 1, mail: u1@acme.com\n… and 299 more"
    assert (early, again) == ([], [])
    assert {(one.fields["channel"], one.fields["thread_ts"]) for one in replies} == {("QA", "1722.0042")}
    lines = [line for one in replies for line in one.fields["text"].splitlines() if line != "```"]
    assert lines == ["id,mail", *(f"{n},u{n}@acme.com" for n in range(1, 251))]
    assert max(len(one.fields["text"]) for one in replies) < 4_000

    (lost,) = world.look(alert_of(name="other", query=FAILED, attach=1))
    world.ended(lost, "dead", None)
    world.watch.follow_up()
    assert (world.says(), world.states.threads()) == ([], [])


def test_rows_elsewhere_are_a_file_or_a_field(world: World) -> None:
    """An email has them attached; where neither is known, the author says which field has them."""
    world.write("INSERT INTO imports VALUES (1, 'a, \"b\"\nc', true)")
    field = {"connection": "crm", "object": "contact", "operation": "add", "fields": {"email": "x", "note": "{csv}"}}
    mail, note = world.look(alert_of(query=FAILED, attach=5, to=["mail:qa@acme.com", field]))
    csv = 'id,mail\n1,"a, ""b"" c"\n'

    assert mail.fields["attachments"] == [{"filename": "trouble.csv", "content": csv}]
    assert note.fields["note"] == csv
    del field["fields"]["note"]  # type: ignore[attr-defined]
    with pytest.raises(BadAlert, match="for crm write"):
        world.watch.check(alert_of(query=FAILED, attach=5, to=field))


def test_a_query_that_fails_is_an_alert_and_ends_no_other(world: World) -> None:
    """Silence would be taken for good news: it says what the database said, once, and goes on when it can."""
    alert = alert_of(query=FAILED)
    world.write("INSERT INTO imports VALUES (1, 'ada@acme.com', true)")
    world.look(alert)
    world.write("ALTER TABLE imports RENAME TO renamed")

    broken, again = world.look(alert), world.look(alert)
    world.write("ALTER TABLE renamed RENAME TO imports")
    mended = world.look(alert)

    assert len(broken) == 1
    assert "the alert trouble cannot look: " in broken[0].fields["text"]
    assert "no such table: imports" in broken[0].fields["text"]
    assert again == []
    assert [text.split(",")[0] for text in _texts(mended)] == ["trouble: over"]


def test_a_connection_that_is_down_and_back(world: World) -> None:
    """With the reason and what to do; each connection is told for itself."""
    alert = alert_of(on=["down"])
    world.stands("crm", "down", "the token was revoked")
    down = world.look(alert)
    world.stands("crm", "active")
    back = world.look(alert)

    assert len(down) == 1
    assert "the connection crm is down: the token was revoked" in down[0].fields["text"]
    assert "writeback connections resume crm" in down[0].fields["text"]
    assert [text.split(",")[0] for text in _texts(back)] == ["trouble: over"]


def test_a_destination_that_is_down_does_not_swallow_its_own_alarm(world: World) -> None:
    """The message waits for it in its topic, and goes by the second way at once."""
    alert = alert_of(on=["down"], otherwise="mail:ops@acme.com")
    world.stands("slack", "down", "invalid_auth")

    told = world.look(alert)

    assert sorted(event.connection for event in told) == ["mail", "slack"]
    mail = next(event for event in told if event.connection == "mail")
    assert mail.fields["to"] == "ops@acme.com"
    assert mail.fields["subject"].startswith("trouble: the connection slack is down")


def test_open_letters_above_a_number_and_of_a_new_kind(world: World) -> None:
    """Counted by connection; each kind of refusal is told when its first letter comes."""
    store = LetterStore(world.store)
    world.look(number := alert_of(name="number", on="dead_letters", above=2))
    world.look(kind := alert_of(name="kind", on="new_dead_letters"))
    for place in range(3):
        store.save(a_letter(place, connection="crm"))

    many, new, goes_on = world.look(number), world.look(kind), world.look(kind)

    assert [text.split(".")[0] for text in _texts(many)] == ["number: crm has 3 open dead letters"]
    assert len(new) == 1
    assert "3 open dead letters of one kind" in new[0].fields["text"]
    assert goes_on == []


def test_a_relay_that_is_behind(world: World) -> None:
    """By the oldest row that waits in the outbox."""
    engine = open_engine(warehouse_url(world.settings.warehouse))
    trigger = Trigger.model_validate(
        {
            "name": "imports",
            "table": {"name": "imports"},
            "connection": "crm",
            "object": "contact",
            "key": ["id"],
            "fields": {"email": "mail"},
            "operations": {"insert": "add"},
        }
    )
    Outbox(engine).create(trigger)
    engine.dispose()
    world.write("INSERT INTO imports VALUES (1, 'ada@acme.com', false)")
    time.sleep(0.05)

    early = world.look(alert_of(name="early", on="relay_behind"))
    late = world.look(alert_of(name="late", on="relay_behind", behind="0.01s"))

    assert early == []
    assert "1 rows wait in the outbox of " in late[0].fields["text"]


def test_only_the_connections_that_were_asked_for(world: World) -> None:
    """The others are somebody else's."""
    world.stands("crm", "down", "gone")

    assert world.look(alert_of(name="theirs", on="down", connections=["mail"])) == []
    assert len(world.look(alert_of(name="ours", on="down", connections=["CRM"]))) == 1
    with pytest.raises(UnknownConnection, match="cmr"):
        world.watch.check(alert_of(on="down", connections=["cmr"]))


def test_what_could_not_be_told_is_told_at_the_next_look(world: World) -> None:
    """A log that is away: the alert says so where it is listed, and nothing is taken for told."""
    alert = alert_of(on="down")
    world.stands("crm", "down", "gone")
    away = pytest.MonkeyPatch()

    def refuse(_messages: object) -> None:
        raise LogUnavailable("the broker does not answer")

    away.setattr(world.watch._notifier, "tell", refuse)
    assert world.look(alert) == []
    assert world.states.standing("trouble").error == "the broker does not answer"
    away.undo()

    assert len(world.look(alert)) == 1
    assert world.states.standing("trouble").error == ""


def test_a_paused_alert_says_nothing_and_then_what_holds(world: World) -> None:
    """It is told anew: nobody has heard of it for a while."""
    alert = alert_of(on="down")
    world.stands("crm", "down", "gone")
    first = world.look(alert)
    world.states.pause("trouble", paused=True)
    paused = world.look(alert)
    world.states.pause("trouble", paused=False)

    assert (len(first), paused, len(world.look(alert))) == (1, [], 1)


def test_an_address_that_is_not_enough_is_said(world: World) -> None:
    """What a connector needs is known before anything is wrong; so is a place that only slack and email have."""
    with pytest.raises(BadAlert, match="a place alone is enough for slack and email"):
        world.watch.check(alert_of(on="down", to="crm:QA"))
    with pytest.raises(BadAlert, match="connection slack: add message needs channel"):
        world.watch.check(alert_of(on="down", to={"connection": "slack", "operation": "add", "fields": {"text": "x"}}))


def test_a_webhook_of_slack_has_one_channel(world: World) -> None:
    """It is told without one, and rows do not go along: there is no thread."""
    hook = {"webhook_url": "https://hooks.slack.com/services/x"}
    world.connections.add("hook", "slack", settings={"auth": "webhook"}, secrets=hook)
    told = {"connection": "hook", "object": "message", "operation": "add", "fields": {"text": "{text}"}}
    world.watch.check(alert_of(on="down", to=told))
    with pytest.raises(BadAlert, match="an incoming webhook has one channel of its own"):
        world.watch.check(alert_of(on="down", to="hook:QA"))
    with pytest.raises(BadAlert, match="for hook write"):
        world.watch.check(alert_of(query="SELECT 1", to=told, attach=5))


def test_the_watch_of_a_process_that_died_goes_on_in_another(world: World) -> None:
    """It asks again and again, and takes over when the other shows no sign of life."""
    clock = FakeClock()
    watch = Watch(world.settings, world.store, world.log, clock, world.settings.alerts)
    Leases(world.store).take("sync:*alerts", "dead")
    with pytest.raises(SyncBusy):
        watch._work()
    clock.advance(16)
    watch._work()
    assert Leases(world.store).held() == {}
