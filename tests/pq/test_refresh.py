"""``pq.refresh_connection``: what a script asks for, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import pq
import pq.testing
from connectors.connections.store import Connections
from connectors.errors import UnknownConnection
from pq._session import Session
from tests.pq.conftest import records
from topics.event.refresh import OwnWrites, RefreshRequest, decode
from topics.event.result import Outcome, Result, pack
from topics.log import Log, Partition
from topics.names import DEFAULT


@pytest.fixture
def asked(log: Log) -> Callable[[], list[RefreshRequest]]:
    def read() -> list[RefreshRequest]:
        places = [Partition(DEFAULT.refresh, number) for number in range(log.topics(DEFAULT.refresh)[DEFAULT.refresh])]
        ends = log.end_offsets(places)
        reader = log.reader(dict.fromkeys(places, 0))
        found: list[RefreshRequest] = []
        while len(found) < sum(ends.values()):
            found += [decode(record) for record in reader.poll(1.0)]
        reader.close()
        return found

    return read


def tell(log: Log, request: RefreshRequest, outcome: Outcome = "delivered", **more: Any) -> None:
    """What a refresher does for those who wait."""
    result = Result(
        request.id, outcome, request.connection, "everything", "refresh", None, DEFAULT.refresh, 0, 0, 1, 0.0, **more
    )
    producer = log.producer(name="tells")
    producer.send(DEFAULT.replies, key=request.id.encode(), value=pack([result]), partition=request.reply_to).result(10)
    producer.close(5.0)


def test_returns_at_once(session: Session, log: Log, asked: Callable[[], list[RefreshRequest]]) -> None:
    """A refresh that nobody waits for reads pending, with where to look, until it has ended: then the truth."""
    result = pq.refresh_connection(connection_name="Hubspot")
    pending = dict(result)
    pq.flush(10)
    [request] = asked()
    tell(log, request, detail={"run": "r1", "rows": {"contact": 3}, "seconds": 2.5})

    assert pending["status"] == "pending"
    assert "writeback refreshes hubspot" in pending["detail"]
    assert (request.connection, request.objects, request.full, request.source) == ("hubspot", None, False, "test")
    assert result == {"status": "success", "detail": {"run": "r1", "rows": {"contact": 3}, "seconds": 2.5}}


def test_a_failed_refresh_is_an_error(session: Session, log: Log, asked: Callable[[], list[RefreshRequest]]) -> None:
    """The reason and the dead letter's id; it was "completed" in the seed's system, whatever had happened."""
    result = pq.refresh_connection(connection_name="Hubspot")
    pq.flush(10)
    tell(log, asked()[0], "dead", reason="the far side says no", letter="abc")

    assert result == {"status": "error", "detail": "the far side says no (dead letter abc)"}


def test_waiting_has_an_end(session: Session) -> None:
    """With is_async=False and a timeout: no longer than that, and then it says what it waits for."""
    assert pq.refresh_connection(connection_name="Hubspot", is_async=False, timeout=0.2)["status"] == "pending"


def test_comes_after_own_writes(session: Session, asked: Callable[[], list[RefreshRequest]]) -> None:
    """The request names where the script's own writes on that connection lie, and nobody else's."""
    hubspot = pq.connect("Hubspot")
    for number in range(3):
        hubspot.upsert("contact", email=f"{number}@x.example")
    pq.connect("Slack").add("message", channel="x", text="y")
    pq.refresh_connection(connection_id=session.connections.get("Hubspot").id, objects=["contact", "deal"])
    pq.flush(10)
    [request] = asked()

    assert request.after == {0: OwnWrites(first=0, last=2)}
    assert request.objects == ("contact", "deal")


def test_full_resync(session: Session, asked: Callable[[], list[RefreshRequest]]) -> None:
    """Asks for everything from the beginning."""
    pq.full_resync(connection_name="Hubspot")
    pq.flush(10)
    assert [(request.full, request.objects) for request in asked()] == [(True, None)]


def test_update_connector(session: Session, connections: Connections) -> None:
    """Moves the connection to the newest version of its connector, and says so."""
    newest = connections.get("Hubspot").version
    connections._check = None
    connections.update("Hubspot", version="0.1")
    first, second = pq.update_connector("Hubspot"), pq.update_connector("Hubspot")

    assert connections.get("Hubspot").version == newest
    assert first == {"status": "success", "detail": f"Hubspot uses hubspot {newest} (it was 0.1)"}
    assert second["detail"] == f"Hubspot uses hubspot {newest}, the newest version"


def test_wrong_calls(session: Session, log: Log) -> None:
    """What names no connection, or objects that are no names, is refused at the line that says it."""
    with pytest.raises(UnknownConnection, match="Hubspot"):
        pq.refresh_connection(connection_name="Odo")
    with pytest.raises(pq.BadField, match="connection_name= or connection_id="):
        pq.refresh_connection()
    with pytest.raises(pq.BadField, match="objects"):
        pq.refresh_connection("Hubspot", objects=[])
    assert records(log, "writeback.results") == []


def test_in_tests_of_scripts() -> None:
    """A script that refreshes runs without a log, and the refresh is on the list of what it did."""
    with pq.testing.recorded() as sent:
        pq.connect("Odoo").update("product", id=1, name="x")
        result = pq.refresh_connection(connection_name="Odoo")
    assert [(write.connection, write.operation, write.object) for write in sent] == [
        ("Odoo", "update", "product"),
        ("Odoo", "refresh", "everything"),
    ]
    assert result["status"] == "success"
