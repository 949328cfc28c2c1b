"""The SQL of a trigger on PostgreSQL: one function, and a trigger for each kind of statement.

They are statement triggers with transition tables, so a bulk change is one insert into the outbox. The old and the new
version of an updated row are matched by their place: PostgreSQL adds each to its transition table at the same time, so
the n-th row of one belongs to the n-th of the other, even where the key changed.

The function runs with the rights of the trigger's maker (``SECURITY DEFINER``), so that those who write to the table
need no rights on the outbox.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

from sqlalchemy import Connection, text

from topics.event.codec import TYPE_PREFIX
from topics.outbox.definition import Change, Trigger
from topics.outbox.errors import BadTrigger
from topics.outbox.sent import COMPARED
from topics.outbox.tables import SCHEMA

CHANNEL = "writeback_outbox"
LOADING = "writeback.loading"
"""The session setting under which our triggers send nothing: a refresh does ``SET writeback.loading = 'on'``."""

_PLAIN = frozenset(
    {
        "bool",
        "int2",
        "int4",
        "int8",
        "text",
        "varchar",
        "bpchar",
        "name",
        "char",
        "citext",
        "uuid",
        "time",
        "timetz",
        "interval",
        "inet",
        "cidr",
        "macaddr",
        "macaddr8",
    }
)
"""Types that ``to_json`` writes as a JSON number, boolean or text."""
_SAME_IN_JSON = frozenset({"bool", "int2", "int4", "int8"})
"""Of these, those whose own text is JSON: they need no ``to_json``, which is a good part of what a trigger costs."""
_DATES = frozenset({"date", "timestamp", "timestamptz"})
_FLOATS = frozenset({"float4", "float8"})
_JSON = frozenset({"json", "jsonb"})
_NUMERIC_INFINITY = 140_000
"""``server_version_num`` from which numeric has Infinity. https://www.postgresql.org/docs/14/release-14.html"""
_RANDOM_UUID = 130_000
"""``server_version_num`` from which ``gen_random_uuid`` needs no extension."""


@dataclass(frozen=True, slots=True)
class ColumnType:
    """``kind``: the name in pg_type, that of the base type for a domain. ``array``: it is an array of that type."""

    kind: str
    array: bool
    enum: bool

    @property
    def sendable(self) -> bool:
        scalar = self.enum or self.kind in _PLAIN | _DATES | _FLOATS | {"numeric"}
        return scalar or (not self.array and self.kind in _JSON | {"bytea"})


def columns_of(connection: Connection, trigger: Trigger) -> dict[str, ColumnType]:
    """Every column of the table. Raises ``BadTrigger`` when there is no such table."""
    oid = connection.scalar(text("SELECT to_regclass(:name)::oid"), {"name": _table(trigger)})
    kind = connection.scalar(text("SELECT relkind FROM pg_class WHERE oid = :oid"), {"oid": oid})
    if kind is None:
        raise BadTrigger(f"there is no table {trigger.table}")
    if kind not in {"r", "p"}:
        raise BadTrigger(f"{trigger.table} is no table (a view, perhaps): put the trigger on the table behind it")
    return {
        row.attname: ColumnType(row.kind, row.array, row.enum)
        for row in connection.execute(text(_COLUMNS), {"oid": oid})
    }


_COLUMNS = """
WITH RECURSIVE base AS (
    SELECT a.attname, a.attnum, t.oid, t.typname, t.typtype, t.typbasetype, t.typelem, t.typcategory
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = :oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.attname, b.attnum, t.oid, t.typname, t.typtype, t.typbasetype, t.typelem, t.typcategory
    FROM base b JOIN pg_type t ON t.oid = b.typbasetype WHERE b.typtype = 'd'
)
SELECT b.attname, coalesce(e.typname, b.typname)::text AS kind, e.oid IS NOT NULL AS array,
       coalesce(e.typtype, b.typtype) = 'e' AS enum
FROM base b LEFT JOIN pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'
WHERE b.typtype <> 'd' ORDER BY b.attnum
"""


