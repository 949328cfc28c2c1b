"""pq on the embedded log: what it writes, and how outcomes come back."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import pq
from connectors.connections.standing import Standing
from connectors.connections.store import Connections
from connectors.errors import UnknownConnection, UnknownFunction
from pq import _channel, _handle
from pq._session import Session
from topics.errors import RecordRefused
from topics.event.event import Event, Operation
from topics.event.result import ConnectionState
from topics.log import Commit, Log, Partition

Emitted = Callable[[str], list[Event]]
Answer = Callable[..., None]


def test_what_a_worker_reads(session: Session, emitted: Emitted) -> None:
    """A call is one event on the connection's topic, with the record's id as its ordering key."""
    pq.connect("Hubspot").update("contact", id=101, phone="1", timeout=True)
    pq.flush()

    (event,) = emitted("hubspot")
    assert (event.operation, event.connection, event.object, event.key) == (
        Operation.UPDATE,
        "hubspot",
        "contact",
        "101",
    )
    assert event.fields == {"id": 101, "phone": "1"}
    assert (event.options.short, event.options.reply_to, event.source) == (True, session.inbox.partition, "test")


def test_a_message_is_a_message(session: Session, emitted: Emitted) -> None:
    """The seed's add("message") goes out under the operation that the connector has for it, in order per channel."""
    pq.connect("slack").add("message", channel="QA", text="x")
    pq.flush()

    (event,) = emitted("slack")
    assert (event.object, event.key, event.fields) == ("message", "qa", {"channel": "QA", "text": "x"})
    assert event.operation in {Operation.MESSAGE, Operation.ADD}


def test_delivered(session: Session, emitted: Emitted, answer: Answer) -> None:
    """The receipt reads what the vendor answered."""
    receipt = pq.connect("Hubspot").add("contact", email="john@acme.com")
    pq.flush()
    answer(emitted("hubspot")[0], detail={"id": "101"})

    assert receipt == {"status": "success", "detail": {"id": "101"}}


def test_dead(session: Session, emitted: Emitted, answer: Answer) -> None:
    """The receipt reads the vendor's words and the letter."""
    receipt = pq.connect("Hubspot").add("contact", email="john@acme.com")
    pq.flush()
    answer(emitted("hubspot")[0], "dead", reason="HTTP 409: exists", letter="abc")

    assert receipt == {"status": "error", "detail": "HTTP 409: exists (dead letter abc)"}


def test_a_loop_is_pipelined_and_answers_may_come_in_any_order(
    session: Session, emitted: Emitted, answer: Answer
) -> None:
    """Nothing waits in the loop; each receipt gets its own answer."""
    hubspot = pq.connect("Hubspot")
    receipts = [hubspot.update("contact", id=number, phone="1") for number in range(200)]
    pq.flush()
    for event in reversed(emitted("hubspot")):
        answer(event, detail=event.fields["id"])

    assert [receipt["detail"] for receipt in receipts] == list(range(200))


def test_other_peoples_answers_are_passed_over(
    session: Session, log: Log, connections: Connections, emitted: Emitted, answer: Answer
) -> None:
    """A partition of replies is shared by many scripts."""
    receipt = pq.connect("Hubspot").add("contact", email="john@acme.com")
    pq.flush()
    (event,) = emitted("hubspot")
    answer(event.model_copy(update={"id": "somebody-else"}), "dead", reason="not ours")
    answer(event, detail={"id": "101"})

    assert receipt["status"] == "success"


