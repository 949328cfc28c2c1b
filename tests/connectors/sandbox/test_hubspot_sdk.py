"""HubSpot's own SDK works against the sandbox: that is what the sandbox is believed for."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hubspot import Client
from hubspot.crm import companies, contacts, deals, tickets
from urllib3.util.retry import Retry

from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    faults = Faults()
    with running(Sandbox(latency=0, hubspot=HubSpot(faults, search_lag=0, tokens=frozenset({"pat-1"})))) as sandbox:
        yield sandbox


@pytest.fixture
def crm(sandbox: Sandbox) -> Any:
    return Client.create(access_token="pat-1", host=sandbox.url, retry=Retry(0, raise_on_status=False)).crm


def contact(email: str, trace: str | None = None, **properties: str) -> Any:
    return contacts.SimplePublicObjectBatchInputForCreate(
        properties={"email": email, **properties}, associations=[], object_write_trace_id=trace
    )


def create(crm: Any, email: str, **properties: str) -> str:
    made = crm.contacts.basic_api.create(
        contacts.SimplePublicObjectInputForCreate(properties={"email": email, **properties}, associations=[])
    )
    return str(made.id)


def refused(error: pytest.ExceptionInfo[Any]) -> tuple[int, str, str]:
    body = json.loads(error.value.body)
    return error.value.status, body.get("category", ""), body["message"]


@pytest.mark.parametrize(
    ("module", "kind", "properties", "change"),
    [
        (contacts, "contacts", {"email": "john@acme.com", "firstname": "John"}, {"firstname": "Jane"}),
        (companies, "companies", {"name": "Acme", "domain": "acme.com"}, {"name": "Acme Inc"}),
        (deals, "deals", {"dealname": "Big", "amount": "1000.5"}, {"amount": "2000"}),
        (tickets, "tickets", {"subject": "Help", "hs_pipeline_stage": "1"}, {"subject": "Thanks"}),
    ],
)
def test_create_read_update_delete(
    crm: Any, module: Any, kind: str, properties: dict[str, str], change: dict[str, str]
) -> None:
    """Each object is created, read, changed and deleted through the SDK's basic API."""
    api = getattr(crm, kind).basic_api
    made = api.create(module.SimplePublicObjectInputForCreate(properties=properties, associations=[]))
    read = api.get_by_id(made.id, properties=list(properties))
    changed = api.update(made.id, module.SimplePublicObjectInput(properties=change))
    api.archive(made.id)
    api.archive(made.id)

    assert {name: read.properties[name] for name in properties} == properties
    assert changed.properties.items() >= {**properties, **change}.items()
    assert changed.updated_at >= made.created_at
    with pytest.raises(module.ApiException) as error:
        api.get_by_id(made.id)
    assert refused(error) == (404, "", "resource not found")
    assert api.get_by_id(made.id, archived=True).archived is True


def test_a_record_is_read_and_changed_by_its_email(crm: Any) -> None:
    """``idProperty`` names a property with unique values instead of the id; emails have no case."""
    made = create(crm, "John@Acme.com")
    read = crm.contacts.basic_api.get_by_id("john@ACME.com", id_property="email")
    changed = crm.contacts.basic_api.update(
        "john@acme.com", contacts.SimplePublicObjectInput(properties={"city": "Ghent"}), id_property="email"
    )

    assert read.id == changed.id == made
    assert read.properties["email"] == "john@acme.com"