def install(connection: Connection, trigger: Trigger) -> None:
    """Make or replace the function and the triggers. Raises ``BadTrigger``."""
    for statement in statements(trigger, columns_of(connection, trigger), server_version(connection)):
        _run(connection, statement)


def drop(connection: Connection, trigger: Trigger) -> None:
    """Drop the triggers; no error when the table, and its triggers with it, is gone already."""
    _run(connection, f"DROP FUNCTION IF EXISTS {_function(trigger)}() CASCADE")


def statements(trigger: Trigger, types: dict[str, ColumnType], version: int) -> Iterator[str]:
    """The SQL, statement by statement."""
    yield _Writer(trigger, types, version).function()
    for change, when, tables in _EVENTS:
        if change in trigger.operations or trigger.unchanged == COMPARED:
            name = _quoted(f"{SCHEMA}_{trigger.name}_{when.split()[1].lower()}")
            yield f"DROP TRIGGER IF EXISTS {name} ON {_table(trigger)}"
            yield (
                f"CREATE TRIGGER {name} {when} ON {_table(trigger)}{tables}\n"
                f"FOR EACH STATEMENT EXECUTE FUNCTION {_function(trigger)}()"
            )


_EVENTS: tuple[tuple[Change, str, str], ...] = (
    ("insert", "AFTER INSERT", " REFERENCING NEW TABLE AS new_rows"),
    ("update", "AFTER UPDATE", " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    ("delete", "AFTER DELETE", " REFERENCING OLD TABLE AS old_rows"),
    ("delete", "BEFORE TRUNCATE", ""),
)


def try_out(connection: Connection, trigger: Trigger) -> None:
    """Run the trigger's statements over no rows: the database checks a function's SQL only when it runs."""
    writer = _Writer(trigger, columns_of(connection, trigger), server_version(connection))
    for statement in writer.trials():
        _run(connection, statement)


def backfill(connection: Connection, trigger: Trigger, after: Sequence[Any] | None, rows: int) -> tuple[int, Any]:
    """Put the next ``rows`` rows that follow the key ``after`` into the outbox as inserts.

    The rows are locked until the end of the transaction, so that the event of an old version cannot follow that of a
    newer one. Returns how many rows there were, and the last key.
    """
    writer = _Writer(trigger, columns_of(connection, trigger), server_version(connection))
    found = _run(connection, writer.backfill(after, rows)).one()
    return found.rows, found.last


def _run(connection: Connection, sql: str) -> Any:
    """Run a statement in which a percent sign is just that, and no parameter."""
    return connection.exec_driver_sql(sql, execution_options={"no_parameters": True})


def server_version(connection: Connection) -> int:
    return int(connection.scalar(text("SELECT current_setting('server_version_num')")) or 0)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: str) -> str:
    """A string constant, whatever ``standard_conforming_strings`` says."""
    plain = "'" + value.replace("'", "''") + "'"
    return " E" + plain.replace("\\", "\\\\") if "\\" in value else plain


def _table(trigger: Trigger) -> str:
    return f"{_quoted(trigger.table.schema_name or 'public')}.{_quoted(trigger.table.name)}"


def _function(trigger: Trigger) -> str:
    return f"{SCHEMA}.{_quoted('trigger_' + trigger.name)}"


