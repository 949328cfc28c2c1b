"""The files of syncs: what may stand in them, and what is said about mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from worker.syncs.definition import dbt
from worker.syncs.definition.__main__ import schema
from worker.syncs.definition.bounds import Bound
from worker.syncs.definition.load import SYNCS
from worker.syncs.definition.model import Sync
from worker.syncs.errors import BadSync, UnknownSync

ROOT = Path(__file__).parents[3]
WHOLE = """
query: |
  SELECT id, email, plan FROM people
key: [id]
connection: hubspot
object: contact
map: {email: email, plan: [plan, old_plan]}
set: {lifecyclestage: customer}
mode: mirror
removed: {lifecyclestage: other}
schedule: "0 6 * * *"
timezone: Europe/Berlin
max_changes: 5%
max_removed: 500
max_nulls: off
"""


def put(folder: Path, text: str, name: str = "people.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_a_sync(tmp_path: Path) -> None:
    """Its name is the file's, and what is written short is read whole."""
    put(tmp_path, WHOLE)
    sync = SYNCS.all(tmp_path)["people"]
    assert sync.map == {"email": ("email",), "plan": ("plan", "old_plan")}
    assert (sync.max_changes, sync.max_removed, sync.max_nulls) == (Bound(0.05, 100), Bound(0.0, 500), None)


def test_the_published_schema_takes_what_we_take() -> None:
    """The whole file above is valid by it, and an unknown name is not; and it is the one in the reference."""
    said = schema()
    jsonschema.validate(yaml.safe_load(WHOLE), json.loads(said))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**yaml.safe_load(WHOLE), "opject": "x"}, json.loads(said))
    assert (ROOT / "docs/reference/sync.schema.json").read_text(encoding="utf-8") == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"opject": "contact"}, "opject: there is no such setting; did you mean object?"),
        ({"query": "SELECT 1"}, "give one of query, table and model"),
        ({"schedule": "hourly"}, "'hourly' is no schedule: write every 15m, or five fields of cron"),
        ({"schedule": "0 0 31 2 *"}, "'0 0 31 2 *' never comes: there is no such day"),
        ({"mode": "cursor"}, "cursor: it names a column, and goes with mode: cursor"),
        ({"max_changes": "many"}, "max_changes: 'many' is no bound: write 20%, a number of rows"),
        ({"timezone": "Berlin"}, "there is no time zone 'Berlin'"),
        ({"map": {"a": "x", "b": "x"}}, "x: two columns or constants for the same field"),
        ({"operation": "upsurt"}, "operation: input should be 'add'"),
        ({"model": "customers", "table": None}, "write ref('customers')"),
    ],
)
def test_a_mistake_is_told_by_file_and_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    """With what to write instead."""
    given = {"table": "people", "key": "id", "connection": "crm", "object": "contact"} | change
    path = put(tmp_path, yaml.safe_dump({name: value for name, value in given.items() if value is not None}))
    with pytest.raises(BadSync) as error:
        SYNCS.all(tmp_path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is told, and whoever asks for it by name hears why."""
    put(tmp_path, WHOLE)
    put(tmp_path, "key: [", "broken.yaml")
    found, wrong = SYNCS.readable(tmp_path)
    assert (list(found), len(wrong)) == (["people"], 1)
    with pytest.raises(BadSync, match="this is no YAML"):
        SYNCS.find(tmp_path, "broken")
    with pytest.raises(UnknownSync, match="Did you mean 'people'"):
        SYNCS.find(tmp_path, "peple")


def test_a_model_of_dbt_is_its_table(tmp_path: Path) -> None:
    """By the manifest in the folder above; a name that is not there is told with the nearest."""
    nodes = {
        "model.shop.customers": {
            "resource_type": "model", "name": "customers", "package_name": "shop", "schema": "analytics",
            "alias": "dim_customers", "config": {"materialized": "table"},
        },
    }  # fmt: skip
    (tmp_path / "target").mkdir()
    (tmp_path / "target/manifest.json").write_text(json.dumps({"nodes": nodes}), encoding="utf-8")
    folder = tmp_path / "syncs"
    folder.mkdir()
    given = {"name": "c", "key": "id", "connection": "crm", "object": "contact"}
    sync = Sync.model_validate({**given, "model": "ref('customers')"})
    assert str(dbt.table_of(sync, folder)) == "analytics.dim_customers"
    with pytest.raises(BadSync, match=r"did you mean ref\('customers'\)"):
        dbt.table_of(Sync.model_validate({**given, "model": "ref('customer')"}), folder)
    (exposure,) = yaml.safe_load(dbt.exposures([sync], "data"))["exposures"]
    assert (exposure["name"], exposure["depends_on"]) == ("c", ["ref('customers')"])
