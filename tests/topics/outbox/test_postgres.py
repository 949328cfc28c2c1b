"""What only PostgreSQL has: types, statements that change many rows, rights, tables that are altered later."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import DBAPIError

from tests.topics.outbox.conftest import Warehouse
from topics.outbox.definition import TableName
from topics.outbox.errors import BadTrigger

pytestmark = pytest.mark.postgres

VALUES = {
    "boolean": ("true", "true"),
    "smallint": ("-5", "-5"),
    "bigint": ("9223372036854775807", "9223372036854775807"),
    "numeric": ("12345678901234567890.1234567890", "12345678901234567890.1234567890"),
    "numeric(10,2)": ("1.50", "1.50"),
    "real": ("0.1", "0.1"),
    "double precision": ("0.30000000000000004", "0.30000000000000004"),
    "text": ("'é \"quoted\"'", '"é \\"quoted\\""'),
    "char(5)": ("'ab'", '"ab   "'),
    "uuid": ("'0189aa6e-7b3c-7000-8000-000000000001'", '"0189aa6e-7b3c-7000-8000-000000000001"'),
    "date": ("'2026-02-28'", '"2026-02-28"'),
    "timestamp": ("'2026-02-28 01:02:03.5'", '"2026-02-28T01:02:03.5"'),
    "timestamptz": ("'2026-02-28 01:02:03+02'", '"2026-02-27T23:02:03+00:00"'),
    "time": ("'01:02:03'", '"01:02:03"'),
    "interval": ("'1 day 2 hours'", '"P1DT2H"'),
    "inet": ("'10.0.0.1'", '"10.0.0.1"'),
    "json": ("""'{"a": 1.10}'""", '{"a": 1.10}'),
    "jsonb": ("""'{"a": 1.10}'""", '{"a": 1.10}'),
    "bytea": ("'\\x00ff'", '"AP8="'),
    "int[]": ("'{1,2,NULL}'", "[1,2,null]"),
    "text[]": ("""'{a,"b,c"}'""", '["a","b,c"]'),
    "mood": ("'ok'", '"ok"'),
    "email_domain": ("'a@b.c'", '"a@b.c"'),
}


@pytest.mark.parametrize(("kind", "given", "sent"), [(kind, *pair) for kind, pair in VALUES.items()])
def test_a_value_of_each_type_arrives_as_it_was(
    postgres_warehouse: Warehouse, kind: str, given: str, sent: str
) -> None:
    """Digit by digit, in UTC, whatever the writer's session has set; a null is a null."""
    warehouse = postgres_warehouse
    warehouse.run(
        "CREATE TYPE mood AS ENUM ('ok', 'bad')", "CREATE DOMAIN email_domain AS text CHECK (VALUE LIKE '%@%')"
    )
    warehouse.run(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    warehouse.create(table=TableName(name="t"), fields={"v": "v"})
    # what the session has set must not change what is sent
    warehouse.run("SET timezone = 'Asia/Tokyo'", "SET extra_float_digits = -5", "SET datestyle = 'SQL, DMY'")
    warehouse.run("SET LOCAL timezone = 'Asia/Tokyo'", f"INSERT INTO t VALUES (1, {given})")
    assert warehouse.count("SELECT payload::text FROM writeback.outbox") == f'{{"v":{sent}}}'
    warehouse.run("UPDATE t SET v = NULL")
    assert warehouse.events()[1:] == [("update", "1", {"id": 1, "v": None})]
    warehouse.run("UPDATE t SET v = NULL")
    assert len(warehouse.events()) == 2


@pytest.mark.parametrize("kind", ["money", "xml", "point", "tsvector", "int4range", "json[]", "bytea[]"])
def test_a_type_without_a_form_in_json_is_refused_at_create(postgres_warehouse: Warehouse, kind: str) -> None:
    """The error names the column, the type and the way out."""
    postgres_warehouse.run(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    with pytest.raises(BadTrigger, match=r"t\.v has the type .*generated column"):
        postgres_warehouse.create(table=TableName(name="t"), fields={"v": "v"})


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("double precision", "'NaN'", "v is NaN"),
        ("real", "'-Infinity'", "v is -Infinity"),
        ("numeric", "'NaN'", "v is NaN"),
        ("timestamptz", "'infinity'", "v is infinity"),
        ("double precision[]", "'{1,NaN}'", "v is {1,NaN}"),
    ],
)
def test_what_json_has_not_is_refused_and_the_write_goes_on(
    postgres_warehouse: Warehouse, kind: str, value: str, reason: str
) -> None:
    """The row waits with its reason; the next one is not touched."""
    warehouse = postgres_warehouse
    warehouse.run(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    warehouse.create(table=TableName(name="t"), fields={"v": "v"})
    warehouse.run(f"INSERT INTO t VALUES (1, {value})", "INSERT INTO t VALUES (2, NULL)")
    assert [row.refused for row in warehouse.rows()] == [reason, None]


@pytest.fixture
def contacts(postgres_warehouse: Warehouse) -> Warehouse:
    postgres_warehouse.run(
        "CREATE TABLE contacts (id INTEGER PRIMARY KEY, email TEXT, first_name TEXT, score NUMERIC, note TEXT)"
    )
    return postgres_warehouse


def test_an_upsert_statement_and_a_truncate(contacts: Warehouse) -> None:
    """ON CONFLICT is an insert and an update, TRUNCATE is a delete of every row."""
    contacts.create()
    row = "INSERT INTO contacts VALUES (1, 'a', 'A', 1, ''), (2, 'b', 'B', 2, '')"
    contacts.run(row)
    contacts.run(f"{row}, (3, 'c', 'C', 3, '') ON CONFLICT (id) DO UPDATE SET email = excluded.email || '!'")
    assert sorted(contacts.events()[2:], key=lambda event: event[1]) == [
        ("update", "1", {"id": 1, "email": "a!"}),
        ("update", "2", {"id": 2, "email": "b!"}),
        ("add", "3", {"email": "c", "firstname": "C", "score": 3}),
    ]
    contacts.run("TRUNCATE contacts")
    assert {(operation, key) for operation, key, _ in contacts.events()[5:]} == {
        ("delete", "1"),
        ("delete", "2"),
        ("delete", "3"),
    }


def test_who_writes_the_table_needs_no_right_on_the_outbox(contacts: Warehouse) -> None:
    """The function has its maker's rights, and nobody else can read what is on its way."""
    contacts.create()
    contacts.run(
        "DROP ROLE IF EXISTS clerk", "CREATE ROLE clerk LOGIN", "GRANT INSERT, UPDATE, SELECT ON contacts TO clerk"
    )
    clerk = create_engine(make_url(contacts.url).set(username="clerk"))
    try:
        with clerk.begin() as connection:
            connection.exec_driver_sql("INSERT INTO contacts (id, email) VALUES (1, 'a')")
        with pytest.raises(DBAPIError, match="permission denied"), clerk.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM writeback.outbox")
    finally:
        clerk.dispose()
        contacts.run("DROP OWNED BY clerk", "DROP ROLE clerk")
    assert [key for _, key, _ in contacts.events()] == ["1"]


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE contacts DROP COLUMN first_name",
        "ALTER TABLE contacts RENAME COLUMN first_name TO given_name",
    ],
)
def test_a_table_that_was_altered_keeps_the_write_and_its_rows(contacts: Warehouse, change: str) -> None:
    """The trigger says what is wrong, and the rows can be made good; the user's statement is not stopped."""
    contacts.create()
    contacts.run(change, "INSERT INTO contacts (id, email) VALUES (1, 'a')", "UPDATE contacts SET email = 'b'")
    assert contacts.count("SELECT email FROM contacts") == "b"
    rows = contacts.rows()
    assert [row.refused for row in rows] == [
        "column n.first_name does not exist",
        'column "first_name" does not exist',
    ]
    assert rows[0].payload["email"] == "a"


