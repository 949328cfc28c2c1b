"""Raw calls to any API."""

from __future__ import annotations

import json
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
        ({"path": "/a", "headers": {"Authorization": "x"}}, "it belongs to the connection (--secret access_token)"),
        ({"path": "/a", "headers": {"X-A": "1\r\nX-Evil: 1"}}, "X-A"),
        ({"path": "/a", "headers": {"X A": "1"}}, "X A"),
        ({"path": "/a", "headers": "X-A: 1"}, "not an object"),
        ({"path": "/a", "params": [1]}, "not an object"),
    ],
)
async def test_calls_that_are_refused(vendor: Vendor, fields: dict[str, Any], words: str) -> None:
    """A call that is not right is refused where it is written; in a log it is Rejected, and nothing is sent."""
    http = made(vendor.url)
    refused = http.refuses("thing", Operation.ADD, fields)
    (verdict,) = await http.deliver([event("add", **fields)])
    await http.close()

    assert refused is not None
    assert words in refused
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


ITEMS = [[{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}], [{"id": 5}]]


def pages_of(**more: Any) -> list[Told]:
    """Three pages; ``more`` by name: what each of the three has besides its items."""
    return [
        Told(body=json.dumps({"items": items, **{name: values[place] for name, values in more.items()}}).encode())
        for place, items in enumerate(ITEMS)
    ]


async def everything(http: RawConnector, object_name: str, **query: Any) -> list[Any]:
    """The ids of all pages, as a script's ``records`` goes through them."""
    page = await http.read(object_name, query)
    found = [*page.detail]
    while page.bookmark is not None:
        page = await http.read(object_name, query, page.bookmark)
        found += page.detail
    return [record["id"] for record in found]


@pytest.mark.parametrize(
    ("query", "more", "paths"),
    [
        (
            {"pages": "bookmark", "next": "meta.next", "param": "after", "params": {"q": 1}},
            {"meta": [{"next": "a"}, {"next": "b&c"}, {"next": ""}]},
            ["/api/p?q=1", "/api/p?q=1&after=a", "/api/p?q=1&after=b%26c"],
        ),
        ({"pages": "offset", "param": "skip", "page_size": 2}, {}, ["?skip=0", "?skip=2", "?skip=4"]),
        ({"pages": "number", "param": "page", "page_size": 2, "first": 0}, {}, ["?page=0", "?page=1", "?page=2"]),
        ({"pages": "url", "next": "next"}, {"next": ["/p?x=1", "/p?x=2", None]}, ["", "?x=1", "?x=2"]),
    ],
)
async def test_pages_of_a_read(
    vendor: Vendor, query: dict[str, Any], more: dict[str, list[Any]], paths: list[str]
) -> None:
    """All pages, each once, by what the API leads on with."""
    vendor.script = pages_of(**more)
    http = made(vendor.url + "/api")
    found = await everything(http, "party", path="/p", records="items", **query)
    await http.close()

    assert found == [1, 2, 3, 4, 5]
    assert [one.path for one in vendor.received] == [path if path[:1] == "/" else f"/api/p{path}" for path in paths]


async def test_pages_by_the_link_header(vendor: Vendor) -> None:
    """RFC 8288; an address of another host is not followed: the credentials stay at home."""
    first, second, last = pages_of()
    link = (("Link", f'<{vendor.url}/p?page=2>; rel="next", <{vendor.url}/p>; rel="first"'),)
    vendor.script = [Told(200, first.body, link), last]
    http = made(vendor.url)
    found = await everything(http, "party", path="/p", records="items", pages="link")
    vendor.script = [Told(200, second.body, (("Link", '<https://evil.example/p>; rel="next"'),))]
    page = await http.read("party", {"path": "/p", "records": "items", "pages": "link"})
    with pytest.raises(CallFailed, match="connection of its own"):
        await http.read("party", {"path": "/p", "records": "items", "pages": "link"}, page.bookmark)
    await http.close()

    assert found == [1, 2, 5]


