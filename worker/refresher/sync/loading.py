"""Loads what was read into the warehouse with dlt: an object's table changes in one transaction, or not at all."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy.engine import URL

from connectors.engine.manifest.read import ColumnType
from worker.refresher.sync.destination import destination, schema_of
from worker.refresher.sync.failures import altered
from worker.refresher.sync.reading import ObjectRead
from worker.refresher.sync.spool import DELETED, RELATED, ROWS
from worker.refresher.sync.values import SQLITE, Holds, rows_of

GONE: Final = "_deleted"
SYNCED_AT: Final = "_synced_at"
SINCE: Final = "since"
CHUNK: Final = 1_000
_OURS: Final[dict[str, Any]] = {
    SYNCED_AT: {"data_type": "timestamp"},
    GONE: {"data_type": "bool", "hard_delete": True},
}
_CONTRACT: Final = {"tables": "evolve", "columns": "evolve", "data_type": "freeze"}
"""A new field becomes a new column. A value of another type is an error; dlt's default would be a second column."""


class Loader:
    """Loads into one connection's schema of the warehouse. ``folder``: an empty folder, to be deleted afterwards."""

    def __init__(self, url: URL, slug: str, folder: Path) -> None:
        import dlt  # noqa: PLC0415

        # SQLAlchemy warns about a SELECT within IN that dlt's destination builds, twice for each merge
        warnings.filterwarnings("ignore", module="dlt")
        self.schema = schema_of(slug)
        self._holds = SQLITE if url.get_backend_name() == "sqlite" else Holds()
        self.pipeline = dlt.pipeline(
            f"writeback_{self.schema}",
            destination=destination(url),
            dataset_name=self.schema,
            pipelines_dir=str(folder),
        )

    def since(self) -> dict[str, datetime]:
        """The time up to which the last run of each object has read; the warehouse itself keeps it."""
        self.pipeline.sync_destination()
        sources: dict[str, Any] = self.pipeline.state.get("sources") or {}
        resources = (sources.get(self.schema) or {}).get("resources") or {}
        return {name: datetime.fromisoformat(state[SINCE]) for name, state in resources.items() if state.get(SINCE)}

    def check(self, objects: Iterable[str]) -> None:
        """Raises ``Altered`` where a table or a column of the last run is missing."""
        known = self.pipeline.default_schema.tables if self.pipeline.default_schema_name else {}
        asked = tuple(objects)
        left = {
            # a field that was always null has no type, and no column yet
            name: {column for column, spec in table["columns"].items() if "data_type" in spec}
            for name, table in known.items()
            if name in asked or name.startswith(tuple(f"{each}_" for each in asked))
        }
        with self.pipeline.destination_client() as client:
            for name, columns in client.get_storage_tables(list(left)):
                if missing := sorted(left[name] - set(columns)):
                    raise altered(self.schema, name, missing if columns else [])

    def load(self, objects: list[ObjectRead], at: datetime, *, rebuild: bool = False) -> dict[str, int]:
        """Load the objects; returns the number of rows by object. ``rebuild``: make new tables, types may differ."""
        import dlt  # noqa: PLC0415

        self.pipeline.abort_packages()

        def everything() -> Iterator[Any]:
            for read in objects:
                yield _object(read, at, self._holds)
                for name in read.source.spec.related:
                    yield _related(read, name, at)

        source = dlt.source(everything, name=self.schema, max_table_nesting=0, schema_contract=_CONTRACT)
        self.pipeline.run(source(), refresh="drop_resources" if rebuild else None)
        return {read.source.name: read.rows for read in objects}


def _object(read: ObjectRead, at: datetime, holds: Holds) -> Any:
    """The table of an object: replaced when all records were read, else merged by the primary key."""
    import dlt  # noqa: PLC0415

    name, key = read.source.name, read.source.spec.key

    def typed() -> Iterator[dict[str, Any]]:
        row_of = rows_of(name, read.types, key, holds)
        for record, gone in _latest(read):
            row = row_of(record)
            row[SYNCED_AT] = at
            if gone:
                row[GONE] = True
            yield row

    def rows() -> Iterator[Any]:
        yield dlt.mark.materialize_table_schema()
        yield from _chunks(typed())
        if read.since is not None:
            dlt.current.resource_state()[SINCE] = read.since.isoformat()

    types: dict[str, ColumnType] = {**dict.fromkeys(key, "text"), **read.types}
    return dlt.resource(
        rows,
        name=name,
        primary_key=key,
        write_disposition="replace" if read.whole else "merge",
        columns={**{column: {"data_type": kind} for column, kind in types.items()}, **_OURS},
    )


def _related(read: ObjectRead, name: str, at: datetime) -> Any:
    """The table of related records (associations): those of each record that was read are all replaced."""
    import dlt  # noqa: PLC0415

    owner = f"{read.source.name}_id"
    others = list(read.source.spec.related[name].columns)

    def records() -> Iterator[dict[str, Any]]:
        seen: set[tuple[str, ...]] = set()
        for record in read.spool.rows(RELATED + name):
            row = {column: str(record[column]) for column in (owner, *others)}
            if (which := tuple(row.values())) not in seen:
                seen.add(which)
                yield {**row, SYNCED_AT: at}
        if not read.whole:
            for record, _ in _latest(read):
                all_of = {owner: str(record[read.source.spec.key[0]]), **dict.fromkeys(others, "")}
                yield {**all_of, SYNCED_AT: at, GONE: True}

    def rows() -> Iterator[Any]:
        yield dlt.mark.materialize_table_schema()
        yield from _chunks(records())

    return dlt.resource(
        rows,
        name=f"{read.source.name}_{name}",
        primary_key=[owner, *others],
        merge_key=owner,
        write_disposition="replace" if read.whole else "merge",
        columns={**{column: {"data_type": "text"} for column in (owner, *others)}, **_OURS},
    )


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists: dlt's work for each item that it is given, row or list, is a third of a refresh."""
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _latest(read: ObjectRead) -> Iterator[tuple[dict[str, Any], bool]]:
    """Each record once, in its latest version, and whether it is deleted.

    A record that changes its place while the pages are read comes twice.
    """
    last = {key: number for number, (key, _, _) in enumerate(_lines(read))}
    for number, (key, record, gone) in enumerate(_lines(read)):
        if last[key] != number:
            continue
        if gone:
            yield dict(zip(read.source.spec.key, from_json(key), strict=True)), True
        else:
            yield from_json(record), False


def _lines(read: ObjectRead) -> Iterator[tuple[bytes, bytes, bool]]:
    for key, record in read.spool.lines(ROWS):
        yield key, record, False
    for key, record in read.spool.lines(DELETED):
        yield key, record, True
