"""Raw calls to any API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from connectors.contract import Connector, Delivered, Down, Rejected, Retry, Throttled, Unknown
from connectors.errors import BadConnection, CallFailed
from connectors.registry import manifest
from connectors.saas.http.connector import RawConnector
from tests.conformance.connectors import NOW, SECRET, ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation, Options

TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
HTML = (("Content-Type", "text/html"),)


class TestContract(ConnectorContract):
    name = "http"
    object = "party"
    add: ClassVar = {"path": "/parties", "body": {"name": "Acme"}}
    update: ClassVar = {"path": "/parties/1", "body": {"name": "Acme"}}
    delete: ClassVar = {"path": "/parties/1"}
    queries: ClassVar = ({"path": "/parties/42"},)
    trusting = True

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


TEAMS = b"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error %d"


@pytest.mark.parametrize(
    ("settings", "told", "added", "updated"),
    [
        ({"success_when": "ok"}, Told(200, b'{"ok": true}'), Delivered, Delivered),
        ({"success_when": "ok"}, Told(200, b'{"error": "throttled by upstream"}'), Unknown, Retry),
        ({"success_when": "ok"}, Told(200, b""), Unknown, Retry),
        ({"success_when": "ok"}, Told(204), Unknown, Retry),
        ({"success_when": ["ok", "id"]}, Told(200, b'{"ok": true}'), Unknown, Retry),
        ({"success_when": "@ == '1'"}, Told(200, b"1", TEXT), Delivered, Delivered),
        ({"success_when": "@ == '1'"}, Told(200, TEAMS % 413, TEXT), Unknown, Retry),
        ({"success_when": "@ == 'ok'"}, Told(200, b"ok", (("Content-Type", "text/html"),)), Delivered, Delivered),
        ({"fails_when": "contains(@, 'failed')"}, Told(200, TEAMS % 413, TEXT), Rejected, Rejected),
        ({"fails_when": "contains(@, 'failed')"}, Told(200, b"1", TEXT), Delivered, Delivered),
        ({"fails_when": "contains(@, 'failed')"}, Told(200, b'{"id": 1}'), Delivered, Delivered),
        ({"fails_when": "error"}, Told(200, b'{"error": "no such list"}'), Rejected, Rejected),
        ({"fails_when": "error"}, Told(503, b'{"error": "busy"}'), Unknown, Retry),
        (
            {"fails_when": "@", "throttled_when": "contains(@, '429')"},
            Told(200, TEAMS % 429, TEXT),
            Throttled,
            Throttled,
        ),
        ({"media_type": "application/json"}, Told(200, b"ok", TEXT), Unknown, Retry),
        ({"media_type": "text/html"}, Told(200, b"<html>thanks</html>", HTML), Delivered, Delivered),
    ],
)
async def test_what_a_success_says(
    vendor: Vendor, settings: dict[str, Any], told: Told, added: type, updated: type
) -> None:
    """A connection can say what a success has in its body, and what a refusal inside a 200 looks like."""
    http = made(vendor.url, **settings)
    vendor.told = told
    verdicts = [(await http.deliver([event(operation, path="/hook", body={})]))[0] for operation in ("add", "update")]
    await http.close()

    assert [type(verdict) for verdict in verdicts] == [added, updated]


@pytest.mark.parametrize("status", [400, 401, 200])
async def test_a_token_that_is_refused(vendor: Vendor, status: int) -> None:
    """What OAuth says of tokens and clients holds the connection, whatever the status that comes with it."""
    http = made(vendor.url, fails_when="error")
    vendor.told = Told(status, b'{"error": "invalid_token", "error_description": "The token has expired"}')
    (verdict,) = await http.deliver([event("add", path="/a")])
    await http.close()

    assert isinstance(verdict, Down)
    assert verdict.reason.startswith(f"HTTP {status}: invalid_token: ")


async def test_the_evidence_of_a_text(vendor: Vendor) -> None:
    """A dead letter has the words of the hook."""
    http = made(vendor.url, fails_when="contains(@, 'failed')")
    vendor.told = Told(200, TEAMS % 413, TEXT)
    (verdict,) = await http.deliver([event("add", path="/hook", body={})])
    await http.close()

    assert isinstance(verdict, Rejected)
    assert verdict.reason == "HTTP 200: " + (TEAMS % 413).decode()
    assert verdict.evidence.excerpt == (TEAMS % 413).decode()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"success_when": "ok =="}, "success_when: 'ok ==' is not JMESPath"),
        ({"fails_when": ["error", "x("]}, r"fails_when: 'x\(' is not JMESPath"),
        ({"success_when": "ok == true"}, "true is a field's name in JMESPath; the value is written `true`"),
        ({"success_when": 'status == "sent"'}, "the text is written 'sent'"),
        ({"throttled_when": "has(@, 'x')"}, "no function has; it has abs, avg"),
        ({"throttled_when": "contains(@)"}, "contains takes 2 arguments, not 1"),
        ({"success_when": 1}, "not of type jmespath"),
        ({"success_when": [1]}, "not the text of a JMESPath expression"),
    ],
)
def test_bad_expressions(settings: dict[str, Any], words: str) -> None:
    """An expression that is none, or that can never be true, is refused with what is wrong with it."""
    with pytest.raises(BadConnection, match=words):
        made("http://127.0.0.1", **settings)


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