async def test_pages_of_a_resource(vendor: Vendor) -> None:
    """What the connection says of its resources is what a refresh and a script read alike."""
    resources = {
        "party": {"all": {"path": "/p", "params": {"after": "$bookmark?"}, "records": "items", "bookmark": "next"}}
    }
    vendor.script = pages_of(next=["a", "b", None])
    http = made(vendor.url, resources=resources)
    found = await everything(http, "party")
    with pytest.raises(CallFailed, match=r"a read needs path.*; its resources are party"):
        await http.read("order", {})
    with pytest.raises(CallFailed, match="it takes no limit"):
        await http.read("party", {"limit": 1})
    await http.close()

    assert found == [1, 2, 3, 4, 5]
    assert [request.path for request in vendor.received] == ["/p", "/p?after=a", "/p?after=b"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"path": "/p", "pages": "sideways"}, "it is one of url, bookmark, offset, number, link"),
        ({"path": "/p", "pages": "bookmark", "next": "n"}, "pages=bookmark needs param"),
        (
            {"path": "/p", "pages": "number", "param": "page", "page_size": 0},
            "page_size: .* greater than or equal to 1",
        ),
        ({"path": "/p", "next": "n"}, "next: say how the pages follow each other"),
        ({"path": "/p", "limit": 1}, "does not take limit; it takes first, headers"),
        ({"path": "/p", "records": "x("}, "is not JMESPath"),
        ({"path": "/p", "pages": "link", "records": "none"}, "no list of records at 'none'"),
    ],
)
async def test_reads_that_are_refused(vendor: Vendor, query: dict[str, Any], words: str) -> None:
    """What does not say how to go on is refused, and no filter is ignored."""
    http = made(vendor.url)
    with pytest.raises(CallFailed, match=words):
        await http.read("party", query)
    await http.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"path": "/a", "headers": {"X-API-Key": "k"}}, "the header X-API-Key looks like a credential"),
        ({"path": "/a", "headers": {"Api-Token": "k"}}, "--set api_key_header=Api-Token"),
        ({"path": "/a", "headers": {"x-auth-token": "k"}}, "the header x-auth-token"),
        ({"path": "/a", "headers": {"Proxy-Authorization": "k"}}, "the header Proxy-Authorization"),
        ({"path": "/a", "params": {"api_key": "k"}}, "the parameter api_key"),
        ({"path": "/a?x=1&access_token=k"}, "the parameter access_token"),
        ({"path": "/a", "params": {"mine": "k"}}, "--set query_api_key_name=mine"),
        ({"path": "https://u:p@erp.example.com/a"}, "the user in the path"),
        (
            {
                "path": "/a",
                "headers": {"X-Request-Id": "1", "X-Author": "a"},
                "params": {"page_token": "x", "key": "n"},
            },
            None,
        ),
        ({"path": "/users", "body": {"password": "first-one"}}, None),
    ],
)
async def test_credentials_in_an_event(vendor: Vendor, fields: dict[str, Any], words: str | None) -> None:
    """What looks like a credential is refused before it is kept in a log and in letters, and where it is sent."""
    http = made(vendor.url, api_key_header="Api-Token", query_api_key_name="mine")
    refused = http.refuses("party", Operation.ADD, fields)
    (verdict,) = await http.deliver([event("add", **fields)])
    await http.close()

    assert (refused is None) == (words is None)
    assert isinstance(verdict, Delivered if words is None else Rejected)
    assert words is None or (words in str(refused) and not vendor.received)


def test_keys() -> None:
    """What happens to one record's path happens in order; a list that is posted to is no record."""
    http = made("http://127.0.0.1")

    assert http.record_key("party", Operation.UPDATE, {"path": "/parties/1"}) == "/parties/1"
    assert http.record_key("party", Operation.UPDATE, {"path": "/parties", "method": "post"}) is None
    assert http.record_key("party", Operation.ADD, {"path": "/parties"}) is None
    assert http.record_key("party", Operation.DELETE, {"path": "/" + "x" * 2_000}) != http.record_key(
        "party", Operation.DELETE, {"path": "/" + "x" * 2_001}
    )
