"""What every connector keeps that speaks something else than HTTP: its test inherits ``NativeContract``."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from connectors.contract import CannotTell, Connector, Delivered, Down
from connectors.errors import CallFailed, UnknownFunction
from topics.event.event import Event, Operation


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

    def unreachable(self) -> Connector:
        """One whose destination is not there."""
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
        connector = self.unreachable()
        verdicts = [await connector.deliver([self.event(operation)]) for operation in self.good]
        probed = await connector.probe()
        await connector.close()

        assert [type(verdict) for (verdict,) in verdicts] == [Down] * len(self.good)
        assert isinstance(probed, Down)

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
