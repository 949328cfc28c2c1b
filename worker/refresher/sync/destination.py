"""The warehouse's URL as a destination of dlt."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.engine import URL

from topics.outbox.postgres import LOADING

BIGQUERY_LOCATION: Final = "US"
"""BigQuery's own default."""


def destination(url: URL) -> Any:
    """What dlt loads into."""
    import dlt.destinations  # noqa: PLC0415 - a second, and 60 MB

    known = dlt.destinations
    match url.get_backend_name():
        case "duckdb":
            return known.duckdb(url.database, create_indexes=True)
        case "bigquery":  # who may do it is said where Google's libraries look: GOOGLE_APPLICATION_CREDENTIALS
            return known.bigquery(project_id=url.host, location=url.query.get("location", BIGQUERY_LOCATION))
        case "redshift":  # spoken to as a PostgreSQL
            return known.redshift(credentials=_text(url.set(drivername="postgresql")))
        case "snowflake":
            return known.snowflake(credentials=_text(url))
    return known.sqlalchemy(_text(_silent(url)), create_primary_keys=True, create_unique_indexes=True)


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _silent(url: URL) -> URL:
    """On PostgreSQL, a session in which no trigger of ours fires: what a refresh loads is no change to send back."""
    if url.get_backend_name() != "postgresql":
        return url
    given = url.query.get("options", "")
    own = f"{given if isinstance(given, str) else ' '.join(given)} -c {LOADING}=on".strip()
    return url.update_query_dict({"options": own})


def schema_of(slug: str) -> str:
    """The schema of a connection: its slug, as a name that needs no quotes anywhere."""
    name = slug.replace("-", "_")
    return name if name[0].isalpha() else f"c_{name}"