def test_a_second_contact_with_the_same_email_is_a_conflict(crm: Any) -> None:
    """409 CONFLICT names the one that exists; after it is deleted the email is free again."""
    first = create(crm, "john@acme.com")

    with pytest.raises(contacts.ApiException) as error:
        create(crm, "JOHN@acme.com")
    assert refused(error) == (409, "CONFLICT", f"Contact already exists. Existing ID: {first}")
    crm.contacts.basic_api.archive(first)
    assert create(crm, "john@acme.com") != first


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"email": "john@acme.con"}, "INVALID_EMAIL"),
        ({"email": "john"}, "INVALID_EMAIL"),
        ({"email": "john@refused.example"}, "INVALID_EMAIL"),
        ({"email": "john@acme.com", "shoe_size": "43"}, 'Property \\"shoe_size\\" does not exist'),
        ({"email": "john@acme.com", "city": "!refused!"}, "INVALID_VALUE"),
        ({"email": "john@acme.com", "hs_object_id": "1"}, "READ_ONLY_VALUE"),
    ],
)
def test_a_value_that_is_not_valid_is_refused(crm: Any, properties: dict[str, str], said: str) -> None:
    """400 VALIDATION_ERROR lists each property and why."""
    with pytest.raises(contacts.ApiException) as error:
        create(crm, **properties)

    status, category, message = refused(error)
    assert (status, category) == (400, "VALIDATION_ERROR")
    assert message.startswith("Property values were not valid: [{")
    assert json.loads(message.partition(": ")[2])[0]["isValid"] is False
    assert said in message


def test_a_ticket_needs_a_stage(crm: Any) -> None:
    """A new record without a property that its kind requires is refused."""
    with pytest.raises(tickets.ApiException) as error:
        crm.tickets.basic_api.create(tickets.SimplePublicObjectInputForCreate(properties={"subject": "x"}))

    assert refused(error)[:2] == (400, "VALIDATION_ERROR")


def test_a_batch_is_created(crm: Any, sandbox: Sandbox) -> None:
    """201 with all records when all are good; the ledger has an entry for each."""
    inputs = [contact(f"p{number}@acme.com") for number in range(100)]
    answer = crm.contacts.batch_api.create(contacts.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs))

    assert answer.status == "COMPLETE"
    assert {result.properties["email"] for result in answer.results} == {f"p{number}@acme.com" for number in range(100)}
    assert [(entry.operation, entry.performed, entry.outcome) for entry in sandbox.ledger.entries] == [
        ("create", True, "201")
    ] * 100


def test_a_batch_with_trace_ids_is_answered_one_by_one(crm: Any) -> None:
    """207: the good ones are there, each error names its ``objectWriteTraceId``."""
    create(crm, "taken@acme.com")
    inputs = [contact("a@acme.com", "t1"), contact("bad", "t2"), contact("taken@acme.com", "t3")]
    answer = crm.contacts.batch_api.create(contacts.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs))

    assert isinstance(answer, contacts.BatchResponseSimplePublicObjectWithErrors)
    assert [(r.properties["email"], r.object_write_trace_id) for r in answer.results] == [("a@acme.com", "t1")]
    assert {e.context["objectWriteTraceId"][0]: e.category for e in answer.errors} == {
        "t2": "VALIDATION_ERROR",
        "t3": "CONFLICT",
    }
    assert answer.num_errors == 2


def test_a_batch_without_trace_ids_is_refused_as_a_whole(crm: Any, sandbox: Sandbox) -> None:
    """One bad record refuses all of them, and nothing was done."""
    inputs = [contact("a@acme.com"), contact("b@acme.com"), contact("a@acme.com")]
    with pytest.raises(contacts.ApiException) as error:
        crm.contacts.batch_api.create(contacts.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs))

    assert refused(error)[:2] == (409, "CONFLICT")
    assert crm.contacts.get_all() == []
    assert [entry.performed for entry in sandbox.ledger.entries[:3]] == [False] * 3
    assert create(crm, "a@acme.com")


@pytest.mark.parametrize("count", [0, 101])
def test_a_batch_has_one_to_a_hundred_inputs(crm: Any, count: int) -> None:
    """Too many and none are both refused."""
    inputs = [contact(f"p{number}@acme.com") for number in range(count)]
    with pytest.raises(contacts.ApiException) as error:
        crm.contacts.batch_api.create(contacts.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs))

    assert refused(error)[:2] == (400, "VALIDATION_ERROR")


