"""Tests of scripts without a log, a worker or a vendor.

with pq.testing.recorded() as sent:
    runpy.run_path("sync_contacts.py")
assert sent == [Write("Hubspot", "add", "contact", {"email": "john@acme.com"})]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any, NamedTuple

from connectors.connections.store import Connection
from connectors.contract import Answer, Page
from pq import _current
from pq._values import to_json_fields
from pq.receipt import Receipt
from topics.event.event import Operation, new_id

Reading = Callable[[str, str, Mapping[str, Any]], list[dict[str, Any]]]


class Write(NamedTuple):
    """What a script wrote: ``connection`` is the name that the script gave."""

    connection: str
    operation: str
    object: str
    fields: dict[str, Any]


@contextmanager
def recorded(
    *, answer: Callable[[Write], dict[str, Any]] | None = None, reading: Reading | None = None
) -> Iterator[list[Write]]:
    """In this block every connection exists; writes are put on the list and nothing is sent.

    ``answer`` says what a write's receipt reads (default: success); ``reading(connection, object, query)`` gives the
    records of ``get``, ``list`` and ``findone`` (default: none). Values that could not be sent raise as they would.
    """
    sent: list[Write] = []
    before = _current.replace(FakeTransport(sent, answer or _success, reading or _nothing))
    try:
        yield sent
    finally:
        _current.replace(before)


def _success(_write: Write) -> dict[str, Any]:
    return {"status": "success", "detail": {}}


def _nothing(_connection: str, _object: str, _query: Mapping[str, Any]) -> list[dict[str, Any]]:
    return []


class FakeTransport:
    def __init__(self, sent: list[Write], answer: Callable[[Write], dict[str, Any]], reading: Reading) -> None:
        self.sent, self.answer, self.reading = sent, answer, reading
        self.states: dict[str, Any] = {}

    def channel(self, name: str | int) -> FakeChannel:
        return FakeChannel(self, str(name))

    def refresh(self, name: str | int, objects: Sequence[str] | None, *, full: bool, wait_s: float) -> Receipt:  # noqa: ARG002
        """On the list, too: ``Write("Odoo", "refresh", "everything", {})``."""
        write = Write(
            str(name), "refresh", ",".join(objects) if objects else "everything", {"full": True} if full else {}
        )
        self.sent.append(write)
        return Receipt.answered(new_id(), self.answer(write))

    def update_connector(self, name: str | int) -> str:
        return f"{name} uses the newest version"

    def get_state(self, script: str) -> Any:
        return self.states.get(script)

    def set_state(self, script: str, value: Any) -> None:
        self.states[script] = value

    def list_connections(self) -> list[Connection]:
        return []

    def say(self, message: str, *values: object) -> None: ...

    def flush(self, seconds: float | None = None) -> None: ...

    def close(self) -> None: ...


class FakeChannel:
    def __init__(self, transport: FakeTransport, name: str) -> None:
        self._transport = transport
        self.connection = Connection(0, name.lower(), name, "fake", "", {}, {}, {}, 1, "active", "", 0)

    def write(
        self,
        operation: Operation,
        object_name: str,
        fields: dict[str, Any],
        *,
        timeout: bool | float = False,  # noqa: ARG002 - nothing takes time here
        searchfield: str | None = None,  # noqa: ARG002 - it is among the fields
    ) -> Receipt:
        write = Write(self.connection.name, operation.value, object_name, deepcopy(to_json_fields(fields)))
        self._transport.sent.append(write)
        return Receipt.answered(new_id(), self._transport.answer(write))

    def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None) -> Page:  # noqa: ARG002 - one page
        return Page(self._transport.reading(self.connection.name, object_name, query))

    def call(self, path: str, **request: Any) -> Answer:
        return Answer(200, self._transport.reading(self.connection.name, path, request), {})

    def settle_writes(self, seconds: float) -> bool:  # noqa: ARG002
        return True
