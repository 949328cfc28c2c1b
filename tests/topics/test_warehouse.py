"""Where a warehouse is, by its URL."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from topics.errors import SettingsError
from topics.settings import load_settings
from topics.warehouse import add_schema_file, attached, open_warehouse, schema_files, warehouse_url


def test_a_reference_is_the_variable_it_names() -> None:
    """The URL with its password may stay in a variable of its own; ``postgresql`` means psycopg."""
    url = warehouse_url("env:THE_URL", {"THE_URL": "postgresql://u:p@host/db"})

    assert (url.drivername, url.password, url.database) == ("postgresql+psycopg", "p", "db")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("env:NOWHERE", "the environment variable NOWHERE is not set"),
        ("no url", "none that SQLAlchemy can read"),
        ("oracle7://host/db", "no database 'oracle7' that SQLAlchemy knows here"),
    ],
)
def test_what_is_no_warehouse(url: str, said: str) -> None:
    """Is said in words that hold no password."""
    with pytest.raises(SettingsError, match=said):
        open_warehouse(warehouse_url(url, {}))


@pytest.mark.parametrize(
    ("url", "extra", "module"),
    [
        ("snowflake://user:password@account/db?warehouse=wh&role=role", "snowflake", "snowflake.sqlalchemy"),
        ("bigquery://project", "bigquery", "sqlalchemy_bigquery"),
        ("redshift+psycopg2://user:password@host:5439/db", "redshift", "psycopg2"),
        (
            "databricks://token:password@host:443?http_path=/sql&catalog=c&schema=s",
            "databricks",
            "databricks.sqlalchemy",
        ),
        ("mssql://user:password@host/db", "mssql", "pymssql"),
    ],
)
def test_the_clouds_are_extras(monkeypatch: pytest.MonkeyPatch, url: str, extra: str, module: str) -> None:
    """Without the extra the message says which to install, and no password."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError) as raised:
        open_warehouse(warehouse_url(url))
    assert f"pip install 'writeback[{extra}]'" in str(raised.value)
    assert "password" not in str(raised.value)


def test_the_setting_is_checked_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A slip is told with the other mistakes, and without the value, which may hold a password."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WRITEBACK_WAREHOUSE", "secret@host/db")
    monkeypatch.setenv("WRITEBACK_WAREHOUSE_FINANCE", "other secret")

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert "WRITEBACK_WAREHOUSE: is not a warehouse; it is sqlite:///path" in str(raised.value)
    assert "WRITEBACK_WAREHOUSES: finance is not a warehouse" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_schemas_of_sqlite_are_files(tmp_path: Path) -> None:
    """As dlt lays them out, without its staging files."""
    engine = open_warehouse(warehouse_url(f"sqlite:///{tmp_path}/deep/wh.db"))
    for schema in ("hubspot", "hubspot_staging"):
        with attached(engine) as connection:
            add_schema_file(connection, schema)
            connection.execute(text(f"CREATE TABLE {schema}.contact (id INTEGER)"))
            connection.commit()

    assert schema_files(engine.url) == {"hubspot": tmp_path / "deep" / "wh__hubspot.db"}
    with attached(engine, ["hubspot", "nowhere"]) as connection:
        assert connection.execute(text("SELECT count(*) FROM hubspot.contact")).scalar() == 0
