"""The SQL of a trigger on SQLite: row triggers whose body is one insert into the outbox.

SQLite's JSON functions write a REAL with only 15 digits, and no BLOB at all. So the trigger writes a REAL as text with
17 digits, and a BLOB as hexadecimal digits, and ``value_of`` reads them back. https://www.sqlite.org/json1.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, text

from topics.event import exact_json
from topics.event.codec import TYPE_PREFIX
from topics.outbox.definition import Change, Trigger
from topics.outbox.errors import BadTrigger
from topics.outbox.sent import COMPARED

REAL = "$writeback.real"
BLOB = "$writeback.blob"
_LOADED = {"loaded_insert": "INSERT", "loaded_update": "UPDATE", "loaded_delete": "DELETE"}
"""The triggers that fire only while a refresh loads the table, and note that."""


def columns_of(connection: Connection, trigger: Trigger) -> dict[str, str]:
    """Every column of the table, and its declared type in lower case. Raises ``BadTrigger`` when there is no table."""
    if trigger.table.schema_name not in {None, "main"}:
        raise BadTrigger(f"{trigger.table}: SQLite has no schemas; write the table's name alone")
    kind = connection.scalar(
        text("SELECT type FROM sqlite_master WHERE name = :name COLLATE NOCASE AND type IN ('table', 'view')"),
        {"name": trigger.table.name},
    )
    if kind != "table":
        raise BadTrigger(f"{trigger.table} is a view" if kind else f"there is no table {trigger.table}")
    rows = connection.execute(text("SELECT name, type FROM pragma_table_xinfo(:name)"), {"name": trigger.table.name})
    return {row.name: row.type.lower() for row in rows}


def install(connection: Connection, trigger: Trigger) -> None:
    """Make or replace the triggers."""
    drop(connection, trigger)
    for statement in statements(trigger, columns_of(connection, trigger)):
        connection.exec_driver_sql(statement)


def drop(connection: Connection, trigger: Trigger) -> None:
    """Drop the triggers; no error when the table, and its triggers with it, is gone already."""
    for suffix in ("insert", "update", "rekey", "delete", *_LOADED):
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {_quoted(f'writeback_{trigger.name}_{suffix}')}")


def statements(trigger: Trigger, types: dict[str, str]) -> Iterator[str]:
    """The SQL, statement by statement."""
    writer = _Writer(trigger, types)
    asked = trigger.operations
    same = " AND ".join(f"new.{_quoted(column)} IS old.{_quoted(column)}" for column in trigger.key)
    if "insert" in asked:
        yield writer.trigger("insert", "INSERT", "1", [writer.insert("insert", "new")])
    if "update" in asked:
        changed = " OR ".join(f"new.{_quoted(c)} IS NOT old.{_quoted(c)}" for c in trigger.fields.values()) or "0"
        yield writer.trigger("update", "UPDATE", f"{same} AND ({changed})", [writer.insert("update", "new")])
        moved = [
            writer.insert(change, row) for change, row in (("delete", "old"), ("insert", "new")) if change in asked
        ]
        if moved:
            yield writer.trigger("rekey", "UPDATE", f"NOT ({same})", moved)
    if "delete" in asked:
        yield writer.trigger("delete", "DELETE", "1", [writer.insert("delete", "old")])
    if trigger.unchanged == COMPARED:
        for suffix, operation in _LOADED.items():
            yield writer.loaded(suffix, operation)


def try_out(connection: Connection, trigger: Trigger) -> None:
    """Run the trigger's statements over no rows: the database checks a trigger's body only when it fires."""
    writer = _Writer(trigger, columns_of(connection, trigger))
    empty = f"(SELECT * FROM {_quoted(trigger.table.name)} LIMIT 0)"
    rows: dict[Change, tuple[str, str]] = {
        "insert": ("new", f"{empty} AS new"),
        "update": ("new", f"{empty} AS new, {empty} AS old"),
        "delete": ("old", f"{empty} AS old"),
    }
    for change in trigger.operations:
        row, source = rows[change]
        connection.exec_driver_sql(writer.insert(change, row, source=source))


def backfill(connection: Connection, trigger: Trigger, after: Sequence[Any] | None, rows: int) -> tuple[int, Any]:
    """Put the next ``rows`` rows that follow the key ``after`` into the outbox as inserts.

    Returns how many rows there were, and the last key.
    """
    key = ", ".join(_quoted(column) for column in trigger.key)
    behind = "" if after is None else f"WHERE ({key}) > ({', '.join(map(_constant, after))})"
    chunk = f"(SELECT * FROM {_quoted(trigger.table.name)} {behind} ORDER BY {key} LIMIT {rows})"
    keys = connection.exec_driver_sql(f"SELECT {key} FROM {chunk}").all()
    writer = _Writer(trigger, columns_of(connection, trigger))
    connection.exec_driver_sql(writer.insert("insert", "new", source=f"{chunk} AS new", backfill=True))
    return len(keys), list(keys[-1]) if keys else None


def value_of(payload: str) -> dict[str, Any]:
    """The fields of an outbox row, with its reals and blobs read back. Raises ``ValueError``."""
    fields: dict[str, Any] = exact_json.loads(payload)
    for name, value in fields.items():
        if isinstance(value, dict) and len(value) == 1:
            if REAL in value:
                fields[name] = _real(name, value[REAL])
            elif BLOB in value:
                fields[name] = base64.b64encode(bytes.fromhex(value[BLOB])).decode()
    return fields


def _real(name: str, digits: str) -> float:
    value = float(digits)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(f"{name} is {digits}, which JSON has not")
    return value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _constant(value: Any) -> str:
    return _literal(value) if isinstance(value, str) else repr(value)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


class _Writer:
    """Writes the statements of one trigger."""

    def __init__(self, trigger: Trigger, types: dict[str, str]) -> None:
        self._trigger = trigger
        self._types = types

    def trigger(self, suffix: str, operation: str, condition: str, bodies: list[str]) -> str:
        name, table = _quoted(f"writeback_{self._trigger.name}_{suffix}"), _quoted(self._trigger.table.name)
        return (
            f"CREATE TRIGGER {name} AFTER {operation} ON {table} FOR EACH ROW\n"
            f"WHEN ({condition}) AND NOT EXISTS (SELECT 1 FROM writeback_loading)\nBEGIN\n"
            + "".join(f"{body};\n" for body in bodies)
            + "END"
        )

    def loaded(self, suffix: str, operation: str) -> str:
        """The trigger that notes a load, once for all rows that a refresh writes."""
        name, table = _quoted(f"writeback_{self._trigger.name}_{suffix}"), _quoted(self._trigger.table.name)
        slug, object_name = _literal(self._trigger.connection), _literal(self._trigger.object)
        noted = f"SELECT 1 FROM writeback_loaded WHERE aggregatetype = {slug} AND object = {object_name}"
        return (
            f"CREATE TRIGGER {name} AFTER {operation} ON {table} FOR EACH ROW\n"
            f"WHEN EXISTS (SELECT 1 FROM writeback_loading) AND NOT EXISTS ({noted})\nBEGIN\n"
            f"INSERT INTO writeback_loaded (aggregatetype, object) VALUES ({slug}, {object_name});\nEND"
        )

    def insert(self, change: Change, row: str, *, source: str = "", backfill: bool = False) -> str:
        """Inserts a row (``new``, ``old``), or each of ``source``, into the outbox as the operation for ``change``."""
        trigger = self._trigger
        prefix, subject = f"{trigger.object}/", f"{trigger.connection}/{trigger.object}/"
        key = " || '/' || ".join(f"CAST({row}.{_quoted(column)} AS TEXT)" for column in trigger.key)
        null = " ".join(
            f"WHEN {row}.{_quoted(column)} IS NULL THEN {_literal(f'the key {column} is NULL')}"
            for column in trigger.key
        )
        condition = self._condition(row)
        return (
            "INSERT INTO writeback_outbox\n"
            "(id, aggregatetype, aggregateid, type, payload, timestamp, subject, trigger_name, backfill, refused)\n"
            f"SELECT lower(hex(randomblob(16))), {_literal(trigger.connection)},\n"
            f"{_literal(prefix)} || coalesce({key}, ''),"
            f"{_literal(TYPE_PREFIX + trigger.operations[change])}, {self._payload(change, row)},\n"
            f"strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now'), {_literal(subject)} || coalesce({key}, ''),\n"
            f"{_literal(trigger.name)}, {int(backfill)}, CASE {null} END"
            + (f"\nFROM {source}" if source else "")
            + f"\nWHERE {condition}"
        )

    def _payload(self, change: Change, row: str) -> str:
        """SQL that builds the JSON as text, so that an update has only the fields that changed."""
        trigger = self._trigger
        identity = trigger.identity_of(change)
        parts = [self._member(field, column, row) for field, column in identity.items()]
        for field, column in trigger.fields_of(change).items():
            if field not in identity:
                member, name = self._member(field, column, row), _quoted(column)
                changed = f"CASE WHEN new.{name} IS NOT old.{name} THEN {member} ELSE '' END"
                parts.append(changed if trigger.only_changed(change) else member)
        parts += [
            _literal(f",{json.dumps(field, ensure_ascii=False)}:{json.dumps(value, ensure_ascii=False)}")
            for field, value in trigger.constants_of(change).items()
        ]
        return f"'{{' || substr({' || '.join(parts)}, 2) || '}}'" if parts else "'{}'"

    def _member(self, field: str, column: str, row: str) -> str:
        return f"{_literal(',' + json.dumps(field, ensure_ascii=False) + ':')} || {self._value(column, row)}"

    def _value(self, column: str, row: str) -> str:
        name, declared = f"{row}.{_quoted(column)}", self._types[column]
        special = ""
        if declared.startswith("bool"):
            special = f"WHEN {name} IN (0, 1) THEN CASE {name} WHEN 1 THEN 'true' ELSE 'false' END "
        elif declared.startswith("json"):
            special = f"WHEN json_valid({name}) THEN {name} "
        return (
            f"CASE {special}WHEN typeof({name}) = 'real' THEN json_object('{REAL}', printf('%!.17g', {name})) "
            f"WHEN typeof({name}) = 'blob' THEN json_object('{BLOB}', hex({name})) ELSE json_quote({name}) END"
        )

    def _condition(self, row: str) -> str:
        """The condition ``when`` for this row: columns by their names, in an update ``new.`` and ``old.`` as well."""
        when = self._trigger.when
        if not when:
            return "1"
        columns = ", ".join(f"{row}.{_quoted(column)} AS {_quoted(column)}" for column in self._types)
        return f"(SELECT ({when}) FROM (SELECT {columns}))"