class _Writer:
    """Writes the SQL of one trigger, in which ``n`` is the new row, and ``o`` the old one."""

    def __init__(self, trigger: Trigger, types: dict[str, ColumnType], version: int) -> None:
        self._trigger = trigger
        self._types = types
        self._version = version
        self._slug = _literal(trigger.connection)
        self._name = _literal(trigger.name)

    def function(self) -> str:
        return _FUNCTION.substitute(
            name=_function(self._trigger),
            loading=_literal(LOADING),
            loaded=self._loaded(),
            branches="\n".join(self._branches()),
            keeping="\n".join(self._keeping()),
            channel=_literal(CHANNEL),
        )

    def _loaded(self) -> str:
        """The statement that notes a change of the table for which no event is sent."""
        if self._trigger.unchanged != COMPARED:
            return ""
        return (
            f"INSERT INTO {SCHEMA}.loaded (aggregatetype, object) "
            f"VALUES ({self._slug}, {_literal(self._trigger.object)});"
        )

    def backfill(self, after: Sequence[Any] | None, rows: int) -> str:
        key = [_quoted(column) for column in self._trigger.key]
        behind = "" if after is None else f"WHERE ({', '.join(key)}) > ({', '.join(_literal(str(k)) for k in after)})"
        return _BACKFILL.substitute(
            key=", ".join(key),
            table=_table(self._trigger),
            after=behind,
            rows=rows,
            insert=self._insert("insert", "n", "chunk AS n", self._condition("n", None), backfill=True),
            last=(
                f"SELECT json_build_array({', '.join(f'n.{column}::text' for column in key)}) FROM chunk AS n "
                f"ORDER BY {', '.join(f'n.{column} DESC' for column in key)} LIMIT 1"
            ),
        )

    def trials(self) -> Iterator[str]:
        """Each branch with empty transition tables, to be tried out."""
        empty = f"(SELECT * FROM {_table(self._trigger)} LIMIT 0)"
        rows = f"WITH old_rows AS {empty}, new_rows AS {empty}\n"
        asked = self._trigger.operations
        if "insert" in asked:
            yield rows + self._insert("insert", "n", "new_rows AS n", self._condition("n", None))
        if "update" in asked:
            yield from (rows + statement for statement in self._updates() if statement.startswith("INSERT"))
        if "delete" in asked:
            yield rows + self._insert("delete", "o", "old_rows AS o", self._condition(None, "o"))

    def _branches(self) -> Iterator[str]:
        asked = self._trigger.operations
        if "insert" in asked:
            yield "IF TG_OP = 'INSERT' THEN"
            yield self._insert("insert", "n", "new_rows AS n", self._condition("n", None)) + _SENT
            yield "END IF;"
        if "update" in asked:
            yield "IF TG_OP = 'UPDATE' THEN"
            for statement in self._updates():
                yield statement + _SENT if statement.startswith("INSERT") else statement
            yield "END IF;"
        if "delete" in asked:
            for source, operation in (("old_rows", "DELETE"), (_table(self._trigger), "TRUNCATE")):
                yield f"IF TG_OP = '{operation}' THEN"
                yield self._insert("delete", "o", f"{source} AS o", self._condition(None, "o")) + _SENT
                yield "END IF;"

    def _keeping(self) -> Iterator[str]:
        """Keeps the rows of a statement whose branch failed: whole, and marked as refused."""
        sources = {"insert": "new_rows", "update": "new_rows", "delete": "old_rows"}
        for change, operation in self._trigger.operations.items():
            kind = _literal(TYPE_PREFIX + operation)
            prefix, subject = self._prefixes()
            yield f"IF TG_OP = '{change.upper()}' THEN"
            yield (
                f"INSERT INTO {SCHEMA}.outbox ({_OUTBOX_COLUMNS})\n"
                f"SELECT {self._uuid()}, {self._slug}, {prefix}, {kind}, to_json(kept), \n"
                f"clock_timestamp(), {subject}, {self._name}, false, SQLERRM FROM {sources[change]} AS kept" + _SENT
            )
            yield "END IF;"

    def _updates(self) -> Iterator[str]:
        """An update's events: an update, or, when the key changed, a delete of the old record and an insert of the new.

        All deletes come first: when one statement passes a key on from one row to another, the delete of the old row
        must not follow the insert of the new one.
        """
        asked, pairs = self._trigger.operations, self._pairs(self._columns_read())
        same = " AND ".join(f"NOT ({self._differs(column)})" for column in self._trigger.key)
        changed = " OR ".join(self._differs(column) for column in self._trigger.fields.values()) or "false"
        if {"insert", "delete"} & set(asked):
            yield f"IF EXISTS (SELECT FROM {self._pairs(self._trigger.key)} WHERE NOT ({same})) THEN"
            if "delete" in asked:
                yield self._insert("delete", "o", pairs, f"NOT ({same}) AND {self._condition(None, 'o')}")
            if "insert" in asked:
                yield self._insert("insert", "n", pairs, f"NOT ({same}) AND {self._condition('n', None)}")
            yield "END IF;"
        yield self._insert("update", "n", pairs, f"{same} AND ({changed}) AND {self._condition('n', 'o')}")

    def _columns_read(self) -> Sequence[str]:
        """The trigger's columns; with a condition all columns, as it may use any."""
        return tuple(self._types) if self._trigger.when else self._trigger.columns

    def _pairs(self, columns: Sequence[str]) -> str:
        """Joins each updated row's old version (``o``) with its new one (``n``)."""
        listed = ", ".join(_quoted(column) for column in columns)
        old, new = (
            f"(SELECT row_number() OVER () AS writeback_place, {listed} FROM {side}_rows)" for side in ("old", "new")
        )
        return f"{old} AS o JOIN {new} AS n USING (writeback_place)"

    def _insert(self, change: Change, row: str, source: str, condition: str, *, backfill: bool = False) -> str:
        """Inserts the rows of ``source`` that meet the condition into the outbox, as the operation for ``change``."""
        key, kind, payload, refused = self._event(change, row)
        prefix, subject = self._prefixes()
        return (
            f"INSERT INTO {SCHEMA}.outbox ({_OUTBOX_COLUMNS})\n"
            f"SELECT {self._uuid()}, {self._slug}, {prefix} || coalesce({key}, ''), {kind}, {payload},\n"
            f"clock_timestamp(), {subject} || coalesce({key}, ''), {self._name}, {str(backfill).lower()}, {refused}\n"
            f"FROM {source}\nWHERE {condition}"
        )

    def _prefixes(self) -> tuple[str, str]:
        """What precedes the key in ``aggregateid``, and in the event's subject."""
        own = f"{self._trigger.object}/"
        return _literal(own), _literal(f"{self._trigger.connection}/{own}")

    def _event(self, change: Change, row: str) -> list[str]:
        """SQL over ``row`` for the key, the type, the payload, and the reason when it cannot be sent."""
        trigger = self._trigger
        mapped, identity = trigger.fields_of(change), trigger.identity_of(change)
        members = [self._member(field, column, row) for field, column in identity.items()]
        for field, column in mapped.items():
            if field not in identity:
                member = self._member(field, column, row)
                changed = trigger.only_changed(change)
                members.append(f"CASE WHEN {self._differs(column)} THEN {member} END" if changed else member)
        members += [
            _literal(f"{json.dumps(field, ensure_ascii=False)}:{json.dumps(value, ensure_ascii=False)}")
            for field, value in trigger.constants_of(change).items()
        ]
        body = f"concat_ws(',', {', '.join(members)})" if members else "''"
        columns = dict.fromkeys((*trigger.key, *identity.values(), *mapped.values()))
        kind = _literal(TYPE_PREFIX + trigger.operations[change])
        return [self._key(row), kind, f"('{{' || {body} || '}}')::json", self._refused(columns, row)]

    def _key(self, row: str) -> str:
        parts = [self._text(column, row) for column in self._trigger.key]
        return " || '/' || ".join(parts)  # NULL when one of them is

    def _text(self, column: str, row: str) -> str:
        name = f"{row}.{_quoted(column)}"
        if self._types[column].kind in {"timestamp", "timestamptz", "float4", "float8"}:
            return f"(to_json({name})#>>'{{}}')"
        return f"{name}::text"

    def _member(self, field: str, column: str, row: str) -> str:
        """``"field":value`` as JSON text."""
        return (
            f"{_literal(json.dumps(field, ensure_ascii=False) + ':')} || coalesce({self._value(column, row)}, 'null')"
        )

    def _value(self, column: str, row: str) -> str:
        name, known = f"{row}.{_quoted(column)}", self._types[column]
        kind = known.kind
        if kind in _SAME_IN_JSON and not known.array:
            return f"{name}::text"
        if kind == "bytea":
            return f"to_json(replace(encode({name}, 'base64'), E'\\n', ''))::text"
        return f"{name}::text" if kind in _JSON else f"to_json({name})::text"

    def _differs(self, column: str) -> str:
        cast = "::text" if self._types[column].kind == "json" else ""
        return f"n.{_quoted(column)}{cast} IS DISTINCT FROM o.{_quoted(column)}{cast}"

    def _refused(self, columns: Sequence[str] | dict[str, None], row: str) -> str:
        """SQL for the reason why this row cannot be an event, or NULL: JSON has neither NaN nor infinity."""
        cases = [
            f"WHEN {row}.{_quoted(column)} IS NULL THEN {_literal(f'the key {column} is NULL')}"
            for column in self._trigger.key
        ]
        for column in columns:
            found = self._beyond_json(column, row)
            if found:
                shown = f"{_literal(f'{column} is ')} || {row}.{_quoted(column)}::text"
                cases.append(f"WHEN {found} THEN {shown}")
        return f"CASE {' '.join(cases)} END"

    def _beyond_json(self, column: str, row: str) -> str | None:
        name, kind = f"{row}.{_quoted(column)}", self._types[column]
        if kind.kind in _DATES:
            return f"{name}::text ~* 'infinity'" if kind.array else f"NOT isfinite({name})"
        if kind.kind in _FLOATS | {"numeric"}:
            if kind.array:
                return f"{name}::text ~ 'NaN|Infinity'"
            infinite = kind.kind != "numeric" or self._version >= _NUMERIC_INFINITY
            return f"{name} IN ('NaN'{', ' + repr('Infinity') + ', ' + repr('-Infinity') if infinite else ''})"
        return None

    def _condition(self, new: str | None, old: str | None) -> str:
        """The condition ``when`` for this row: columns by their names, both versions as ``new`` and ``old``."""
        when = self._trigger.when
        if not when:
            return "true"
        known = [(alias, name) for alias, name in ((new, "new"), (old, "old")) if alias]
        sides = ", ".join(f'(SELECT {alias}.*) AS "{name}"' for alias, name in known)
        return f"(SELECT (SELECT ({when}) FROM (SELECT {new or old}.*) AS this_row) FROM {sides})"

    def _uuid(self) -> str:
        if self._version >= _RANDOM_UUID:
            return "gen_random_uuid()"
        return "md5(random()::text || clock_timestamp()::text || pg_backend_pid()::text)::uuid"


