"""One line per call: what a handle makes of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

import pq
from connectors.contract import Page
from connectors.errors import CallFailed
from pq.testing import FakeChannel, Write, recorded

JOHN = {"id": "101", "email": "john@acme.com"}
JANE = {"id": "102", "email": "jane@acme.com"}


def test_writes() -> None:
    """Each call is one event of that operation, with all its fields."""
    with recorded() as sent:
        crm = pq.connect("CRM")
        crm.add("contact", {"email": "john@acme.com"}, name="John")
        crm.update("contact", id=1, name="New")
        crm.delete("contact", id=1)
        crm.upsert("contact", searchfield="email", searchterm="john@acme.com", name="John")
        crm.upsert("contact", email="john@acme.com")

    assert sent == [
        Write("CRM", "add", "contact", {"email": "john@acme.com", "name": "John"}),
        Write("CRM", "update", "contact", {"id": 1, "name": "New"}),
        Write("CRM", "delete", "contact", {"id": 1}),
        Write("CRM", "upsert", "contact", {"name": "John", "email": "john@acme.com"}),
        Write("CRM", "upsert", "contact", {"email": "john@acme.com"}),
    ]


def test_timeout_is_no_field() -> None:
    """timeout= is accepted everywhere and never reaches the record."""
    with recorded() as sent:
        crm = pq.connect("CRM")
        crm.add("contact", email="x", timeout=True)
        crm.update("contact", id=1, timeout=5)
        crm.delete("contact", id=1, timeout=False)

    assert [write.fields for write in sent] == [{"email": "x"}, {"id": 1}, {"id": 1}]


def test_any_name_can_be_a_field() -> None:
    """A record may have fields called object_name, self and operation."""
    with recorded() as sent:
        pq.connect("CRM").add("object", object_name="a", self="b", operation="c")

    assert sent[0].fields == {"object_name": "a", "self": "b", "operation": "c"}


@pytest.mark.parametrize("half", [{"searchfield": "email"}, {"searchterm": "x"}])
def test_half_a_search_is_refused(half: dict[str, Any]) -> None:
    """upsert never guesses by which field."""
    with recorded(), pytest.raises(pq.BadField, match="belong together"):
        pq.connect("CRM").upsert("contact", **half)


def reading(*records: dict[str, Any]) -> Any:
    def read(_connection: str, _object: str, _query: Mapping[str, Any]) -> list[dict[str, Any]]:
        return list(records)

    return read


def test_findone() -> None:
    """The record; an empty dict when there is truly none."""
    with recorded(reading=reading(JOHN)):
        found = pq.connect("CRM").findone("contact", searchfield="email", searchterm="john@acme.com")
    with recorded(reading=reading()):
        absent = pq.connect("CRM").findone("contact", searchfield="email", searchterm="x")

    assert (found, absent) == (JOHN, {})


def test_findone_of_several_raises() -> None:
    """Which of them would be a guess."""
    with recorded(reading=reading(JOHN, JANE)), pytest.raises(pq.Ambiguous, match="2 contact records match"):
        pq.connect("CRM").findone("contact", searchfield="lastname", searchterm="Doe")


def failing(_connection: str, _object: str, _query: Mapping[str, Any]) -> list[dict[str, Any]]:
    raise CallFailed("HTTP 500: try later", status=500)


def test_an_error_is_never_an_absence() -> None:
    """A findone that fails raises: `if not found: add(...)` never adds because of it."""
    with recorded(reading=failing), pytest.raises(CallFailed):
        pq.connect("CRM").findone("contact", searchfield="email", searchterm="x")


def test_get() -> None:
    """The record, or an error that says which was not there."""
    with recorded(reading=reading(JOHN)):
        found = pq.connect("CRM").get("contact", id=101)
    with recorded(reading=reading()), pytest.raises(pq.NotFound, match=r"CRM has no contact with \{'id': 5\}"):
        pq.connect("CRM").get("contact", id=5)

    assert found == JOHN


def test_list() -> None:
    """A page as the seed gives it, and where the next one starts."""
    with recorded(reading=reading(JOHN, JANE)):
        page = pq.connect("CRM").list("contact")

    assert page == {"status": "success", "detail": [JOHN, JANE], "bookmark": None}


def test_records() -> None:
    """Every page's records, one after the other, each page asked for when it is needed."""
    pages = {None: Page([JOHN], "1"), "1": Page([], "2"), "2": Page([JANE], None)}
    asked: list[str | None] = []
    with recorded(), pytest.MonkeyPatch.context() as patch:

        def read(_self: object, _object: str, query: Mapping[str, Any], bookmark: str | None) -> Page:
            asked.append(bookmark)
            assert query == {"limit": 1}
            return pages[bookmark]

        patch.setattr(FakeChannel, "read", read)
        found = pq.connect("CRM").records("contact", limit=1)
        assert asked == []
        assert next(found) == JOHN
        assert asked == [None]

        assert (list(found), asked) == ([JANE], [None, "1", "2"])


def test_records_that_never_end() -> None:
    """A vendor that gives the same page for ever is an error, and not a script that never ends."""
    with recorded(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeChannel, "read", lambda *_: Page([JOHN], "same"))
        with pytest.raises(CallFailed, match="the same page of contact again and again"):
            list(pq.connect("CRM").records("contact"))


@pytest.mark.parametrize(
    ("call", "asked"),
    [
        ({"path": "x", "limit": 1}, {"method": "get", "body": None, "params": {"limit": 1}, "headers": None}),
        ({"path": "x", "method": "post", "query": "q"},
         {"method": "post", "body": {"query": "q"}, "params": None, "headers": None}),
        ({"path": "x", "method": "put", "body": [1], "params": {"a": 1}, "headers": {"b": "c"}},
         {"method": "put", "body": [1], "params": {"a": 1}, "headers": {"b": "c"}}),
    ],
)  # fmt: skip
def test_apicall(call: dict[str, Any], asked: dict[str, Any]) -> None:
    """Other keywords are the query of a get, and the body of anything else."""
    seen: list[Mapping[str, Any]] = []

    def read(_connection: str, _path: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        seen.append(request)
        return [JOHN]

    with recorded(reading=read):
        answer = pq.connect("CRM").apicall(**call)

    assert (answer, seen) == ({"status": "success", "detail": [JOHN]}, [asked])


def test_answers_in_tests_of_scripts() -> None:
    """A test says what receipts read, and values that could not be sent raise as they would."""
    with recorded(answer=lambda write: {"status": "error", "detail": write.object}):
        crm = pq.connect("CRM")

        assert crm.add("contact") == {"status": "error", "detail": "contact"}
        with pytest.raises(pq.BadField, match="when is set"):
            crm.add("contact", when={1})
