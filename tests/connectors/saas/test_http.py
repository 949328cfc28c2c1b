"""Raw calls to any API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from connectors.contract import Connector, Delivered, Rejected, Retry, Unknown
from connectors.errors import BadConnection, CallFailed
from connectors.registry import manifest
from connectors.saas.http.connector import RawConnector
from tests.conformance.connectors import NOW, SECRET, ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation, Options


class TestContract(ConnectorContract):
    name = "http"
    object = "party"
    add: ClassVar = {"path": "/parties", "body": {"name": "Acme"}}
    update: ClassVar = {"path": "/parties/1", "body": {"name": "Acme"}}
    delete: ClassVar = {"path": "/parties/1"}

    def made(self, url: str, **settings: Any) -> Connector:
        return made(url, {"access_token": SECRET}, **settings)


def made(url: str, secrets: dict[str, str] | None = None, **settings: Any) -> RawConnector:
    settings = {"base_url": url, "allow_private_addresses": True, **settings}
    return RawConnector(manifest("http"), settings, secrets or {}, now=lambda: NOW)


def event(operation: str, options: Options | None = None, **fields: Any) -> Event:
    body = {"operation": operation, "connection": "erp", "object": "party", "fields": fields, "id": "the-event"}
    return Event.model_validate({**body, "options": options or Options()})


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor(Told(body=b'{"id": 7}')) as vendor:
        yield vendor


@pytest.mark.parametrize(
    ("operation", "method"),
    [("add", "POST"), ("message", "POST"), ("update", "PATCH"), ("upsert", "PUT"), ("delete", "DELETE")],
)
async def test_methods(vendor: Vendor, operation: str, method: str) -> None:
    """Each operation has its method, and an event can name another."""
    http = made(vendor.url)
    await http.deliver([event(operation, path="/parties/1")])
    await http.deliver([event(operation, path="/parties/1", method="put")])
    await http.close()

    assert [request.method for request in vendor.received] == [method, "PUT"]


async def test_everything_of_a_call(vendor: Vendor) -> None:
    """Path, parameters, headers and body arrive as the event has them."""
    http = made(vendor.url + "/api/", headers={"X-Tenant": "t1"})
    params = {"q": "a&b", "ids": [1, 2], "ok": True}
    (verdict,) = await http.deliver([event("add", path="é x", params=params, headers={"X-Own": 1}, body=[1, None])])
    await http.deliver([event("add", path="/text", headers={"Content-Type": "text/csv"}, body="a,b")])
    await http.close()
    first, second = vendor.received

    assert isinstance(verdict, Delivered)
    assert verdict.id == "7"
    assert first.path == "/api/%C3%A9%20x?q=a%26b&ids=1%2C2&ok=true"
    assert (first.body, first.headers["x-tenant"], first.headers["x-own"]) == (b"[1,null]", "t1", "1")
    assert first.headers["content-type"] == "application/json"
    assert (second.body, second.headers["content-type"]) == (b"a,b", "text/csv")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "needs path"),
        ({"path": "https://elsewhere.example/x"}, "connection of its own"),
        ({"path": "//elsewhere.example/x"}, "connection of its own"),
        ({"path": "/a/../../x"}, "climbs out"),
        ({"path": "/a", "name": "Acme"}, "not 'name'"),
        ({"path": "/a", "method": "BREW"}, "none of DELETE, GET"),
        ({"path": "/a", "headers": {"Authorization": "x"}}, "own business"),
        ({"path": "/a", "headers": {"X-A": "1\r\nX-Evil: 1"}}, "X-A"),
        ({"path": "/a", "headers": {"X A": "1"}}, "X A"),
        ({"path": "/a", "headers": "X-A: 1"}, "not an object"),
        ({"path": "/a", "params": [1]}, "not an object"),
    ],
)
async def test_calls_that_are_refused(vendor: Vendor, fields: dict[str, Any], words: str) -> None:
    """A call that is not right is Rejected with what is wrong, and nothing is sent."""
    http = made(vendor.url)
    (verdict,) = await http.deliver([event("add", **fields)])
    await http.close()

    assert isinstance(verdict, Rejected)
    assert words in verdict.reason
    assert vendor.received == []


async def test_idempotent_by_method_and_by_header(vendor: Vendor) -> None:
    """An add by PUT may be repeated; a POST only under the API's idempotency header, which carries the event's id."""
    vendor.told = Told(500)
    plain, sure = made(vendor.url), made(vendor.url, idempotency_header="Idempotency-Key")
    verdicts = [
        (await plain.deliver([event("add", path="/a")]))[0],
        (await plain.deliver([event("add", path="/a", method="PUT")]))[0],
        (await sure.deliver([event("add", path="/a")]))[0],
        (await sure.deliver([event("add", Options(idempotency_key="mine"), path="/a")]))[0],
    ]
    await plain.close()
    await sure.close()

    assert [type(verdict) for verdict in verdicts] == [Unknown, Retry, Retry, Retry]
    assert [request.headers.get("idempotency-key") for request in vendor.received] == [None, None, "the-event", "mine"]
    assert not plain.function("party", Operation.ADD).idempotent
    assert sure.function("party", Operation.ADD).idempotent


@pytest.mark.parametrize(
    ("secrets", "settings", "header", "path"),
    [
        ({"access_token": "t0ken"}, {}, ("authorization", "Bearer t0ken"), "/a"),
        ({"password": "pass"}, {"username": "u"}, ("authorization", "Basic " + b64encode(b"u:pass").decode()), "/a"),
        ({"api_key": "k3y"}, {}, ("x-api-key", "k3y"), "/a"),
        ({"api_key": "k3y"}, {"api_key_header": "Api-Token"}, ("api-token", "k3y"), "/a"),
        ({"query_api_key": "k&y"}, {}, ("authorization", None), "/a?api_key=k%26y"),
        ({}, {}, ("authorization", None), "/a"),
    ],
)
async def test_ways_in(
    vendor: Vendor, secrets: dict[str, str], settings: dict[str, str], header: tuple[str, str | None], path: str
) -> None:
    """Bearer, basic, a key in a header, a key in the query, nothing: by what the connection has."""
    http = made(vendor.url, secrets, **settings)
    await http.deliver([event("add", path="/a")])
    await http.call("/a")
    await http.close()

    assert [(request.headers.get(header[0]), request.path) for request in vendor.received] == [(header[1], path)] * 2


def test_half_of_the_credentials() -> None:
    """A password without a user name is a mistake and not a connection without credentials."""
    with pytest.raises(BadConnection, match=r"basic needs username( or |;)"):
        made("http://127.0.0.1", {"password": "x"})


async def test_reading(vendor: Vendor) -> None:
    """A read is a GET; ``records`` says where they are."""
    http = made(vendor.url)
    vendor.told = Told(200, b'{"items": [{"id": 1}, {"id": 2}]}')
    page = await http.read("party", {"path": "/parties", "params": {"q": 1}, "records": "items"})
    vendor.told = Told(404, b'{"message": "no such thing"}')
    with pytest.raises(CallFailed, match="no such thing"):
        await http.read("party", {"path": "/parties"})
    await http.close()

    assert [record["id"] for record in page.detail] == [1, 2]
    assert [request.path for request in vendor.received] == ["/parties?q=1", "/parties"]


def test_keys() -> None:
    """What happens to one record's path happens in order; a list that is posted to is no record."""
    http = made("http://127.0.0.1")

    assert http.record_key("party", Operation.UPDATE, {"path": "/parties/1"}) == "/parties/1"
    assert http.record_key("party", Operation.UPDATE, {"path": "/parties", "method": "post"}) is None
    assert http.record_key("party", Operation.ADD, {"path": "/parties"}) is None
    assert http.record_key("party", Operation.DELETE, {"path": "/" + "x" * 2_000}) != http.record_key(
        "party", Operation.DELETE, {"path": "/" + "x" * 2_001}
    )
