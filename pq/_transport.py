"""The seam of pq: what a handle needs. In earnest ``Session`` and ``Channel``, in tests of scripts ``pq.testing``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pq.receipt import Receipt
from topics.event.event import Operation

if TYPE_CHECKING:
    from connectors.connections.store import Connection
    from connectors.contract import Answer, Page


class Channel(Protocol):
    """One connection."""

    @property
    def connection(self) -> Connection: ...

    def write(
        self,
        operation: Operation,
        object_name: str,
        fields: dict[str, Any],
        *,
        timeout: bool | float = False,
        searchfield: str | None = None,
    ) -> Receipt: ...

    def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None) -> Page: ...

    def call(self, path: str, **request: Any) -> Answer: ...

    def settle_writes(self, seconds: float) -> bool: ...


class Transport(Protocol):
    """One process."""

    def channel(self, name: str | int) -> Channel: ...

    def refresh(self, name: str | int, objects: Sequence[str] | None, *, full: bool, wait_s: float) -> Receipt: ...

    def update_connector(self, name: str | int) -> str: ...

    def get_state(self, script: str) -> Any: ...

    def set_state(self, script: str, value: Any) -> None: ...

    def list_connections(self) -> list[Connection]: ...

    def say(self, message: str, *values: object) -> None: ...

    def flush(self, seconds: float | None = None) -> None: ...

    def close(self) -> None: ...
