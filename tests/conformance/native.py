"""What every connector keeps that speaks something else than HTTP: its test inherits ``NativeContract``.

Of the rows that ``ConnectorContract`` has for credentials, refused logins are in the tests of each connector, where the
server is that can refuse them. Others have no row, as there is no such thing: a token that expires or that somebody
else has refreshed (there are passwords), a skewed clock (nothing is signed with the time), a redirect (neither SMTP
nor SQL has one; that of an HTTP server is among ``NO_SERVERS``).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, ClassVar

import pytest

from connectors.contract import MAX_EXCERPT, CannotTell, Connector, Delivered, Down
from connectors.errors import CallFailed, UnknownFunction
from tests.conformance.vendor import refused_port
from topics.event.event import Event, Operation

NO_SERVERS = {
    "empty": b"",
    "truncated": b"22",
    "huge": b"220 " + b"x" * 10_000_000,
    "garbled": b"\xff\xfe\x00" * 100,
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
}
"""What somebody says who is no such server, before he hangs up."""


class NativeContract:
    """``name`` in the registry; ``good``: for each operation the fields of an event that is good."""

    name: ClassVar[str]
    object: ClassVar[str]
    good: ClassVar[dict[str, dict[str, Any]]]
    any_object: ClassVar[bool] = False
    """An object may have any name."""

    @pytest.fixture
    def connector(self) -> Connector:
        """One whose destination answers. The test that inherits provides it, and closes it."""
        raise NotImplementedError

    def at(self, port: int) -> Connector:
        """One whose destination is at this port of this machine."""
        raise NotImplementedError

    def guarded(self) -> Connector:
        """One whose destination is a private address that it has no leave to go to."""
        raise NotImplementedError

    def event(self, operation: str, fields: dict[str, Any] | None = None, **more: Any) -> Event:
        body = self.good[operation] if fields is None else fields
        given = {"operation": operation, "connection": "acme", "object": self.object, "fields": body, **more}
        return Event.model_validate(given)

    async def test_success(self, connector: Connector) -> None:
        """What is good is Delivered."""
        for operation in self.good:
            (verdict,) = await connector.deliver([self.event(operation)])
            assert isinstance(verdict, Delivered), (operation, verdict)

    async def test_out_of_reach(self) -> None:
        """Nothing was sent, and no record is to blame: Down, for every operation."""
        connector = self.at(int(refused_port().rpartition(":")[2]))
        verdicts = [await connector.deliver([self.event(operation)]) for operation in self.good]
        probed = await connector.probe()
        await connector.close()

        assert [type(verdict) for (verdict,) in verdicts] == [Down] * len(self.good)
        assert isinstance(probed, Down)

    @pytest.mark.parametrize("said", NO_SERVERS)
    async def test_who_is_no_server(self, said: str) -> None:
        """Whatever comes instead of a greeting, nothing was sent: Down, and no more of it is kept than an excerpt."""

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                writer.write(NO_SERVERS[said])
                await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            connector = self.at(server.sockets[0].getsockname()[1])
            (verdict,) = await connector.deliver([self.event(next(iter(self.good)))])
            probed = await connector.probe()
            await connector.close()

        assert isinstance(verdict, Down), verdict
        assert isinstance(probed, Down), probed
        assert len(repr(verdict)) <= MAX_EXCERPT

    async def test_private_addresses(self) -> None:
        """Without leave no connection is made to a private address."""
        connector = self.guarded()
        (verdict,) = await connector.deliver([self.event(next(iter(self.good)))])
        await connector.close()

        assert isinstance(verdict, Down)
        assert "allow_private_addresses" in verdict.reason

    async def test_probe(self, connector: Connector) -> None:
        """It answers, and lets us in."""
        assert isinstance(await connector.probe(), Delivered)

    async def test_what_it_does_not_have(self, connector: Connector) -> None:
        """Functions, questions and raw calls that are not there are refused by name."""
        if not self.any_object:
            with pytest.raises(
                UnknownFunction, match=rf"unknown function nothing\.\w+: connector {self.name} 1\.0 has"
            ):
                connector.function("nothing", Operation.DELETE)
        with pytest.raises(CallFailed, match="no raw calls"):
            await connector.call("/a")

    async def test_what_cannot_be_found(self, connector: Connector) -> None:
        """Who cannot be asked what became of a call says so."""
        operation = next(iter(self.good))
        if not connector.function(self.object, Operation(operation)).findable:
            assert isinstance((await connector.find([self.event(operation)]))[0], CannotTell)

    async def test_close_twice(self, connector: Connector) -> None:
        """Closing twice is closing, before the first call and after it."""
        await connector.close()
        await connector.close()
