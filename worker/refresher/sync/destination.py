"""The warehouse's URL as a destination of dlt."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy.engine import URL

from topics.outbox.postgres import LOADING

NATIVE: Final = ("snowflake", "bigquery", "redshift")
"""Databases that dlt loads by their own means; the others it speaks to through SQLAlchemy."""


def destination(url: URL) -> Any:
    """What dlt loads into."""
    import dlt.destinations  # noqa: PLC0415 - a second, and 60 MB

    name = url.get_backend_name()
    if name == "duckdb":
        return dlt.destinations.duckdb(url.database, create_indexes=True)
    if name in NATIVE:
        return getattr(dlt.destinations, name)(credentials=url.render_as_string(hide_password=False))
    address = _silent(url).render_as_string(hide_password=False)
    return dlt.destinations.sqlalchemy(address, create_primary_keys=True, create_unique_indexes=True)


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
