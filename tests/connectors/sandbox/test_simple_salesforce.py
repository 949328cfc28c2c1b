"""simple-salesforce works against the sandbox: that is what the sandbox is believed for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce as Client
from simple_salesforce.exceptions import (
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceOperationError,
    SalesforceResourceNotFound,
)

from connectors.registry import manifest
from connectors.saas.salesforce.connector import SalesforceConnector
from connectors.sandbox.faults import Faults
from connectors.sandbox.salesforce.rest import Salesforce
from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running
from topics.event.event import Event, Operation


class _ToTheSandbox(HTTPAdapter):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]
        request.url = self._url + request.url.partition(".salesforce.com")[2]
        return super().send(request, **options)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    org = Salesforce(Faults(), tokens=frozenset({"good"}), page=2)
    with running(Sandbox(latency=0, salesforce=org)) as sandbox:
        yield sandbox


def client(sandbox: Sandbox, **how: Any) -> Any:
    session = requests.Session()
    session.mount("https://", _ToTheSandbox(sandbox.url))
    how = how or {"instance_url": "https://acme.my.salesforce.com", "session_id": "good"}
    return Client(session=session, **how)


def test_a_record_is_made_changed_read_and_deleted(sandbox: Sandbox) -> None:
    """The methods that everybody uses, and their errors."""
    sf = client(sandbox)
    number = sf.Contact.create({"LastName": "Doe", "Email": "john@acme.com"})["id"]
    changed = sf.Contact.update(number, {"FirstName": "John"})
    upserted = [sf.Contact.upsert(f"External_Id__c/{key}", {"LastName": key}) for key in ("x", "x")]
    shown = sf.Contact.get(number)
    deleted = sf.Contact.delete(number)
    told = []
    calls: list[Callable[[], Any]] = [
        lambda: sf.Contact.create({"Email": "a@b.cc"}),
        lambda: sf.Contact.create({"Colour": "red"}),
        lambda: sf.query("SELECT Nmae FROM Contact"),
        lambda: sf.query("SELECT Id FROM Contact WHERE"),
    ]
    for call in calls:
        with pytest.raises(SalesforceMalformedRequest) as caught:
            call()
        told.append(caught.value.content[0]["errorCode"])
    with pytest.raises(SalesforceResourceNotFound, match="ENTITY_IS_DELETED"):
        sf.Contact.get(number)
    with pytest.raises(SalesforceExpiredSession):
        client(sandbox, instance_url="https://acme.my.salesforce.com", session_id="bad").query("SELECT Id FROM Contact")

    sf.query("SELECT Id FROM Contact")

    assert (changed, deleted, upserted) == (204, 204, [201, 200])
    assert (shown["Name"], shown["attributes"]["type"], len(number)) == ("John Doe", "Contact", 18)
    assert told == ["REQUIRED_FIELD_MISSING", "INVALID_FIELD", "INVALID_FIELD", "MALFORMED_QUERY"]
    assert sf.api_usage["api-usage"].used == sandbox.salesforce.used


def test_questions(sandbox: Sandbox) -> None:
    """Pages of a query, its conditions, and what several records of one external id answer."""
    sf = client(sandbox)
    for name in ("a", "b", "o'c"):
        sf.Contact.create({"LastName": name, "Shared_Key__c": "s"})
    everything = sf.query_all("SELECT Id, LastName FROM Contact ORDER BY LastName")
    one = sf.query("SELECT FIELDS(ALL) FROM Contact WHERE (LastName = 'o\\'c') AND (Email = null) LIMIT 200")
    counted = sf.query("SELECT COUNT() FROM Contact WHERE LastName IN ('a', 'b')")
    names = [field["name"] for field in sf.Contact.describe()["fields"]]
    with pytest.raises(SalesforceMoreThanOneRecord):
        sf.Contact.upsert("Shared_Key__c/s", {"Title": "x"})

    assert [record["LastName"] for record in everything["records"]] == ["a", "b", "o'c"]
    assert (one["totalSize"], one["records"][0]["Shared_Key__c"], counted["totalSize"]) == (1, "s", 2)
    assert "External_Id__c" in names


def test_a_job_of_many_records(sandbox: Sandbox) -> None:
    """Bulk API 2.0: a job is filled, done, and its results are read; one that is wrong fails as a whole."""
    sf = client(sandbox)
    (job,) = sf.bulk2.Contact.insert(
        records=[{"LastName": "A", "External_Id__c": "a"}, {"LastName": "", "External_Id__c": "b"}], wait=0
    )
    done = sf.bulk2.Contact.get_successful_records(job["job_id"])
    failed = sf.bulk2.Contact.get_failed_records(job["job_id"])
    upserted = sf.bulk2.Contact.upsert(
        records=[{"LastName": "A2", "External_Id__c": "a"}], external_id_field="External_Id__c", wait=0
    )
    with pytest.raises(SalesforceOperationError, match="Field name not found : Colour"):
        sf.bulk2.Contact.insert(records=[{"LastName": "A", "Colour": "red"}], wait=0)

    assert (job["numberRecordsProcessed"], job["numberRecordsFailed"]) == (2, 1)
    assert "A" in done
    assert "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --" in failed
    assert upserted[0]["numberRecordsFailed"] == 0
    assert [one["LastName"] for one in sandbox.salesforce.org.records["Contact"].values()] == ["A2"]


def test_tokens(sandbox: Sandbox) -> None:
    """The SDK logs in with client credentials."""
    sf = client(sandbox, consumer_key="key", consumer_secret="secret", domain="acme.my")

    assert sf.query("SELECT Id FROM Organization")["totalSize"] == 1


def test_the_same_scenario_leaves_the_same_state(sandbox: Sandbox) -> None:
    """Collections through the SDK and events through the connector: the same records, with the same answers."""
    by_sdk = _state(sandbox, _through_the_sdk)
    with running(Sandbox(latency=0, salesforce=Salesforce(Faults(), tokens=frozenset({"good"})))) as other:
        by_connector = _state(other, _through_the_connector)

    assert by_sdk == by_connector
    assert [record["LastName"] for record in by_sdk[1]] == ["A2", "C", "U"]


SCENARIO: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    ("add", [{"LastName": "A"}, {"Email": "no@last.name"}, {"LastName": "C", "HasOptedOutOfEmail": True}]),
    ("update", [{"id": 0, "LastName": "A2"}, {"id": 2, "Email": "not an address"}]),
    ("upsert", [{"External_Id__c": "u", "LastName": "U"}, {"External_Id__c": "d", "LastName": "D"}]),
    ("upsert", [{"External_Id__c": "u", "Phone": "+32"}]),
    ("delete", [{"id": 4}, {"id": 4}]),
)


def _state(sandbox: Sandbox, carry_out: Any) -> tuple[list[bool], list[dict[str, Any]]]:
    done = carry_out(sandbox)
    kept = ("Id", "FirstName", "LastName", "Email", "Phone", "HasOptedOutOfEmail", "External_Id__c")
    records = [one for one in sandbox.salesforce.org.records["Contact"].values() if not one["IsDeleted"]]
    return done, [{name: one[name] for name in kept} for one in sorted(records, key=lambda one: one["LastName"])]


def _numbered(record: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    return {**record, "id": ids[record["id"]]} if "id" in record else record


def _through_the_sdk(sandbox: Sandbox) -> list[bool]:
    sf = client(sandbox)
    done: list[bool] = []
    ids: list[str] = []
    for operation, given in SCENARIO:
        records = [_numbered(record, ids) for record in given]
        path = "composite/sobjects"
        if operation == "delete":
            results = sf.restful(path, method="DELETE", params={"ids": ",".join(one["id"] for one in records)})
            done += [one["success"] or one["errors"][0]["statusCode"] == "ENTITY_IS_DELETED" for one in results]
            continue
        body = {"allOrNone": False, "records": [{"attributes": {"type": "Contact"}, **one} for one in records]}
        path += "/Contact/External_Id__c" if operation == "upsert" else ""
        results = sf.restful(path, method="POST" if operation == "add" else "PATCH", json=body)
        done += [one["success"] for one in results]
        ids += [one.get("id", "") for one in results] if operation != "update" else []
    return done


def _through_the_connector(sandbox: Sandbox) -> list[bool]:
    async def scenario() -> list[bool]:
        settings = {"base_url": sandbox.url, "allow_private_addresses": True, "unique": {"contact": "External_Id__c"}}
        connector = SalesforceConnector(manifest("salesforce"), settings, {"access_token": "good"})
        done: list[bool] = []
        ids: list[str] = []
        for operation, given in SCENARIO:
            events = [
                Event(operation=Operation(operation), connection="a", object="contact", fields=_numbered(record, ids))
                for record in given
            ]
            verdicts = await connector.deliver(events)
            done += [type(one).__name__ == "Delivered" for one in verdicts]
            ids += [getattr(one, "id", "") for one in verdicts] if operation in {"add", "upsert"} else []
        await connector.close()
        return done

    return asyncio.run(scenario())
