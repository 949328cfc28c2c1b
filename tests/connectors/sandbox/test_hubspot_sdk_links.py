"""HubSpot's own SDK works against the sandbox's notes, custom objects, associations and merges."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hubspot import Client
from hubspot.crm import contacts, schemas
from hubspot.crm.associations import v4
from hubspot.crm.associations.v4 import schema
from hubspot.crm.objects import SimplePublicObjectInputForCreate, notes
from urllib3.util.retry import Retry

from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.server import Sandbox
from tests.connectors.sandbox_thread import running


@pytest.fixture
def crm() -> Iterator[Any]:
    with running(Sandbox(latency=0, hubspot=HubSpot(Faults(), search_lag=0))) as sandbox:
        yield Client.create(access_token="pat-1", host=sandbox.url, retry=Retry(0, raise_on_status=False)).crm


def contact(crm: Any, **properties: str) -> str:
    made = contacts.SimplePublicObjectInputForCreate(properties=properties, associations=[])
    return str(crm.contacts.basic_api.create(made).id)


def company(crm: Any, name: str) -> str:
    made = contacts.SimplePublicObjectInputForCreate(properties={"name": name}, associations=[])
    return str(crm.companies.basic_api.create(made).id)


def labels(crm: Any, contact_id: str) -> dict[str, list[str | None]]:
    page = crm.associations.v4.basic_api.get_page("contacts", contact_id, "companies")
    return {one.to_object_id: [each.label for each in one.association_types] for one in page.results}


def test_a_note_belongs_to_a_contact(crm: Any) -> None:
    """A note needs its time; its association is given by number, and one of another kind's is refused."""
    john = contact(crm, email="john@acme.com")

    def made(type_id: int, **properties: str) -> Any:
        types = [notes.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=type_id)]
        to = notes.PublicAssociationsForObject(to=notes.PublicObjectId(id=john), types=types)
        new = notes.SimplePublicObjectInputForCreate(properties=properties, associations=[to])
        return crm.objects.notes.basic_api.create(new)

    note = made(202, hs_note_body="Called", hs_timestamp="2026-01-02T03:04:05Z")
    page = crm.associations.v4.basic_api.get_page("notes", note.id, "contacts")

    assert [one.to_object_id for one in page.results] == [john]
    for type_id, properties in ((202, {"hs_note_body": "x"}), (279, {"hs_timestamp": "1767322800000"})):
        with pytest.raises(notes.ApiException) as error:
            made(type_id, **properties)
        assert error.value.status == 400


def test_associations_with_labels(crm: Any) -> None:
    """A label is defined, listed, given, and taken away; what was associated stays so without it."""
    john, acme = contact(crm, email="john@acme.com"), company(crm, "Acme")
    api, definitions = crm.associations.v4.basic_api, crm.associations.v4.schema.definitions_api
    new = schema.PublicAssociationDefinitionCreateRequest(label="Boss", name="boss", inverse_label="Bossed by")
    made = definitions.create("contacts", "companies", new).results
    known = {one.label: one for one in definitions.get_all("contacts", "companies").results}
    spec = v4.AssociationSpec(association_category="USER_DEFINED", association_type_id=made[0].type_id)
    pair = api.create("contacts", john, "companies", acme, [spec])
    given = labels(crm, john)
    post = v4.PublicAssociationMultiPost(_from=v4.PublicObjectId(id=john), to=v4.PublicObjectId(id=acme), types=[spec])
    crm.associations.v4.batch_api.archive_labels(
        "contacts", "companies", v4.BatchInputPublicAssociationMultiPost(inputs=[post])
    )
    left = labels(crm, john)
    api.archive("contacts", john, "companies", acme)

    assert set(known) == {None, "Primary", "Boss"}
    assert (pair.from_object_id, pair.to_object_id, pair.labels) == (john, acme, ["Boss"])
    assert (given, left, labels(crm, john)) == ({acme: ["Boss", None]}, {acme: [None]}, {})


