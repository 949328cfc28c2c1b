"""One table: its columns, its key, and the statements for rows of it. Every name is quoted, every value is bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import NullType

from topics.event import exact_json

_INSERTS: Mapping[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class NoSuchTable(ValueError):
    """The database has no table of that name, or this user does not see it."""


class Table:
    """``key``: the columns that identify a row. Raises ``NoSuchTable``, ``ValueError`` for a key that is no column.

    Columns have no type here, and values go as they are in JSON: the database reads them as its column does, so that
    dates, UUIDs and numbers of any size need no conversion of ours that could round or refuse them.
    """

    def __init__(self, connection: sa.Connection, name: str, schema: str | None, key: Sequence[str]) -> None:
        looking = sa.inspect(connection)
        if not looking.has_table(name, schema=schema):
            raise NoSuchTable(f"there is no table {name!r}{f' in {schema}' if schema else ''}")
        self.name = name
        self.columns = [str(column["name"]) for column in looking.get_columns(name, schema=schema)]
        self.key = tuple(key)
        self._dialect = connection.dialect.name
        self._table = sa.table(
            quoted_name(name, quote=True),
            *(sa.column(quoted_name(one, quote=True), NullType()) for one in self.columns),
            schema=None if schema is None else quoted_name(schema, quote=True),
        )
        self.check(key)

    def check(self, names: Iterable[str]) -> None:
        """Raises ``ValueError`` that names what is no column."""
        unknown = sorted(set(names) - set(self.columns))
        if unknown:
            raise ValueError(f"{self.name} has no column {', '.join(unknown)}; it has {', '.join(self.columns)}")

    def identified(self, fields: Mapping[str, Any]) -> None:
        """Raises ``ValueError`` when the fields do not say which row is meant."""
        lacking = [name for name in self.key if fields.get(name) is None]
        if lacking:
            raise ValueError(
                f"{', '.join(lacking)} is not given, and identifies a row of {self.name}; "
                "the connection's setting `keys` says otherwise"
            )

    def insert(self, names: Sequence[str]) -> sa.Executable:
        return sa.insert(self._table).values({name: self._bound(name) for name in names})

    def upsert(self, names: Sequence[str]) -> sa.Executable:
        statement = _INSERTS[self._dialect](self._table).values({name: self._bound(name) for name in names})
        changed = {name: statement.excluded[name] for name in names if name not in self.key}
        if not changed:
            return statement.on_conflict_do_nothing(index_elements=self.key)  # type: ignore[no-any-return]
        return statement.on_conflict_do_update(index_elements=self.key, set_=changed)  # type: ignore[no-any-return]

    def update(self, names: Sequence[str]) -> sa.Executable:
        changed = {name: self._bound(name) for name in names if name not in self.key}
        return sa.update(self._table).where(self._is()).values(changed)

    def delete(self) -> sa.Executable:
        return sa.delete(self._table).where(self._is())

    def one(self) -> sa.Select[Any]:
        return sa.select(*self._table.columns).where(self._is())

    def page(self, filters: Mapping[str, Any], start: int, size: int) -> sa.Select[Any]:
        """Rows in the order of the key; ``start`` are left out in front."""
        columns = self._table.columns
        matching = [
            columns[name].is_(None) if value is None else columns[name] == self._bound(name)
            for name, value in filters.items()
        ]
        chosen = sa.select(*columns).where(*matching)
        return chosen.order_by(*(columns[name] for name in self.key)).offset(start).limit(size)

    def values(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A row's parameters."""
        convert = _for_sqlite if self._dialect == "sqlite" else _for_postgresql
        return {_parameter(name, self.columns): convert(value) for name, value in fields.items()}

    def _is(self) -> sa.ColumnElement[bool]:
        return sa.and_(*(self._table.columns[name] == self._bound(name) for name in self.key))

    def _bound(self, name: str) -> sa.BindParameter[Any]:
        return sa.bindparam(_parameter(name, self.columns), type_=NullType())


def _parameter(name: str, columns: Sequence[str]) -> str:
    """A parameter's name, which no column's name can break."""
    return f"p{columns.index(name)}"


def _for_postgresql(value: Any) -> Any:
    """Text, which PostgreSQL reads as a literal of the column's type."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return exact_json.plain(Decimal(repr(value)))
    return exact_json.shown(value)


def _for_sqlite(value: Any) -> Any:
    if value is None or isinstance(value, str | float):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    return exact_json.shown(value)