def test_a_batch_is_updated_record_by_record(crm: Any) -> None:
    """By id and by email; 200 when all are good, 207 naming the ones that are not there."""
    made = create(crm, "a@acme.com")
    create(crm, "b@acme.com")

    def update(*inputs: Any) -> Any:
        return crm.contacts.batch_api.update(contacts.BatchInputSimplePublicObjectBatchInput(inputs=list(inputs)))

    def change(given: str, city: str, by: str | None = None, trace: str | None = None) -> Any:
        return contacts.SimplePublicObjectBatchInput(
            id=given, id_property=by, properties={"city": city}, object_write_trace_id=trace
        )

    good = update(change(made, "Ghent"), change("b@acme.com", "Bruges", "email"))
    mixed = update(change(made, "Genk", trace="t1"), change("404", "x", trace="t2"))

    assert {result.properties["city"] for result in good.results} == {"Ghent", "Bruges"}
    assert [result.properties["city"] for result in mixed.results] == ["Genk"]
    assert [(e.category, e.context["ids"], e.context["objectWriteTraceId"]) for e in mixed.errors] == [
        ("OBJECT_NOT_FOUND", ["404"], ["t2"])
    ]
    with pytest.raises(contacts.ApiException, match="Duplicate IDs"):
        update(change(made, "x"), change(made, "y"))


def upsert(crm: Any, by: str, *pairs: tuple[str, dict[str, str]]) -> Any:
    inputs = [
        contacts.SimplePublicObjectBatchInputUpsert(
            id=given, id_property=by, properties=properties, object_write_trace_id=f"t-{given}"
        )
        for given, properties in pairs
    ]
    return crm.contacts.batch_api.upsert(contacts.BatchInputSimplePublicObjectBatchInputUpsert(inputs=inputs))


@pytest.mark.parametrize("by", ["email", "external_id"])
def test_an_upsert_creates_once_and_updates_then(crm: Any, by: str) -> None:
    """The same upsert twice leaves one record; ``new`` says which it was."""
    first = upsert(crm, by, ("a@acme.com", {"city": "Ghent"}), ("b@acme.com", {"city": "Bruges"}))
    again = upsert(crm, by, ("a@acme.com", {"city": "Genk"}), ("c@acme.com", {}))

    assert {result.object_write_trace_id: result.new for result in first.results + again.results} == {
        "t-a@acme.com": False,
        "t-b@acme.com": True,
        "t-c@acme.com": True,
    }
    assert len(crm.contacts.get_all()) == 3


def test_an_upsert_with_trace_ids_is_answered_one_by_one(crm: Any) -> None:
    """207 with the good ones done and the bad one named."""
    answer = upsert(crm, "email", ("a@acme.com", {}), ("bad", {}))

    assert isinstance(answer, contacts.BatchResponseSimplePublicUpsertObjectWithErrors)
    assert [result.new for result in answer.results] == [True]
    assert answer.errors[0].context["objectWriteTraceId"] == ["t-bad"]


def test_a_batch_is_read_by_email(crm: Any) -> None:
    """What ``find`` stands on: the ones that are there, and the others named in an error."""
    for name in "ab":
        create(crm, f"{name}@acme.com")
    asked = contacts.BatchReadInputSimplePublicObjectId(
        id_property="email",
        properties=["email"],
        properties_with_history=[],
        inputs=[contacts.SimplePublicObjectId(id=f"{name}@acme.com") for name in "abx"],
    )
    answer = crm.contacts.batch_api.read(asked)

    assert {result.properties["email"] for result in answer.results} == {"a@acme.com", "b@acme.com"}
    assert (answer.num_errors, answer.errors[0].category) == (1, "OBJECT_NOT_FOUND")
    assert answer.errors[0].context["ids"] == ["x@acme.com"]


def test_a_batch_is_archived(crm: Any) -> None:
    """204, also for ids that are not there."""
    ids = [create(crm, f"{name}@acme.com") for name in "abc"]
    batch = contacts.BatchInputSimplePublicObjectId(
        inputs=[contacts.SimplePublicObjectId(id=given) for given in [*ids[:2], "404"]]
    )
    crm.contacts.batch_api.archive(batch)

    assert [result.id for result in crm.contacts.get_all()] == ids[2:]


def test_pages_follow_each_other(crm: Any) -> None:
    """250 records come in three pages, each once."""
    inputs = [contact(f"p{number}@acme.com") for number in range(50)]
    for start in range(0, 250, 50):
        for number, item in enumerate(inputs, start):
            item.properties["email"] = f"p{number}@acme.com"
        crm.contacts.batch_api.create(contacts.BatchInputSimplePublicObjectBatchInputForCreate(inputs=inputs))
    everyone = crm.contacts.get_all(properties=["city"])

    assert len({one.properties["email"] for one in everyone}) == len(everyone) == 250