def test_associations_in_batches(crm: Any) -> None:
    """The plain ones by default, and typed ones; one that cannot be leaves the others alone."""
    people, acme = [contact(crm, email=f"{name}@acme.com") for name in "ab"], company(crm, "Acme")
    batch = crm.associations.v4.batch_api

    def pair(record: str) -> dict[str, Any]:
        return {"_from": v4.PublicObjectId(id=record), "to": v4.PublicObjectId(id=acme)}

    plain = [v4.PublicDefaultAssociationMultiPost(**pair(people[0]))]
    batch.create_default("contacts", "companies", v4.BatchInputPublicDefaultAssociationMultiPost(inputs=plain))
    primary = [v4.AssociationSpec(association_category="HUBSPOT_DEFINED", association_type_id=1)]
    typed = [v4.PublicAssociationMultiPost(**pair(each), types=primary) for each in (people[1], "999")]
    answer = batch.create("contacts", "companies", v4.BatchInputPublicAssociationMultiPost(inputs=typed))
    wanted = [v4.PublicFetchAssociationsBatchRequest(id=each) for each in people]
    read = batch.get_page("contacts", "companies", v4.BatchInputPublicFetchAssociationsBatchRequest(inputs=wanted))
    gone = [v4.PublicAssociationMultiArchive(_from=v4.PublicObjectId(id=people[0]), to=[v4.PublicObjectId(id=acme)])]
    batch.archive("contacts", "companies", v4.BatchInputPublicAssociationMultiArchive(inputs=gone))

    assert answer.num_errors == 1
    assert "One or more associations are invalid" in answer.errors[0].message
    assert {one._from.id: [each.label for each in one.to[0].association_types] for one in read.results} == {
        people[0]: [None],
        people[1]: ["Primary", None],
    }
    assert (labels(crm, people[0]), labels(crm, people[1])) == ({}, {acme: ["Primary", None]})


def test_a_custom_object(crm: Any) -> None:
    """Its schema is made and read, by name and by id; records are made under both, and the required property is."""
    labels = schemas.ObjectTypeDefinitionLabels(singular="Car", plural="Cars")
    vin = schemas.ObjectTypePropertyCreate(
        name="vin", label="VIN", type="string", field_type="text", has_unique_value=True
    )
    egg = schemas.ObjectSchemaEgg(
        name="car", labels=labels, required_properties=["vin"], properties=[vin], associated_objects=["CONTACT"],
        searchable_properties=["vin"], secondary_display_properties=[],
    )  # fmt: skip
    made = crm.schemas.core_api.create(egg)
    by_id = crm.schemas.core_api.get_by_id(made.object_type_id)
    everything = crm.schemas.core_api.get_all().results
    api = crm.objects.basic_api
    first = api.create(
        made.fully_qualified_name, SimplePublicObjectInputForCreate(properties={"vin": "V1"}, associations=[])
    )
    read = api.get_by_id(made.object_type_id, first.id, properties=["vin"])

    assert (made.fully_qualified_name, by_id.id) == ("p7007_car", made.id)
    assert [one.fully_qualified_name for one in everything] == ["p7007_car"]
    assert read.properties["vin"] == "V1"
    with pytest.raises(Exception, match="required properties were not set"):
        api.create(made.fully_qualified_name, SimplePublicObjectInputForCreate(properties={}, associations=[]))
    with pytest.raises(schemas.ApiException) as error:
        crm.schemas.core_api.get_by_id("p7007_boat")
    assert error.value.status == 404


def test_merged_contacts(crm: Any) -> None:
    """The id that is gone and both addresses lead to the record that is left; a further contact with one is refused."""
    kept, gone = contact(crm, email="john@acme.com"), contact(crm, email="jd@home.example", city="Ghent")
    acme = company(crm, "Acme")
    crm.associations.v4.basic_api.create_default("contacts", gone, "companies", acme)
    crm.contacts.basic_api.merge(contacts.PublicMergeInput(primary_object_id=kept, object_id_to_merge=gone))
    names = ["city", "hs_additional_emails", "hs_merged_object_ids"]
    by_id = crm.contacts.basic_api.get_by_id(gone, properties=names)
    by_email = crm.contacts.basic_api.get_by_id("jd@home.example", id_property="email")

    assert by_id.id == by_email.id == kept
    assert [by_id.properties[name] for name in ("email", *names)] == ["john@acme.com", "Ghent", "jd@home.example", gone]
    assert labels(crm, kept) == {acme: [None]}
    with pytest.raises(contacts.ApiException) as error:
        contact(crm, email="jd@home.example")
    assert json.loads(error.value.body)["message"] == f"Contact already exists. Existing ID: {kept}"


def test_the_second_address_becomes_the_first(crm: Any) -> None:
    """Writing the one as the email swaps the two: nothing that HubSpot knew of the contact is lost."""
    kept, gone = contact(crm, email="john@acme.com"), contact(crm, email="jd@home.example")
    crm.contacts.basic_api.merge(contacts.PublicMergeInput(primary_object_id=kept, object_id_to_merge=gone))
    change = contacts.SimplePublicObjectInput(properties={"email": "jd@home.example"})
    crm.contacts.basic_api.update(kept, change)
    read = crm.contacts.basic_api.get_by_id("john@acme.com", id_property="email", properties=["hs_additional_emails"])

    assert (read.id, read.properties["email"]) == (kept, "jd@home.example")
    assert read.properties["hs_additional_emails"] == "john@acme.com"
