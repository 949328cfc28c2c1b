"""The SELECT of a sync: only its columns, in the order of its key, from its cursor on."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, bindparam, column, literal_column, select, text
from sqlalchemy import table as table_clause
from sqlalchemy.sql import quoted_name
from sqlalchemy.sql.selectable import FromClause

from topics.outbox.definition import TableName

_BIND = re.compile(r"(?<![:\w\\]):(?=\w)")
_COMMENT = r"--[^\n]*|/\*.*?\*/"
_TOKEN = re.compile(rf"'[^']*'|\"[^\"]*\"|`[^`]*`|{_COMMENT}|.", re.DOTALL)
_SILENT = re.compile(rf"{_COMMENT}|\s", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rows:
    """What is read: a ``query`` or a ``table``. ``dialect``: SQLAlchemy's name of the database."""

    dialect: str
    query: str | None = None
    table: TableName | None = None

    def everything(self, columns: Sequence[str]) -> FromClause:
        if self.table is not None:
            schema = self.table.schema_name
            named = self._name(self.table.name)
            return table_clause(
                named, *[column(self._name(name)) for name in columns], schema=schema and self._name(schema)
            )
        # what follows goes onto a new line, since the query may end with a comment
        written = text(_BIND.sub(r"\\:", _without_end(self.query or "")) + "\n")
        return written.columns(*[column(self._name(name)) for name in columns]).subquery("rows_of_sync")

    def look(self) -> Select[Any]:
        """A SELECT without rows, to learn the columns."""
        return select(literal_column("*")).select_from(self.everything(["*"])).where(text("1 = 0"))

    def select(
        self,
        columns: Sequence[str],
        key: Sequence[str],
        *,
        texts: Collection[str] = (),
        cursor: tuple[str, Any] | None = None,
        ordered: bool = True,
    ) -> Select[Any]:
        """``columns`` of the rows whose cursor has at least this value, ordered by the key's columns.

        ``texts``: the key columns that PostgreSQL would order by a language's rules; they are ordered by code point.
        """
        source = self.everything(columns)
        chosen = select(*[source.c[name] for name in columns])
        if cursor is not None:
            chosen = chosen.where(source.c[cursor[0]] >= bindparam("writeback_cursor", cursor[1]))
        if ordered:
            chosen = chosen.order_by(*[self._by(source.c[name], name in texts) for name in key])
        return chosen

    def _by(self, one: Any, is_text: bool) -> Any:
        return one.collate("C") if is_text and self.dialect == "postgresql" else one

    def _name(self, name: str) -> str:
        if name == "*":
            return name
        # duckdb-engine knows only PostgreSQL's reserved words, so all names are quoted; other dialects know their own
        return quoted_name(name, quote=True if self.dialect == "duckdb" else None)


def _without_end(query: str) -> str:
    """Without the semicolons behind its last word: it becomes a subquery. Comments stay, also behind them."""
    ends: list[int] = []
    for token in _TOKEN.finditer(query):
        if token[0] == ";":
            ends.append(token.start())
        elif not _SILENT.fullmatch(token[0]):
            ends.clear()
    kept = [character for place, character in enumerate(query) if place not in ends]
    return "".join(kept).strip()
