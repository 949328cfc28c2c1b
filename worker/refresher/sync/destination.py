"""The warehouse's URL as a destination of dlt."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.engine import URL

from worker.refresher.sync.silent import silent_sqlite, silent_url

BIGQUERY_LOCATION: Final = "US"
"""BigQuery's own default."""


def destination(url: URL) -> Any:
    """The destination object of dlt for this URL."""
    import dlt.destinations  # noqa: PLC0415 - a second, and 60 MB

    known = dlt.destinations
    match url.get_backend_name():
        case "duckdb":
            return known.duckdb(url.database, create_indexes=True)
        case "bigquery":  # credentials are where Google's libraries look for them: GOOGLE_APPLICATION_CREDENTIALS
            return known.bigquery(project_id=url.host, location=url.query.get("location", BIGQUERY_LOCATION))
        case "redshift":  # it speaks PostgreSQL's protocol
            return known.redshift(credentials=_text(url.set(drivername="postgresql")))
        case "snowflake":
            return known.snowflake(credentials=_text(url))
        case "sqlite":
            return known.sqlalchemy(silent_sqlite(url), create_primary_keys=True, create_unique_indexes=True)
    return known.sqlalchemy(_text(silent_url(url)), create_primary_keys=True, create_unique_indexes=True)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def schema_of(slug: str) -> str:
    """The schema of a connection: its slug as a name that no database needs to quote."""
    name = slug.replace("-", "_")
    return name if name[0].isalpha() else f"c_{name}"