def test_an_argument_of_the_wrong_kind_is_refused(crm: Any) -> None:
    """A page that is no number is 400, not a breakdown."""
    with pytest.raises(contacts.ApiException) as error:
        crm.contacts.basic_api.get_page(after="x")

    assert refused(error)[:2] == (400, "VALIDATION_ERROR")


def test_search_filters_sorts_and_pages(crm: Any) -> None:
    """A search by filters gives a total, a page, and where the next begins."""
    for name, city in [("a", "Ghent"), ("b", "Bruges"), ("c", "Ghent")]:
        create(crm, f"{name}@acme.com", city=city)
    ghent = contacts.Filter(property_name="city", operator="EQ", value="Ghent")
    first = crm.contacts.search_api.do_search(
        contacts.PublicObjectSearchRequest(
            filter_groups=[contacts.FilterGroup(filters=[ghent])], sorts=["-email"], limit=1, properties=["city"]
        )
    )

    assert (first.total, [found.properties["email"] for found in first.results]) == (2, ["c@acme.com"])
    assert first.paging.next.after == "1"


def test_a_wrong_token_is_told_so(sandbox: Sandbox) -> None:
    """401 INVALID_AUTHENTICATION for a token that is not good."""
    crm = Client.create(access_token="pat-wrong", host=sandbox.url).crm
    with pytest.raises(contacts.ApiException) as error:
        create(crm, "a@acme.com")

    assert refused(error)[:2] == (401, "INVALID_AUTHENTICATION")


def test_the_quota_is_kept_and_shown() -> None:
    """The third request of two is answered 429 with the policy's name; every answer says what is left."""
    with running(Sandbox(latency=0, hubspot=HubSpot(Faults(), rate=2))) as sandbox:
        api = Client.create(access_token="any", host=sandbox.url, retry=Retry(0, raise_on_status=False)).crm.contacts
        _, _, headers = api.basic_api.get_page_with_http_info()
        api.basic_api.get_page()
        with pytest.raises(contacts.ApiException) as error:
            api.basic_api.get_page()

    assert (headers["X-HubSpot-RateLimit-Max"], headers["X-HubSpot-RateLimit-Remaining"]) == ("2", "1")
    body = json.loads(error.value.body)
    assert (error.value.status, body["errorType"], body["policyName"]) == (429, "RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert sandbox.hubspot.quotas["any"].busiest == 3
    assert sandbox.hubspot.quotas["any"].busiest_accepted == 2


def test_the_sdk_waits_out_a_429_and_a_503(sandbox: Sandbox) -> None:
    """The retry that HubSpot's documentation recommends gets through 429 with Retry-After and 503."""
    retry = Retry(total=3, status_forcelist=(429, 503), allowed_methods=None, backoff_factor=0)
    crm = Client.create(access_token="pat-1", host=sandbox.url, retry=retry).crm
    sandbox.dice["hubspot"].forced.extend([Fate("throttled", retry_after=1), Fate("unavailable")])

    assert create(crm, "a@acme.com")
    assert [(e.outcome, e.performed) for e in sandbox.ledger.entries] == [("429", False), ("503", False), ("201", True)]


def test_deals_answer_under_their_type_id_too(crm: Any, sandbox: Sandbox) -> None:
    """``/crm/v3/objects/0-3`` is deals; so is the date-versioned path."""
    for path in ("/crm/v3/objects/0-3", "/crm/objects/2026-03/deals"):
        crm.contacts.basic_api.api_client.call_api(
            path,
            "POST",
            header_params={"Content-Type": "application/json"},
            body={"properties": {"dealname": path}},
            auth_settings=["oauth2"],
            response_types_map={201: "object"},
        )

    assert [deal.properties["dealname"] for deal in crm.deals.get_all()] == [
        "/crm/v3/objects/0-3",
        "/crm/objects/2026-03/deals",
    ]
