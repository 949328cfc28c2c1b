"""The connector of the how-to page is a connector: it loads, and it keeps the contract."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import yaml
from jsonschema import Draft202012Validator

from connectors.contract import Connector, Delivered, Found, Rejected, Throttled
from connectors.engine.manifest import Manifest, parse
from connectors.engine.manifest.__main__ import schema
from tests.conformance.connectors import ConnectorContract
from tests.conformance.vendor import Told, Vendor

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/add-a-connector.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(block)


MANIFEST = parse(block("yaml"), "docs/how-to/add-a-connector.md")


class TestThePage(ConnectorContract):
    name = "acme"
    object = "person"
    add: ClassVar = {"email": "john@acme.com", "name": "John Doe"}
    update: ClassVar = {"id": 7, "name": "John"}
    delete: ClassVar = {"id": 7}

    deleted = Told(204)

    def manifest(self) -> Manifest:
        return MANIFEST

    async def test_what_it_sends(self, vendor: Vendor, connector: Connector) -> None:
        """Fields go under the names that the vendor knows."""
        await connector.deliver([self.event("add")])

        assert json.loads(vendor.received[0].body) == {
            "email": "john@acme.com",
            "first_name": "John",
            "last_name": "Doe",
        }

    async def test_its_error_table(self, vendor: Vendor, connector: Connector) -> None:
        """Each of its rows does what its comment says."""
        quota = await self.verdict(vendor, connector, "add", Told(429, b'{"code": "daily_quota"}'))
        taken = await self.verdict(vendor, connector, "add", Told(422, b'{"code": "email_taken"}'))

        assert isinstance(quota, Throttled)
        assert isinstance(taken, Rejected)
        assert (quota.after, taken.conflict) == (3_600, True)

    async def test_its_batch(self, vendor: Vendor, connector: Connector) -> None:
        """Of a batch that succeeds in part, each event gets its own verdict."""
        first = self.event("update")
        second = first.model_copy(update={"id": "e2", "fields": {"id": 8, "first_name": "x"}})
        vendor.told = Told(207, b'{"done": [{"id": 8}], "failed": [{"id": 7, "code": "gone"}]}')
        verdicts = await connector.deliver([first, second])

        assert [type(verdict) for verdict in verdicts] == [Rejected, Delivered]
        assert json.loads(vendor.received[0].body)["people"][0] == {"id": 7, "changes": {"first_name": "John"}}

    async def test_its_find(self, vendor: Vendor, connector: Connector) -> None:
        """It asks by the unique field, and finds."""
        vendor.told = Told(200, b'{"people": [{"id": 3, "email": "John@acme.com"}]}')
        (finding,) = await connector.find([self.event("add")])

        assert isinstance(finding, Found)
        assert (finding.id, json.loads(vendor.received[0].body)) == ("3", {"emails": ["john@acme.com"]})


def test_an_editor_agrees() -> None:
    """The manifest of the page fits the published schema."""
    Draft202012Validator(json.loads(schema())).validate(yaml.safe_load(block("yaml")))


def test_the_test_of_the_page_is_the_one_that_is_run() -> None:
    """The class that the page shows has the same fields as the one here."""
    names: dict[str, Any] = {}
    exec(compile(block("python"), "add-a-connector.md", "exec"), names)
    shown, ours = names["TestContract"], TestThePage

    assert (shown.name, shown.object, shown.add, shown.update, shown.delete) == (
        ours.name,
        ours.object,
        ours.add,
        ours.update,
        ours.delete,
    )
    assert issubclass(shown, ConnectorContract)


def test_the_files_of_the_checklist_exist() -> None:
    """What the page calls by its path is there, for the connectors that are."""
    checklist = PAGE.partition("## To make it part of this project")[2].partition("## The test")[0]
    paths = re.findall(r"^\d\. \*\*`([^`]+)`\*\*", checklist, re.MULTILINE)

    assert len(paths) == 4
    assert [path for path in paths if not (ROOT / path.replace("<saas>", "slack")).exists()] == []
