"""gspread works against the sandbox, and Google's own description of the API has nothing against our requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import googleapiclient
import gspread
import jsonschema
import pytest
from google.auth.exceptions import RefreshError
from google.oauth2.credentials import Credentials
from gspread.exceptions import APIError
from requests.adapters import HTTPAdapter

from connectors.errors import CallFailed
from connectors.registry import manifest
from connectors.saas.google_sheets.connector import GoogleSheetsConnector
from connectors.sandbox.call import Answer, Call
from connectors.sandbox.faults import Faults
from connectors.sandbox.ledger import Entry
from connectors.sandbox.server import Sandbox
from connectors.sandbox.sheets.rest import Sheets
from tests.connectors.sandbox_thread import running
from topics.event.event import Event, Operation

DISCOVERY = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "sheets.v4.json"
OK = 200


class _ToTheSandbox(HTTPAdapter):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
        request.url = self._url + request.url.removeprefix("https://sheets.googleapis.com")
        return super().send(request, **options)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running(_sandbox()) as sandbox:
        yield sandbox


def _sandbox() -> Sandbox:
    return Sandbox(latency=0, sheets=Sheets(Faults(), tokens=frozenset({"good"})))


def book(sandbox: Sandbox, token: str = "good") -> Any:
    client = gspread.Client(auth=Credentials(token=token))
    client.http_client.session.mount("https://sheets.googleapis.com", _ToTheSandbox(sandbox.url))
    return client.open_by_key("sandbox")


def test_rows_are_added_changed_read_and_deleted(sandbox: Sandbox) -> None:
    """The methods that everybody uses, and their errors."""
    leads = book(sandbox).worksheet("Leads")
    leads.append_row(["email", "name", "amount"])
    leads.append_rows([["a@x.com", "A", 1.5], ["b@x.com", "=1+1", True]])
    leads.update_acell("B2", "A2")
    leads.batch_update([{"range": "C2", "values": [[7]]}, {"range": "A4:B4", "values": [["c@x.com", "C"]]}])
    shown = leads.get_all_values()
    typed = leads.get("A1:C4", value_render_option="UNFORMATTED_VALUE")
    leads.delete_rows(2)
    found = leads.find("c@x.com")
    leads.batch_clear(["A2:B2"])
    with pytest.raises(APIError, match="exceeds grid limits"):
        leads.update_acell("A1001", "x")
    with pytest.raises(RefreshError):  # what the SDK makes of a 401
        book(sandbox, "bad").worksheet("Leads").get_all_values()

    assert shown == [
        ["email", "name", "amount"], ["a@x.com", "A2", "7"], ["b@x.com", "=1+1", "TRUE"], ["c@x.com", "C", ""],
    ]  # fmt: skip
    assert typed[1:3] == [["a@x.com", "A2", 7], ["b@x.com", "=1+1", True]]
    assert (found.row, found.col) == (3, 1)
    assert leads.get_all_values()[1:] == [["", "", "TRUE"], ["c@x.com", "C", ""]]


def test_sheets_of_a_spreadsheet(sandbox: Sandbox) -> None:
    """A sheet is added with a size, and a second one of its name is refused."""
    one = book(sandbox)
    added = one.add_worksheet("It's new", rows=3, cols=2)
    added.append_rows([["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]])
    with pytest.raises(APIError, match="already exists"):
        one.add_worksheet("It's new", rows=3, cols=2)

    assert one.worksheet("It's new").row_count == 4
    assert added.row_values(4) == ["g", "h"]


SCENARIO: tuple[tuple[str, dict[str, Any]], ...] = (
    ("add", {"email": "a@x.com", "name": "A", "amount": 1.5}),
    ("add", {"email": "b@x.com", "name": "=1+1", "amount": True}),
    ("upsert", {"email": "a@x.com", "amount": 2}),
    ("upsert", {"email": "c@x.com", "name": "C"}),
    ("delete", {"email": "b@x.com"}),
    ("update", {"email": "c@x.com", "amount": None, "name": "C2"}),
)


def test_the_same_scenario_leaves_the_same_state(sandbox: Sandbox) -> None:
    """Calls of the SDK and events through the connector: the same cells, of the same kinds."""
    leads = book(sandbox).worksheet("Leads")
    leads.append_row(list(SCENARIO[0][1]))
    for operation, fields in SCENARIO:
        cell = leads.find(fields["email"], in_column=1)
        if operation == "delete":
            leads.delete_rows(cell.row)
        elif cell is None:
            leads.append_row([fields.get(name, "") for name in SCENARIO[0][1]])
        else:
            for column, name in enumerate(SCENARIO[0][1], start=1):
                if name in fields:
                    leads.update(
                        [[fields[name] if fields[name] is not None else ""]],
                        cell.address.replace("A", "ABC"[column - 1]),
                    )
    with running(_sandbox()) as other:
        verdicts = _deliver(other)

        assert [type(verdict).__name__ for verdict in verdicts] == ["Delivered"] * len(SCENARIO)
        assert _cells(sandbox) == _cells(other)


def test_requests_and_answers_are_as_google_describes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of deliveries, reads and a refresh each path, parameter and body is one that there is, and so is each answer."""
    sheets = Sheets(Faults(), tokens=frozenset({"good"}))
    judged: list[tuple[Call, Answer]] = []
    perform = sheets.perform

    def kept(call: Call, entries: list[Entry]) -> Answer:
        judged.append((call, answer := perform(call, entries)))
        return answer

    monkeypatch.setattr(sheets, "perform", kept)
    with running(Sandbox(latency=0, sheets=sheets)) as sandbox:
        _deliver(sandbox)
        asyncio.run(_read(sandbox))
    described = json.loads(DISCOVERY.read_text(encoding="utf-8"))
    mistakes = [mistake for call, answer in judged for mistake in _mistakes(described, call, answer)]

    assert mistakes == []
    written = [
        request for call, _ in judged if call.path.endswith(":batchUpdate") for request in call.json()["requests"]
    ]
    assert {kind for request in written for kind in request} == {"appendCells", "updateCells", "deleteDimension"}
    assert {call.path.removeprefix("/v4/spreadsheets/sandbox") for call, _ in judged} == {
        "", ":batchUpdate", "/values:batchGetByDataFilter", "/values:batchGet",
    }  # fmt: skip
    assert {answer.status for _, answer in judged} == {200, 400}


