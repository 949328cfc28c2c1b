"""Which destination of dlt a warehouse is; no cloud's library, and no account, is needed to say."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import make_url

from worker.refresher.sync.destination import destination, schema_of


@pytest.mark.parametrize(
    ("url", "kind", "parameters"),
    [
        (
            "snowflake://u:p@account/db?warehouse=wh",
            "snowflake",
            {"credentials": "snowflake://u:p@account/db?warehouse=wh"},
        ),
        ("bigquery://project?location=EU", "bigquery", {"project_id": "project", "location": "EU"}),
        ("redshift+psycopg2://u:p@host:5439/db", "redshift", {"credentials": "postgresql://u:p@host:5439/db"}),
        ("duckdb:////data/wh.duckdb", "duckdb", {"credentials": "/data/wh.duckdb", "create_indexes": True}),
        (
            "sqlite:////data/wh.db",
            "sqlalchemy",
            {"create_primary_keys": True, "create_unique_indexes": True},
        ),
    ],
)
def test_a_warehouse_is_a_destination(url: str, kind: str, parameters: dict[str, Any]) -> None:
    """With the address, the credentials and the keys that its loader wants."""
    made = destination(make_url(url))

    assert made.destination_name == kind
    assert {name: made.config_params.get(name) for name in parameters} == parameters


@pytest.mark.parametrize(("slug", "schema"), [("hubspot-eu", "hubspot_eu"), ("3m", "c_3m"), ("crm", "crm")])
def test_a_schema_needs_no_quotes(slug: str, schema: str) -> None:
    """The connection's slug, as every database takes it."""
    assert schema_of(slug) == schema
