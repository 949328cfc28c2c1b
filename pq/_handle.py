"""What ``pq.connect`` gives: one connection, spoken to in single lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from connectors.contract import Page
from connectors.errors import CallFailed
from pq import _current
from pq._transport import Channel
from pq._values import merged, to_json_value
from pq.errors import Ambiguous, BadField, NotFound
from pq.receipt import Receipt
from topics.event.event import Operation

SETTLE_S = 30.0
"""How long a read waits for the script's own writes on the same connection before it goes ahead."""


class Handle:
    """One connection. Safe to use from several threads, and after a fork.

    Writes take the object's name, then dicts and keywords that together are the record; ``timeout=True`` asks for few
    retries (a number: seconds). They return at once, with a receipt. Reads go straight to the vendor, after the
    script's own writes on this connection have arrived there (waiting at most 30 s for them), at half the connection's
    rate, and raise on errors.
    """

    def __init__(self, name: str | int) -> None:
        self._asked = name
        self._session = _current.session()
        self._channel = self._session.channel(name)

    @property
    def name(self) -> str:
        return self._live().connection.name

    def __repr__(self) -> str:
        return f"<pq connection {self._asked!r}>"

    def add(
        self, object_name: str, /, *records: Mapping[str, Any], timeout: bool | float = False, **fields: Any
    ) -> Receipt:
        """Make a record; ``add("message", channel=..., text=...)`` sends one."""
        return self._live().write(Operation.ADD, object_name, merged(records, fields), timeout=timeout)

    def update(
        self, object_name: str, /, *records: Mapping[str, Any], timeout: bool | float = False, **fields: Any
    ) -> Receipt:
        """Change the fields given of the record whose ``id`` is among them."""
        return self._live().write(Operation.UPDATE, object_name, merged(records, fields), timeout=timeout)

    def upsert(
        self,
        object_name: str,
        /,
        *records: Mapping[str, Any],
        searchterm: Any = None,
        searchfield: str | None = None,
        timeout: bool | float = False,
        **fields: Any,
    ) -> Receipt:
        """Change the record that has this unique value, or make it: one event, done by the connector in one go.

        ``searchfield`` and ``searchterm`` are the seed's way of naming the unique field and its value; the value may
        as well be among the fields.
        """
        record = merged(records, fields)
        if searchfield is not None and searchterm is not None:
            record = {**record, searchfield: searchterm}
        elif searchfield is not None or searchterm is not None:
            raise BadField("searchfield and searchterm belong together: give both, or neither")
        return self._live().write(Operation.UPSERT, object_name, record, timeout=timeout, searchfield=searchfield)

    def delete(
        self, object_name: str, /, *records: Mapping[str, Any], timeout: bool | float = False, **fields: Any
    ) -> Receipt:
        """Delete the record whose ``id`` is given."""
        return self._live().write(Operation.DELETE, object_name, merged(records, fields), timeout=timeout)

    def get(self, object_name: str, /, *query: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        """The record, by its id. Raises ``NotFound``; ``CallFailed`` with the vendor's words."""
        found = self._read(object_name, merged(query, fields)).detail
        if not found:
            raise NotFound(f"{self.name} has no {object_name} with {merged(query, fields)}")
        return _only(found, object_name)

    def findone(
        self,
        object_name: str,
        /,
        *query: Mapping[str, Any],
        searchterm: Any = None,
        searchfield: str | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """The one record with this value in this field, ``{}`` when there is none.

        Raises ``Ambiguous`` for several, ``CallFailed`` when the vendor did not answer the question: an error is
        never taken for an absence.
        """
        asked = merged(query, fields)
        if searchfield is not None:
            asked = {**asked, "searchfield": searchfield, "searchterm": searchterm}
        page = self._read(object_name, asked)
        while not page.detail and page.bookmark is not None:
            page = self._live().read(object_name, asked, page.bookmark)
        return _only(page.detail, object_name) if page.detail else {}

    def list(
        self, object_name: str, /, *query: Mapping[str, Any], bookmark: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """A page: ``{"status": "success", "detail": [records], "bookmark": ...}``. Raises ``CallFailed``.

        Hand the bookmark in for the next page; it is None after the last. ``records`` does that by itself.
        """
        page = self._read(object_name, merged(query, fields), bookmark)
        return {"status": "success", "detail": page.detail, "bookmark": page.bookmark}

    def records(self, object_name: str, /, *query: Mapping[str, Any], **fields: Any) -> Iterator[dict[str, Any]]:
        """Every record that ``list`` would give, one after the other; a page is asked for when it is needed.

        >>> for contact in hubspot.records("contact", properties=["email"]): ...

        Raises ``CallFailed`` in the middle when a page cannot be had: what came before was right, and is not all.
        """
        asked = merged(query, fields)
        page = self._read(object_name, asked)
        yield from page.detail
        while page.bookmark is not None:
            before, page = page.bookmark, self._live().read(object_name, asked, page.bookmark)
            if page.bookmark == before:
                raise CallFailed(f"{self.name} gives the same page of {object_name} again and again: {before}")
            yield from page.detail

    def apicall(
        self,
        path: str,
        method: str = "get",
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> dict[str, Any]:
        """Any call to the vendor's API under this connection's credentials: ``{"status": "success", "detail": ...}``.

        Other keywords go into the query of a ``get``, ``head`` or ``delete``, and into the body of anything else.
        Raises ``CallFailed`` with the vendor's status and words.
        """
        if extra and method.lower() in {"get", "head", "delete"}:
            params = {**(params or {}), **extra}
        elif extra:
            if body is not None and not isinstance(body, Mapping):
                raise BadField(f"body is {type(body).__name__} and cannot take the fields {', '.join(extra)} as well")
            body = {**(body or {}), **extra}
        body = to_json_value(body, "body")
        answer = self._live().call(path, method=method, body=body, params=params, headers=headers)
        return {"status": "success", "detail": answer.detail}

    def _read(self, object_name: str, query: dict[str, Any], bookmark: str | None = None) -> Page:
        channel = self._live()
        if not channel.settle_writes(SETTLE_S):
            self._session.say("reading %s although some of this script's writes have not arrived there", self.name)
        return channel.read(object_name, query, bookmark)

    def _live(self) -> Channel:
        current = _current.session()
        if current is not self._session:  # after a fork, or after the end of a test's session
            self._session, self._channel = current, current.channel(self._asked)
        return self._channel


def _only(records: list[dict[str, Any]], object_name: str) -> dict[str, Any]:
    if len(records) > 1:
        raise Ambiguous(f"{len(records)} {object_name} records match; this wants one")
    return records[0]


def connect(name: str | int) -> Handle:
    """A connection, by its name or id. Raises ``UnknownConnection``, which lists the names there are."""
    return Handle(name)


def list_connections() -> list[dict[str, Any]]:
    """What there is to connect to; no secrets."""
    return [
        {"id": each.id, "name": each.name, "connector": each.connector, "state": each.state}
        for each in _current.session().list_connections()
    ]