async def _read(sandbox: Sandbox) -> None:
    """As a script reads, as a refresh does, and what Google refuses."""
    connector = _connector(sandbox, refresh_sheets=["Leads"])
    for query in ({}, {"id": "john@acme.com"}, {"searchfield": "name", "searchterm": "x"}, {"limit": 1}):
        await connector.read("Leads", query)
    source = connector.source("Leads")
    assert [page async for page in source.pages("all", list(await source.properties()))]
    with pytest.raises(CallFailed):
        await connector.call("/v4/spreadsheets/sandbox/values:batchGet", params={"ranges": "Nowhere!A1"})
    await connector.close()


def _mistakes(described: dict[str, Any], call: Call, answer: Answer) -> Iterator[str]:
    schemas = {name: _schema(schema) for name, schema in described["schemas"].items()}
    method = next((one for one in _methods(described) if _is(one, call)), None)
    if method is None:
        yield f"there is no {call.method} {call.path}"
        return
    known = {**described["parameters"], **method.get("parameters", {})}
    for name, values in call.query.items():
        if name not in known or not set(values) <= set(known[name].get("enum", values)):
            yield f"{method['id']} has no {name}={values}"
    parts = {"request": call.json_value(), "response": json.loads(answer.body)} if answer.status == OK else {}
    for part, value in parts.items():
        if (part in method) != (value is not None):
            yield f"{method['id']}: a {part} is {'missing' if part in method else 'too much'}"
        elif value is not None:
            validator = jsonschema.Draft202012Validator({**_schema(method[part]), "$defs": schemas})
            yield from (f"{method['id']}, {part}: {error.message}" for error in validator.iter_errors(value))


def _methods(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from resource.get("methods", {}).values()
    for one in resource.get("resources", {}).values():
        yield from _methods(one)


def _is(method: dict[str, Any], call: Call) -> bool:
    path = re.sub(r"\\{\w+\\}", "[^/:]+", re.escape(method["flatPath"]))
    return method["httpMethod"] == call.method and re.fullmatch(path, call.path[1:]) is not None


def _schema(described: dict[str, Any]) -> dict[str, Any]:
    """A schema of a discovery document as one of JSON Schema, in which no other names are allowed."""
    if "$ref" in described:
        return {"$ref": f"#/$defs/{described['$ref']}"}
    kinds = {"any": {}, "object": {"type": "object"}, "array": {"type": "array"}}
    made: dict[str, Any] = dict(kinds.get(described["type"], {"type": described["type"]}))
    if "enum" in described:
        made["enum"] = described["enum"]
    if "items" in described:
        made["items"] = _schema(described["items"])
    if "properties" in described:
        made["properties"] = {name: _schema(one) for name, one in described["properties"].items()}
        made["additionalProperties"] = False
    return made


def _cells(sandbox: Sandbox) -> dict[tuple[int, int], Any]:
    return next(grid.cells for grid in sandbox.google_sheets.books["sandbox"].grids if grid.title == "Leads")


def _connector(sandbox: Sandbox, **more: Any) -> GoogleSheetsConnector:
    settings = {
        "base_url": sandbox.url, "spreadsheet_id": "sandbox", "unique": {"Leads": "email"},
        "allow_private_addresses": True, **more,
    }  # fmt: skip
    return GoogleSheetsConnector(manifest("google_sheets"), settings, {"access_token": "good"})


def _deliver(sandbox: Sandbox) -> list[Any]:
    async def scenario() -> list[Any]:
        connector = _connector(sandbox)
        verdicts: list[Any] = []
        for operation, fields in SCENARIO:
            event = Event(operation=Operation(operation), connection="a", object="Leads", fields=fields)
            verdicts += await connector.deliver([event])
        await connector.close()
        return verdicts

    return asyncio.run(scenario())