def test_a_script_that_never_looks_keeps_no_answered_receipts(
    session: Session, emitted: Emitted, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory is bounded by what is unanswered."""
    monkeypatch.setattr("pq._inbox.HOUSEKEEPING", 10)
    hubspot = pq.connect("Hubspot")
    for number in range(9):
        hubspot.update("contact", id=number)
    pq.flush()
    for event in emitted("hubspot"):
        answer(event)
    hubspot.update("contact", id=9)

    assert len(session.inbox.unanswered()) == 1


def test_pending_without_a_worker(session: Session) -> None:
    """The detail says that no worker has read it, and how to start one."""
    receipt = pq.connect("Hubspot").add("contact", email="x@acme.com")
    pq.flush()

    answer = receipt.wait(0)
    assert answer["status"] == "pending"
    assert answer["detail"] == (
        "the connection waits: no worker: none runs on this store; start one: `writeback up`, or `writeback worker`"
    )


def test_pending_on_a_paused_connection(session: Session, connections: Connections) -> None:
    """The detail gives the operator's reason."""
    receipt = pq.connect("Hubspot").add("contact", email="x@acme.com")
    connections.set_state("hubspot", "paused", "budget is used up")

    assert receipt.wait(0) == {
        "status": "pending",
        "detail": "the connection waits: paused: budget is used up; "
        "`writeback connections resume hubspot` lets it go on",
    }


@pytest.mark.parametrize("state", ["waiting", "throttled", "half-open", "down", "held"])
def test_pending_as_a_worker_says(session: Session, connections: Connections, state: ConnectionState) -> None:
    """The detail is what the worker says of the connection, when nothing goes out, as every other view has it."""
    receipt = pq.connect("Hubspot").add("contact", email="x@acme.com")
    pq.flush()
    connections.saw("w1", "here:7", 1, [Standing("hubspot", state, "no key", 7.0, 77.0)])

    assert receipt.wait(0) == {
        "status": "pending",
        "detail": f"the connection waits: {connections.standings()['hubspot']}",
    }


def test_pending_under_a_worker_that_has_only_begun(session: Session, connections: Connections) -> None:
    """Nothing is committed yet, but a worker has the connection: it is not said that nobody reads."""
    receipt = pq.connect("Hubspot").add("contact", email="x@acme.com")
    pq.flush()
    connections.saw("w1", "here:7", 1, [Standing("hubspot", "active")])

    assert "it is the worker's turn" in receipt.wait(0)["detail"]


@pytest.mark.parametrize(("done", "told"), [(0, "1 earlier event is before it"), (1, "it is the worker's turn")])
async def test_pending_behind_others(
    session: Session, connections: Connections, log: Log, done: int, told: str
) -> None:
    """The detail says how many are before it, or that it is tried."""
    connections.saw("w1", "here:7", 1)
    hubspot = pq.connect("Hubspot")
    hubspot.add("contact", email="x@acme.com")
    receipt = hubspot.add("contact", email="x@acme.com")
    pq.flush()
    await commit(log, done)

    assert told in receipt.wait(0)["detail"]


async def commit(log: Log, offset: int) -> None:
    """As a worker that is that far."""
    place = Partition("writeback.events.hubspot", 0)

    class Rebalance:
        assigned_places: list[Partition] = []  # noqa: RUF012 - one in a test

        def assigned(self, commits: object) -> None:
            self.assigned_places.append(place)

        async def revoked(self, partitions: object) -> dict[Partition, Commit]:
            return {}

        def lost(self, partitions: object) -> None: ...

        def unreadable(self, found: object) -> None: ...

    rebalance = Rebalance()
    consumer = log.consumer("writeback-worker", pattern=r"writeback\.events\.hubspot", rebalance=rebalance)
    await consumer.start()
    while not rebalance.assigned_places:
        await consumer.poll(0.1)
    await consumer.commit({place: Commit(offset)})
    await consumer.close()


def test_an_impatient_script_is_told_what_it_waits_for(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A script that seems to hang says why, on stderr."""
    monkeypatch.setattr(_channel, "IMPATIENCE_S", 0.01)
    receipt = pq.connect("Hubspot").add("contact", email="x@acme.com")
    pq.flush()
    receipt.wait(0.02)

    (told,) = caplog.messages
    assert told.startswith("waiting for an outcome on Hubspot: the connection waits: no worker: none runs")


def test_no_credential_reaches_the_log(session: Session, connections: Connections, emitted: Emitted) -> None:
    """A raw call with a key of its own is refused where it is written, whatever its ordering key; a clean one goes."""
    connections.add(
        "Erp", "http", settings={"base_url": "http://127.0.0.1:9", "allow_private_addresses": True}, secrets={}
    )
    erp = pq.connect("Erp")
    with pytest.raises(pq.BadField, match="the header X-Api-Key looks like a credential"):
        erp.add("order", path="/orders", headers={"X-Api-Key": "s3cret"}, body={})
    with pytest.raises(pq.BadField, match="the parameter token looks like a credential"):
        erp.update("order", path="/orders/1?token=s3cret", body={})
    erp.add("order", path="/orders", body={"password": "of a new user"})
    pq.flush()

    assert [event.fields["path"] for event in emitted("erp")] == ["/orders"]


def test_a_script_hears_of_its_mistakes_at_its_own_line(session: Session, emitted: Emitted) -> None:
    """Unknown names, unknown functions, values and sizes that cannot be: raised by the call, nothing is sent."""
    hubspot = pq.connect("Hubspot")

    with pytest.raises(UnknownConnection, match=r"Hubspot, Slack"):
        pq.connect("Odoo")
    with pytest.raises(
        UnknownFunction, match=r"unknown function invoice\.add: connector hubspot 1\.0 has contact\.add"
    ):
        hubspot.add("invoice", amount=5)
    with pytest.raises(pq.BadField, match="amount is nan"):
        hubspot.add("deal", amount=float("nan"))
    with pytest.raises(pq.BadField, match="dealname holds half a surrogate pair"):
        hubspot.add("deal", dealname="\ud800")
    with pytest.raises(RecordRefused, match="bytes"):
        hubspot.add("deal", dealname="x" * 1_100_000)
    with pytest.raises(pq.BadField, match="timeout is -1"):
        hubspot.add("deal", dealname="x", timeout=-1)
    pq.flush()
    assert (emitted("hubspot"), session.inbox.unanswered()) == ([], [])


def test_reads_come_after_the_scripts_own_writes(
    session: Session, emitted: Emitted, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read waits for the outcomes of this script's writes on that connection."""
    hubspot, slack = pq.connect("Hubspot"), pq.connect("Slack")
    hubspot.update("contact", id=1)
    slack.add("message", channel="QA", text="never answered, and of another connection")
    pq.flush()
    (event,) = emitted("hubspot")
    channel = session.channel("Hubspot")
    before = channel.settle_writes(0)
    answer(event)

    assert (before, channel.settle_writes(5)) == (False, True)


def test_a_read_waits_no_longer_than_its_bound(
    session: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Writes that do not arrive delay a read, and it says so; the vendor is asked all the same."""
    monkeypatch.setattr(_handle, "SETTLE_S", 0.01)
    monkeypatch.setenv("WRITEBACK_SECRET_KEY", "irrelevant")
    hubspot = pq.connect("Hubspot")
    hubspot.update("contact", id=1)

    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        hubspot.get("contact", id=1)
    assert "some of this script's writes have not arrived there" in caplog.text


def test_threads_share_one_session(session: Session, emitted: Emitted, answer: Answer) -> None:
    """Several threads write and wait at the same time; nothing is lost or mixed up."""
    hubspot = pq.connect("Hubspot")
    seen: dict[int, object] = {}

    def work(first: int) -> None:
        receipts = {number: hubspot.update("contact", id=number) for number in range(first, first + 50)}
        for number, receipt in receipts.items():
            seen[number] = receipt["detail"]

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    answered: set[str] = set()
    while len(answered) < 200:
        for event in emitted("hubspot"):
            if event.id not in answered:
                answered.add(event.id)
                answer(event, detail=event.fields["id"])
    for thread in threads:
        thread.join(20)

    assert seen == {number: number for start in (0, 100, 200, 300) for number in range(start, start + 50)}


def test_connections_are_listed_without_secrets(session: Session) -> None:
    """What there is to connect to."""
    assert pq.list_connections() == [
        {"id": 1, "name": "Hubspot", "connector": "hubspot", "state": "active"},
        {"id": 2, "name": "Slack", "connector": "slack", "state": "active"},
    ]


def test_an_upsert_that_no_property_can_identify(session: Session, emitted: Emitted) -> None:
    """It is refused at its line, with the command that names a property; what the line names is taken."""
    hubspot = pq.connect("Hubspot")
    with pytest.raises(pq.BadField, match=r"has none of its own.*connections set Hubspot --set unique="):
        hubspot.upsert("deal", dealname="x")
    hubspot.upsert("deal", searchfield="number", searchterm=7, dealname="x")
    hubspot.upsert("contact", searchfield="email", searchterm="a@b.c")
    pq.flush()

    assert [event.fields for event in emitted("hubspot")] == [
        {"dealname": "x", "number": 7, "searchfield": "number", "searchterm": 7},
        {"email": "a@b.c"},
    ]


def test_the_key_column_of_one_line(session: Session, connections: Connections, emitted: Emitted) -> None:
    """A sheet, like any kind of record that no manifest lists, is changed by the column that the line names."""
    settings = {"spreadsheet_id": "s", "unique": {"Leads": "email"}}
    connections.add("Sheets", "google_sheets", settings=settings, secrets={"access_token": "t"})
    sheets = pq.connect("Sheets")
    sheets.upsert("Prices", searchfield="sku", searchterm="A-7", price=9.95)
    sheets.delete("Report", rows="all")
    with pytest.raises(pq.BadField, match="connections set Sheets --set unique="):
        sheets.update("Prices", price=9)
    pq.flush()

    assert [(event.key, event.fields) for event in emitted("sheets")] == [
        ("a-7", {"price": 9.95, "sku": "A-7", "searchfield": "sku", "searchterm": "A-7"}),
        (None, {"rows": "all"}),
    ]