_SENT = ";\nsent := sent OR FOUND;"
_OUTBOX_COLUMNS = 'id, aggregatetype, aggregateid, type, payload, "timestamp", subject, trigger_name, backfill, refused'

_FUNCTION = Template(
    """\
CREATE OR REPLACE FUNCTION $name() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC' SET datestyle = 'ISO' SET intervalstyle = 'iso_8601' SET extra_float_digits = 1
SET enable_nestloop = off
AS $$writeback$$
#variable_conflict use_column
DECLARE sent boolean := false;
BEGIN
IF current_setting($loading, true) = 'on' THEN
$loaded
RETURN NULL;
END IF;
BEGIN
$branches
EXCEPTION WHEN undefined_column OR undefined_function OR undefined_object OR ambiguous_column OR datatype_mismatch
    OR cannot_coerce OR data_exception THEN
-- The table is not what it was when this trigger was made, or its condition fails. The user's write goes on; its rows
-- are kept, and `writeback triggers rejected` lists them.
$keeping
END;
IF sent THEN PERFORM pg_notify($channel, ''); END IF;
RETURN NULL;
END
$$writeback$$"""
)

_BACKFILL = Template(
    """\
WITH chunk AS MATERIALIZED (SELECT * FROM $table $after ORDER BY $key LIMIT $rows FOR SHARE),
sent AS ($insert RETURNING 1)
SELECT (SELECT count(*) FROM chunk) AS rows, ($last) AS last, (SELECT count(*) FROM sent) AS events"""
)
