"""The way out: what was surely not sent, and what may have been."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import httpx
import pytest

from connectors.engine.transport.addresses import AddressGuard
from connectors.engine.transport.failures import MaybeSent, NotSent, Unsendable
from connectors.engine.transport.meaning import MEANING, failure
from connectors.engine.transport.reply import MAX_READ
from connectors.engine.transport.session import Transport
from tests.conformance.vendor import Told, Vendor, refused_port


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    async with Vendor() as vendor:
        yield vendor


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(AddressGuard(allow=True))
    yield transport
    await transport.aclose()


def kinds(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", sorted(set(kinds(aiohttp.ClientError)), key=str))
def test_every_exception_has_its_meaning(kind: type[BaseException]) -> None:
    """An exception that a new version of the HTTP library brings along is noticed here."""
    assert kind in MEANING, (
        f"{kind.__name__}: was the request sent when this comes? Say it in connectors/engine/transport/failures.py"
    )


def test_an_unknown_exception_may_have_been_sent() -> None:
    """Whatever else comes out of a socket counts as maybe sent."""
    assert isinstance(failure(OSError("odd")), MaybeSent)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET", "POST"])
async def test_no_silent_repetition(vendor: Vendor, transport: Transport, method: str) -> None:
    """A request on a kept-alive connection that breaks is sent once, whatever its method."""
    await transport.exchange("GET", vendor.url, {}, None, seconds=5)
    vendor.told = Told(behaviour="close_read")
    with pytest.raises(MaybeSent) as caught:
        await transport.exchange(method, vendor.url, {}, b"{}", seconds=5)

    assert caught.value.kind == "connection"
    assert [request.method for request in vendor.received] == ["GET", method]


async def test_never_sent(transport: Transport) -> None:
    """A refused port and a name that does not resolve were surely not sent."""
    for url in (refused_port(), "http://no-such-host.invalid/"):
        with pytest.raises(NotSent):
            await transport.exchange("POST", url, {}, b"{}", seconds=5)


async def test_a_connection_that_is_not_answered_was_not_sent(transport: Transport) -> None:
    """A listening port whose queue is full never accepts: connecting times out, and nothing was sent."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.settimeout(0)
            filler.connect_ex(address)
            fillers.append(filler)
        with pytest.raises(NotSent):
            await transport.exchange("POST", f"http://127.0.0.1:{address[1]}", {}, b"{}", seconds=0.4)
        for filler in fillers:
            filler.close()


async def test_silence_may_have_been_sent(vendor: Vendor, transport: Transport) -> None:
    """A server that reads and says nothing may have done it."""
    vendor.told = Told(behaviour="hang")
    with pytest.raises(MaybeSent) as caught:
        await transport.exchange("POST", vendor.url, {}, b"{}", seconds=0.6)

    assert caught.value.kind == "no_answer"


@pytest.mark.parametrize(
    "headers", [{"X-A": "1\r\nX-B: 2"}, {"X-A": "caf\u00e9"}, {"X A": "1"}, {"": "1"}, {"X-A": "\x00"}]
)
async def test_unsendable_headers(vendor: Vendor, transport: Transport, headers: dict[str, str]) -> None:
    """A header that would start another one is refused before anything is sent."""
    with pytest.raises(Unsendable, match="cannot carry"):
        await transport.exchange("POST", vendor.url, headers, b"{}", seconds=5)

    assert vendor.connections == 0


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "nonsense"])
async def test_unsendable_urls(transport: Transport, url: str) -> None:
    """What is no HTTP address can never be sent."""
    with pytest.raises(Unsendable):
        await transport.exchange("GET", url, {}, None, seconds=5)


async def test_large_answers_are_cut(vendor: Vendor, transport: Transport) -> None:
    """No more than the limit is kept, the status is the answer, and the next request gets its own answer."""
    vendor.told = Told(200, b"x" * 3_000_000)
    cut = await transport.exchange("GET", vendor.url, {}, None, seconds=5, limit=1_000)
    vendor.told = Told(200, b"whole")
    whole = await transport.exchange("GET", vendor.url, {}, None, seconds=5, limit=1_000)

    assert (cut.status, cut.truncated, len(cut.body) <= 16_384) == (200, True, True)
    assert (whole.body, whole.truncated) == (b"whole", False)


async def test_a_small_answer_that_unpacks_to_a_large_one(vendor: Vendor, transport: Transport) -> None:
    """A compressed answer is cut by what it unpacks to."""
    vendor.told = Told(200, gzip.compress(b"x" * 50_000_000), (("Content-Encoding", "gzip"),))
    reply = await transport.exchange("GET", vendor.url, {}, None, seconds=20)

    assert (reply.truncated, len(reply.body)) == (True, MAX_READ)


async def test_large_requests_arrive(vendor: Vendor, transport: Transport) -> None:
    """A body of several MiB arrives whole."""
    body = bytes(range(256)) * 12_000
    await transport.exchange("POST", vendor.url, {}, body, seconds=20)

    assert vendor.received[0].body == body


async def test_as_httpx(vendor: Vendor, transport: Transport) -> None:
    """Whoever has an httpx request gets an httpx response, unpacked, and httpx's exceptions."""
    vendor.told = Told(201, gzip.compress(b'{"a": 1}'), (("Content-Encoding", "gzip"), ("X-A", "1"), ("X-A", "2")))
    request = httpx.Request("POST", vendor.url, json={"b": 2})
    response = await transport.handle_async_request(request)
    vendor.told = Told(behaviour="reset_read")
    with pytest.raises(httpx.ReadError):
        await transport.handle_async_request(request)
    with pytest.raises(httpx.ConnectError):
        await transport.handle_async_request(httpx.Request("GET", refused_port()))

    assert (response.status_code, response.json(), response.headers.get_list("x-a")) == (201, {"a": 1}, ["1", "2"])
    assert vendor.received[0].body == b'{"b":2}'


async def test_cancelling_gives_the_connection_up(vendor: Vendor, transport: Transport) -> None:
    """A call that is cancelled leaves no half-read connection for the next one."""
    vendor.told = Told(behaviour="hang")
    call = asyncio.create_task(transport.exchange("GET", vendor.url, {}, None, seconds=5))
    await vendor.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    vendor.told = Told(200, b"fresh")

    assert (await transport.exchange("GET", vendor.url, {}, None, seconds=5)).body == b"fresh"
    assert vendor.connections == 2


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
    ],
)
def test_addresses(address: str, public: bool) -> None:
    """Only public addresses are allowed, and no way of writing one gets around it."""
    assert AddressGuard().allows(address) is public


def test_a_list_of_networks() -> None:
    """A connection can open the networks it needs, and no others."""
    guard = AddressGuard(["10.1.0.0/16", "fd00::/8"])

    assert [guard.allows(one) for one in ("10.1.2.3", "fd00::1", "10.2.0.1", "127.0.0.1")] == [True, True, False, False]