def test_a_condition_that_fails_on_a_row_keeps_the_write(contacts: Warehouse) -> None:
    """A division by zero in --when is the trigger's trouble, not the writer's."""
    contacts.create(when="100 / score > 1")
    contacts.run("INSERT INTO contacts (id, score) VALUES (1, 0)")
    assert [row.refused for row in contacts.rows()] == ["division by zero"]


def test_a_table_of_another_schema_that_is_renamed_later(contacts: Warehouse) -> None:
    """A trigger follows its table, not the table's name."""
    contacts.run("CREATE SCHEMA crm", "CREATE TABLE crm.people (id int PRIMARY KEY, email text)")
    contacts.create(table=TableName.parse("crm.people"), fields={"email": "email"})
    contacts.run("INSERT INTO crm.people VALUES (1, 'a')", "ALTER SCHEMA crm RENAME TO sales")
    contacts.run("UPDATE sales.people SET email = 'b'")
    assert contacts.events()[1:] == [("update", "1", {"id": 1, "email": "b"})]


def test_a_partitioned_table(contacts: Warehouse) -> None:
    """A row that moves to another partition is an update."""
    contacts.run(
        "CREATE TABLE parted (id int, region text, v text, PRIMARY KEY (id, region)) PARTITION BY LIST (region)",
        "CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu')",
        "CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us')",
    )
    contacts.create(table=TableName(name="parted"), fields={"v": "v", "region": "region"})
    contacts.run(
        "INSERT INTO parted VALUES (1, 'eu', 'a'), (2, 'us', 'b')", "UPDATE parted SET region = 'us' WHERE id = 1"
    )
    assert contacts.events()[2:] == [("update", "1", {"id": 1, "region": "us"})]


def test_a_view_and_a_missing_schema(contacts: Warehouse) -> None:
    """What is no table is refused by name."""
    contacts.run("CREATE VIEW v AS SELECT * FROM contacts")
    with pytest.raises(BadTrigger, match="v is no table"):
        contacts.create(table=TableName(name="v"))
    with pytest.raises(BadTrigger, match=r"there is no table nowhere\.contacts"):
        contacts.create(table=TableName.parse("nowhere.contacts"))
