"""What every connector keeps, whatever its SaaS: a connector's test inherits ``ConnectorContract``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar

import pytest

from connectors.contract import (
    MAX_EXCERPT,
    CannotTell,
    Connector,
    Delivered,
    Down,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    Verdict,
)
from connectors.engine.manifest import Manifest
from connectors.engine.runner.runner import HttpConnector
from connectors.errors import CallFailed, UnknownFunction, Unreachable
from connectors.registry import class_of, manifest
from tests.conformance.vendor import Told, Vendor, refused_port
from topics.event.event import Event, Operation, Options

NOW = 1_790_000_000.0
SECRET = "the-very-secret-token"
LARGE = b'{"message": "' + b"x" * 10_000_000 + b'"}'
PAGE = Told(
    200, b"\n<!DOCTYPE html><html>Scheduled maintenance</html>", (("Content-Type", "text/html; charset=utf-8"),)
)
NOT_ACCOUNTED_FOR = [
    Told(200, b""),
    Told(204),
    Told(200, b"null"),
    Told(200, b"{}"),
    Told(200, b"[]"),
    Told(200, b'"ok"'),
    Told(200, b'{"results": []}'),
    Told(200, b'{"results": [{}], "status": "COMPLETE"}'),
    Told(200, b'{"results": [], "status": "CANCELED"}'),
    Told(200, b'{"results": [{"x": 1}, {"x": 2}], "status": "PENDING"}'),
    Told(201, b'{"id": '),
    Told(200, b"\xff\xfe"),
    Told(201, LARGE),
    Told(201, b'{"id"', behaviour="break_body"),
]
"""Answers with a good status in which no vendor says that it has done something."""
NO_ANSWERS = [
    Told(400, b'{"message": "no such field"}'),
    Told(401),
    Told(403),
    Told(404, PAGE.body, PAGE.headers),
    Told(429, headers=(("Retry-After", "60"),)),
    Told(500),
    Told(503, b"", (("Retry-After", "60"),)),
    Told(302, headers=(("Location", "/elsewhere"),)),
    PAGE,
    Told(200, b'{"results": ['),
    Told(200, LARGE),
    Told(200, b"[]", behaviour="break_body"),
    Told(behaviour="reset_read"),
    Told(behaviour="garble"),
]
"""None of them says that there is no record."""
TELLS_NOTHING = [Told(200, b""), Told(204), Told(200, b"null"), Told(200, b'"ok"'), Told(200, b"{}")]
"""Nor does any of these, of a vendor whose answers are known."""


class ConnectorContract:
    """``name`` in the registry; ``add``, ``update``, ``delete``: the fields of an event that is good."""

    name: ClassVar[str]
    object: ClassVar[str]
    add: ClassVar[dict[str, Any]]
    update: ClassVar[dict[str, Any]]
    delete: ClassVar[dict[str, Any]]
    done: ClassVar[bytes] = b'{"id": "42"}'
    """The body of a success."""
    deleted: ClassVar[Told | None] = None
    """The answer to a deletion, where it is another."""
    sure: ClassVar[bool] = False
    """Adding twice under the same idempotency key is the same as once."""
    queries: ClassVar[tuple[dict[str, Any], ...]] = ({"id": "42"}, {"searchfield": "email", "searchterm": "x"}, {})
    """Of a script: get, findone and list; what the connector cannot be asked is passed over."""
    trusting: ClassVar[bool] = False
    """A 2xx is a success whatever it holds, but for a web page: nothing is known of this API."""

    def made(self, url: str, **settings: Any) -> Connector:
        settings = {"base_url": url, "allow_private_addresses": True, **settings}
        return class_of(self.name)(self.manifest(), settings, {"access_token": SECRET}, now=lambda: NOW)

    def event(self, operation: str, **options: Any) -> Event:
        return Event.model_validate(
            {
                "operation": operation,
                "connection": "acme",
                "object": self.object,
                "fields": getattr(self, operation),
                "options": Options(**options),
            }
        )

    @pytest.fixture
    async def vendor(self) -> AsyncIterator[Vendor]:
        async with Vendor(Told(body=self.done)) as vendor:
            yield vendor

    @pytest.fixture
    async def connector(self, vendor: Vendor) -> AsyncIterator[Connector]:
        connector = self.made(vendor.url)
        yield connector
        await connector.close()

    async def verdict(
        self, vendor: Vendor, connector: Connector, operation: str, told: Told, **options: Any
    ) -> Verdict:
        vendor.told = told
        (verdict,) = await connector.deliver([self.event(operation, **options)])
        return verdict

    def manifest(self) -> Manifest:
        return manifest(self.name)

    def success(self, operation: str) -> Told:
        return self.deleted if operation == "delete" and self.deleted is not None else Told(body=self.done)

    @pytest.mark.parametrize("operation", ["add", "update", "delete"])
    async def test_success(self, vendor: Vendor, connector: Connector, operation: str) -> None:
        """A success is Delivered, by exactly one request under the connection's credentials."""
        verdict = await self.verdict(vendor, connector, operation, self.success(operation))

        assert isinstance(verdict, Delivered)
        assert [SECRET in request.headers["authorization"] for request in vendor.received] == [True]

    @pytest.mark.parametrize("status", [400, 404, 410, 413, 422])
    async def test_refusals(self, vendor: Vendor, connector: Connector, status: int) -> None:
        """A definite no is Rejected, with the vendor's status and words."""
        verdict = await self.verdict(vendor, connector, "update", Told(status, b'{"message": "no such product"}'))

        assert isinstance(verdict, Rejected)
        assert (verdict.evidence.status, "no such product" in verdict.evidence.excerpt) == (status, True)
        assert not verdict.whole

    async def test_conflict(self, vendor: Vendor, connector: Connector) -> None:
        """409 is Rejected as a conflict: after an Unknown it may be our own earlier call."""
        verdict = await self.verdict(vendor, connector, "add", Told(409))

        assert isinstance(verdict, Rejected)
        assert verdict.conflict

    @pytest.mark.parametrize("status", [401, 403])
    async def test_credentials(self, vendor: Vendor, connector: Connector, status: int) -> None:
        """Refused credentials are Down: no record is to blame."""
        assert isinstance(await self.verdict(vendor, connector, "add", Told(status)), Down)

    @pytest.mark.parametrize("status", [404, 410])
    async def test_deleting_what_is_gone(self, vendor: Vendor, connector: Connector, status: int) -> None:
        """Deleting a record that is not there is Delivered: it is gone."""
        assert isinstance(await self.verdict(vendor, connector, "delete", Told(status)), Delivered)

    async def test_throttled_seconds(self, vendor: Vendor, connector: Connector) -> None:
        """429 with Retry-After in seconds carries the wait through."""
        verdict = await self.verdict(vendor, connector, "add", Told(429, headers=(("Retry-After", "37"),)))

        assert isinstance(verdict, Throttled)
        assert verdict.after == 37

    async def test_throttled_date(self, vendor: Vendor, connector: Connector) -> None:
        """429 with Retry-After as a date waits until then."""
        date = format_datetime(datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=90), usegmt=True)
        verdict = await self.verdict(vendor, connector, "add", Told(429, headers=(("Retry-After", date),)))

        assert isinstance(verdict, Throttled)
        assert verdict.after == 90

    @pytest.mark.parametrize("header", [(), (("Retry-After", "soon"),)])
    async def test_throttled_without_a_wait(
        self, vendor: Vendor, connector: Connector, header: tuple[tuple[str, str], ...]
    ) -> None:
        """429 without a usable Retry-After waits all the same."""
        verdict = await self.verdict(vendor, connector, "add", Told(429, headers=header))

        assert isinstance(verdict, Throttled)
        assert 1 <= verdict.after <= 3_600

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
    async def test_server_errors(self, vendor: Vendor, connector: Connector, status: int) -> None:
        """A 5xx may have done it: Unknown for what is not idempotent, Retry for what is."""
        assert isinstance(await self.verdict(vendor, connector, "add", Told(status)), self.unsure("add"))

        retry = await self.verdict(vendor, connector, "update", Told(status, headers=(("Retry-After", "7"),)))

        assert isinstance(retry, Retry)
        assert (retry.kind, retry.after) == ("server", 7)

    async def test_silence(self, vendor: Vendor, connector: Connector) -> None:
        """No answer in time: Unknown for what is not idempotent, Retry for what is."""
        hang = Told(behaviour="hang")

        assert isinstance(await self.verdict(vendor, connector, "add", hang, timeout_s=0.6), self.unsure("add"))

        retry = await self.verdict(vendor, connector, "update", hang, timeout_s=0.6)

        assert isinstance(retry, Retry)
        assert retry.kind == "no_answer"

    @pytest.mark.parametrize("behaviour", ["reset_unread", "reset_read", "close_read", "garble"])
    async def test_broken_connections(self, vendor: Vendor, connector: Connector, behaviour: Any) -> None:
        """A connection that breaks after it stood: Unknown for what is not idempotent, Retry for what is."""
        assert isinstance(await self.verdict(vendor, connector, "add", Told(behaviour=behaviour)), self.unsure("add"))

        retry = await self.verdict(vendor, connector, "update", Told(behaviour=behaviour))

        assert isinstance(retry, Retry)
        assert retry.kind == "connection"

    @pytest.mark.parametrize("operation", ["add", "update", "delete"])
    async def test_refused_port(self, operation: str) -> None:
        """Where nobody listens, nothing was sent: Down, for every operation."""
        connector = self.made(refused_port())
        (verdict,) = await connector.deliver([self.event(operation)])
        await connector.close()

        assert isinstance(verdict, Down)

    async def test_a_stale_connection_is_not_repeated(self, vendor: Vendor, connector: Connector) -> None:
        """A kept-alive connection that breaks under a request is not silently tried again."""
        await self.verdict(vendor, connector, "delete", self.success("delete"))
        verdict = await self.verdict(vendor, connector, "delete", Told(behaviour="close_read"))

        assert isinstance(verdict, Retry)
        assert (len(vendor.received), vendor.connections) == (2, 1)

    def test_what_a_real_answer_has_is_said(self) -> None:
        """Each request of the manifest says what a success has in its body, or that it has none (204)."""
        told = self.manifest()
        silent = [
            f"{kind}.{operation}.{name}"
            for kind, spec in told.objects.items()
            for operation, one in spec.operations.items()
            for name, request in (("request", one.request), ("batch", one.batch), ("find", one.find))
            if request is not None and not request.succeeds_when and request.success != [204]
        ]

        assert [place for place in silent if not told.succeeds_when] == []

    @pytest.mark.parametrize("operation", ["add", "update", "delete"])
    @pytest.mark.parametrize("page", [PAGE, Told(200, PAGE.body), Told(200, b"<p>", PAGE.headers)])
    async def test_the_page_of_a_proxy(self, vendor: Vendor, connector: Connector, operation: str, page: Told) -> None:
        """A web page is no answer of this vendor: Unknown for what is not idempotent, Retry for what is."""
        verdict = await self.verdict(vendor, connector, operation, page)

        assert isinstance(verdict, Unknown | Retry)
        assert isinstance(verdict, self.unsure(operation))
        assert "does not show that it was done" in verdict.reason

    @pytest.mark.parametrize("operation", ["add", "update", "delete"])
    @pytest.mark.parametrize("told", NOT_ACCOUNTED_FOR, ids=lambda told: told.body[:20].decode("latin-1"))
    async def test_answers_that_account_for_nothing(
        self, vendor: Vendor, connector: Connector, operation: str, told: Told
    ) -> None:
        """A 2xx that does not say that it was done is Unknown for what is not idempotent, Retry for what is."""
        verdict = await self.verdict(vendor, connector, operation, told)

        assert type(verdict) is self._without_proof(operation, told)

    @pytest.mark.parametrize("operation", ["add", "update", "delete"])
    @pytest.mark.parametrize("told", NOT_ACCOUNTED_FOR, ids=lambda told: told.body[:20].decode("latin-1"))
    async def test_batches_that_account_for_nothing(
        self, vendor: Vendor, connector: Connector, operation: str, told: Told
    ) -> None:
        """Nor is an event of a batch delivered by such an answer."""
        if connector.function(self.object, Operation(operation)).batch_max == 1:
            return
        vendor.told = told
        verdicts = await connector.deliver([self.event(operation), self.event(operation)])

        assert [type(verdict) for verdict in verdicts] == [self._without_proof(operation, told, batch=True)] * 2

    def _without_proof(self, operation: str, told: Told, *, batch: bool = False) -> type[Verdict]:
        if self.trusting or told == self.success(operation):
            return Delivered
        return self.unsure(operation, batch=batch)

    def unsure(self, operation: str, *, batch: bool = False) -> type[Verdict]:
        """What follows when nobody can say whether it was done; a batch is never repeated as it was."""
        return Unknown if operation == "add" and (batch or not self.sure) else Retry

    async def test_a_page_is_no_proof_of_a_deletion(self, vendor: Vendor, connector: Connector) -> None:
        """A proxy that knows no such path says nothing about the record; of an unknown API it may be the answer."""
        verdict = await self.verdict(vendor, connector, "delete", Told(404, PAGE.body, PAGE.headers))

        assert isinstance(verdict, Delivered if self.trusting else Rejected)

    async def test_large_refusal(self, vendor: Vendor, connector: Connector) -> None:
        """A refusal of 10 MB is a refusal, and is kept as a short excerpt."""
        verdict = await self.verdict(vendor, connector, "add", Told(400, LARGE))

        assert isinstance(verdict, Rejected)
        assert 0 < len(verdict.evidence.excerpt) <= MAX_EXCERPT

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_redirects(self, vendor: Vendor, connector: Connector, status: int) -> None:
        """A write does not follow a redirect: the credentials and the record stay with this vendor."""
        told = Told(status, headers=(("Location", vendor.url + "/elsewhere"),))

        assert isinstance(await self.verdict(vendor, connector, "add", told), Rejected)
        assert len(vendor.received) == 1

    async def test_no_secret_in_the_evidence(self, vendor: Vendor, connector: Connector) -> None:
        """A vendor that echoes the credentials does not get them into a dead letter."""
        verdict = await self.verdict(vendor, connector, "add", Told(400, f'{{"message": "not {SECRET}"}}'.encode()))

        assert isinstance(verdict, Rejected)
        assert SECRET not in repr(verdict)

    async def test_hostile_ids(self, vendor: Vendor, connector: Connector) -> None:
        """An event id with line breaks and emoji starts no header of its own."""
        event = self.event("add").model_copy(update={"id": "\r\nX-Evil: 1\r\n\u2603"})
        (verdict,) = await connector.deliver([event])

        assert isinstance(verdict, Delivered)
        assert "x-evil" not in vendor.received[0].headers

    async def test_probe(self, vendor: Vendor, connector: Connector) -> None:
        """A probe says up, credentials refused, throttled, or down."""
        up = await connector.probe()
        vendor.told = Told(401)
        refused = await connector.probe()
        vendor.told = Told(429, headers=(("Retry-After", "3"),))
        throttled = await connector.probe()
        vendor.told = Told(503)
        down = await connector.probe()

        assert [type(one) for one in (up, refused, throttled, down)] == [Delivered, Down, Throttled, Down]

    async def test_raw_call(self, vendor: Vendor, connector: Connector) -> None:
        """A raw call carries method, parameters, body and credentials, and answers with the JSON."""
        vendor.told = Told(200, b'{"ok": true, "n": 1}')
        answer = await connector.call("a/b", method="post", body={"x": 1}, params={"q": "a b"}, headers={"X-Own": "1"})
        (request,) = vendor.received

        assert (answer.status, answer.detail) == (200, {"ok": True, "n": 1})
        assert (request.method, request.path.replace("+", "%20"), request.body) == ("POST", "/a/b?q=a%20b", b'{"x":1}')
        assert SECRET in request.headers["authorization"]
        assert request.headers["x-own"] == "1"

    async def test_raw_call_that_fails(self, vendor: Vendor, connector: Connector) -> None:
        """A refused raw call raises with the status and the words; another host is not called at all."""
        vendor.told = Told(404, b"<html>no such page</html>")
        with pytest.raises(CallFailed, match="no such page") as caught:
            await connector.call("/a")
        with pytest.raises(CallFailed, match="connection of its own"):
            await connector.call("https://elsewhere.example/a")

        assert (caught.value.status, len(vendor.received)) == (404, 1)

    async def test_raw_call_of_too_much(self, vendor: Vendor, connector: Connector) -> None:
        """An answer that is too large to read is an error and not half an answer."""
        vendor.told = Told(200, LARGE)
        with pytest.raises(CallFailed, match="8 MiB"):
            await connector.call("/a")

    async def test_find(self, vendor: Vendor, connector: Connector) -> None:
        """Find tells, or says that it cannot; a vendor that is out of reach is no finding."""
        event = self.event("add")
        if not connector.function(event.object, event.operation).findable:
            assert isinstance((await connector.find([event]))[0], CannotTell)
            return
        for told in (Told(503), Told(429), Told(401), Told(behaviour="reset_read"), Told(200, b"{")):
            vendor.told = told
            with pytest.raises(Unreachable):
                await connector.find([event])

    @pytest.mark.parametrize("told", [*NO_ANSWERS, *TELLS_NOTHING], ids=lambda told: f"{told.status}{told.body[:12]!r}")
    async def test_reads_that_get_no_answer(self, vendor: Vendor, connector: Connector, told: Told) -> None:
        """An error is never mistaken for "not found", and a redirect is not followed."""
        if self.trusting and told in TELLS_NOTHING:
            return
        assert isinstance(connector, HttpConnector)
        assert connector.sender.pace is not None
        connector.sender.pace.sleep = _at_once
        vendor.told = told
        refused = 0
        for query in self.queries:
            try:
                page = await connector.read(self.object, query)
            except UnknownFunction:
                continue
            except CallFailed:
                refused += 1
            else:
                pytest.fail(f"{query} found {page}")
        assert refused
        assert "/elsewhere" not in [request.path for request in vendor.received]

    async def test_rate_headers(self, vendor: Vendor, connector: Connector) -> None:
        """Rate headers are handed out once per answer."""
        headers = (("X-RateLimit-Remaining", "3"), ("X-RateLimit-Reset", "20"), ("X-RateLimit-Limit", "100"))
        await self.verdict(vendor, connector, "add", Told(200, self.done, headers))
        quota = connector.quota()

        assert quota is not None
        assert (quota.limit, quota.remaining, quota.reset_after) == (100, 3, 20)
        assert connector.quota() is None

    async def test_private_addresses(self, vendor: Vendor) -> None:
        """Without leave no connection is made to a private address, by number or by name."""
        verdicts: list[Verdict] = []
        for url in (vendor.url, vendor.url.replace("127.0.0.1", "localhost")):
            connector = self.made(url, allow_private_addresses=False)
            verdicts += await connector.deliver([self.event("add")])
            await connector.close()

        assert [isinstance(verdict, Down) and "allow_private_addresses" in verdict.reason for verdict in verdicts] == [
            True,
            True,
        ]
        assert vendor.connections == 0

    async def test_close_twice(self, connector: Connector) -> None:
        """Closing twice is closing, before the first call and after it."""
        await connector.close()
        await connector.close()


async def _at_once(_seconds: float) -> None:
    """The pace of a vendor that is not there."""
