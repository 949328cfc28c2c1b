"""What a change of a row becomes: on SQLite and PostgreSQL alike."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from tests.topics.outbox.conftest import Warehouse
from topics.event.event import Operation
from topics.outbox.definition import TableName
from topics.outbox.errors import BadTrigger

ADA = "INSERT INTO contacts (id, email, first_name, score, note) VALUES (1, 'ada@acme.com', 'Ada', 7, 'x')"


def test_an_insert_sends_all_mapped_fields_and_no_others(warehouse: Warehouse) -> None:
    """Under the fields' names; topic and key are those that any producer would choose."""
    warehouse.create()
    warehouse.run(ADA)
    assert warehouse.events() == [("add", "1", {"email": "ada@acme.com", "firstname": "Ada", "score": 7})]
    (row,) = warehouse.rows()
    assert (row.aggregatetype, row.aggregateid, row.subject) == ("crm", "contact/1", "crm/contact/1")


def test_an_update_sends_what_changed_and_the_key(warehouse: Warehouse) -> None:
    """A field that stayed is left out, so that it overwrites nothing at the destination."""
    warehouse.create()
    warehouse.run(ADA)
    warehouse.run("UPDATE contacts SET email = 'ada@new.com', note = 'y' WHERE id = 1")
    assert warehouse.events()[1:] == [("update", "1", {"id": 1, "email": "ada@new.com"})]


def test_an_update_of_nothing_that_is_mapped_sends_nothing(warehouse: Warehouse) -> None:
    """Neither another column nor the same value again is a change."""
    warehouse.create()
    warehouse.run(ADA)
    warehouse.run("UPDATE contacts SET note = 'y'", "UPDATE contacts SET email = email")
    assert len(warehouse.events()) == 1


def test_a_null_is_sent_as_null(warehouse: Warehouse) -> None:
    """So the destination can clear the field."""
    warehouse.create()
    warehouse.run(ADA, "UPDATE contacts SET first_name = NULL")
    assert warehouse.events()[1:] == [("update", "1", {"id": 1, "firstname": None})]


def test_a_delete_sends_the_key(warehouse: Warehouse) -> None:
    """Nothing else is needed, and the row is gone."""
    warehouse.create()
    warehouse.run(ADA, "DELETE FROM contacts")
    assert warehouse.events()[1:] == [("delete", "1", {"id": 1})]


def test_a_changed_key_is_the_end_of_one_record_and_a_new_one(warehouse: Warehouse) -> None:
    """As Debezium has it: a delete under the old key, then an insert under the new one."""
    warehouse.create()
    warehouse.run(ADA, "UPDATE contacts SET id = 2, email = 'new@acme.com'")
    assert warehouse.events()[1:] == [
        ("delete", "1", {"id": 1}),
        ("add", "2", {"email": "new@acme.com", "firstname": "Ada", "score": 7}),
    ]


def test_keys_that_move_on_in_one_statement_end_with_their_new_owner(warehouse: Warehouse) -> None:
    """No key ends deleted that another row has taken over."""
    warehouse.create(operations={"insert": Operation.UPSERT, "update": Operation.UPSERT, "delete": Operation.DELETE})
    warehouse.run(ADA, "INSERT INTO contacts (id, email) VALUES (2, 'bob@acme.com')")
    if warehouse.postgres:
        warehouse.run("ALTER TABLE contacts DROP CONSTRAINT contacts_pkey")
        warehouse.run("UPDATE contacts SET id = id + 1")
    else:
        warehouse.run("UPDATE contacts SET id = 3 WHERE id = 2", "UPDATE contacts SET id = 2 WHERE id = 1")
    last = {key: (operation, fields.get("email")) for operation, key, fields in warehouse.events()}
    assert last == {
        "1": ("delete", None),
        "2": ("upsert", "ada@acme.com"),
        "3": ("upsert", "bob@acme.com"),
    }


def test_what_is_rolled_back_was_never_sent(warehouse: Warehouse) -> None:
    """The outbox is part of the writer's transaction."""
    warehouse.create()
    with pytest.raises(DBAPIError):
        warehouse.run(ADA, "INSERT INTO no_such_table VALUES (1)")
    assert warehouse.events() == []


def test_an_upsert_carries_the_key_under_its_field(warehouse: Warehouse) -> None:
    """A key column that is mapped goes under the name that the destination knows."""
    warehouse.create(
        key=("email",), operations={"insert": Operation.UPSERT, "update": Operation.UPSERT, "delete": Operation.DELETE}
    )
    warehouse.run(ADA, "UPDATE contacts SET first_name = 'Grace'", "DELETE FROM contacts")
    assert warehouse.events() == [
        ("upsert", "ada@acme.com", {"email": "ada@acme.com", "firstname": "Ada", "score": 7}),
        ("upsert", "ada@acme.com", {"email": "ada@acme.com", "firstname": "Grace"}),
        ("delete", "ada@acme.com", {"email": "ada@acme.com"}),
    ]


def test_a_composite_key(warehouse: Warehouse) -> None:
    """Its columns make one key, and each is a field."""
    warehouse.create(key=("id", "email"), fields={"firstname": "first_name"})
    warehouse.run(ADA, "UPDATE contacts SET first_name = 'Grace'")
    assert warehouse.events()[1:] == [
        ("update", "1/ada@acme.com", {"id": 1, "email": "ada@acme.com", "firstname": "Grace"})
    ]


@pytest.mark.parametrize(
    ("when", "sent"),
    [
        ("score > 5", ["1"]),
        ("email LIKE '%@acme.com' AND note <> 'a:b'", ["1", "2"]),
        ("first_name IS NULL", ["2"]),
    ],
)
def test_a_condition_over_the_row(warehouse: Warehouse, when: str, sent: list[str]) -> None:
    """Columns by their names; percent signs and colons in it are text."""
    warehouse.create(when=when)
    warehouse.run(ADA, "INSERT INTO contacts VALUES (2, 'bob@acme.com', NULL, 3, '')")
    assert [key for _, key, _ in warehouse.events()] == sent


def test_a_condition_over_what_was(warehouse: Warehouse) -> None:
    """In an update the row before the change is there as well."""
    warehouse.create(when="new.score > old.score", operations={"update": Operation.UPDATE})
    warehouse.run(ADA, "UPDATE contacts SET score = 8", "UPDATE contacts SET score = 2")
    assert warehouse.events() == [("update", "1", {"id": 1, "score": 8})]


def test_only_the_changes_that_were_asked_for(warehouse: Warehouse) -> None:
    """An insert and an update pass unseen where only deletes are sent."""
    warehouse.create(operations={"delete": Operation.DELETE})
    warehouse.run(ADA, "UPDATE contacts SET email = 'x'", "DELETE FROM contacts")
    assert [operation for operation, _, _ in warehouse.events()] == ["delete"]


def test_a_bulk_change_sends_each_row(warehouse: Warehouse) -> None:
    """500 rows of one statement are 500 events, each with its own value."""
    warehouse.create()
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    warehouse.run(f"INSERT INTO contacts (id, email) {numbers} SELECT i, 'u' || i FROM n")
    warehouse.run("UPDATE contacts SET email = 'new' || id WHERE id % 2 = 0")
    events = warehouse.events()
    assert [key for _, key, _ in events[:500]] == [str(n) for n in range(1, 501)]
    assert {key: fields["email"] for _, key, fields in events[500:]} == {str(n): f"new{n}" for n in range(2, 501, 2)}


def test_hostile_names_and_values(warehouse: Warehouse) -> None:
    """Quotes, backslashes, percent signs, colons and a dollar sign are data."""
    warehouse.run("""CREATE TABLE "it's; ""odd"" %s :x" ("k$1" INTEGER PRIMARY KEY, "a'b""c\\:d" TEXT)""")
    warehouse.create(
        name="odd",
        table=TableName(name='it\'s; "odd" %s :x'),
        key=("k$1",),
        fields={"f'\"\\ %s :y $z": "a'b\"c\\:d"},
        object="o'x\\y",
    )
    warehouse.run("""INSERT INTO "it's; ""odd"" %s :x" VALUES (1, 'v''"\\%s :z é 😀')""")
    assert warehouse.events() == [("add", "1", {"f'\"\\ %s :y $z": "v'\"\\%s :z é 😀"})]


def test_nothing_is_sent_while_a_refresh_loads(warehouse: Warehouse) -> None:
    """And the next change after it is."""
    warehouse.create()
    if warehouse.postgres:
        warehouse.run("SET LOCAL writeback.loading = 'on'", ADA)
    else:
        warehouse.run("INSERT INTO writeback_loading VALUES ('now')", ADA, "DELETE FROM writeback_loading")
    assert warehouse.events() == []
    warehouse.run("UPDATE contacts SET email = 'later@acme.com'")
    assert len(warehouse.events()) == 1


def test_a_trigger_made_twice_and_replaced(warehouse: Warehouse) -> None:
    """The second is refused and says how; --replace takes the first one's place."""
    warehouse.create()
    with pytest.raises(BadTrigger, match=r"there is a trigger contacts already.*--replace"):
        warehouse.create()
    warehouse.create(fields={"mail": "email"}, replace=True)
    warehouse.run(ADA)
    assert warehouse.events() == [("add", "1", {"mail": "ada@acme.com"})]


def test_two_triggers_on_one_table(warehouse: Warehouse) -> None:
    """Each sends its own events."""
    warehouse.create()
    warehouse.create(name="alerts", connection="slack", object="message", fields={"text": "email"})
    warehouse.run(ADA)
    assert {row.aggregatetype for row in warehouse.rows()} == {"crm", "slack"}


def test_a_dropped_trigger_leaves_nothing_but_what_waits(warehouse: Warehouse) -> None:
    """Its rows still go; later changes are nobody's."""
    warehouse.create()
    warehouse.run(ADA)
    assert warehouse.outbox.drop("contacts") == 1
    warehouse.run("UPDATE contacts SET email = 'x'")
    assert len(warehouse.events()) == 1
    assert warehouse.outbox.list() == []
    with pytest.raises(BadTrigger, match="no trigger 'contacts'; there are none yet"):
        warehouse.outbox.get("contacts")


def test_a_column_or_a_table_that_is_not_there(warehouse: Warehouse) -> None:
    """Named, with the nearest one; nothing half-made stays behind."""
    with pytest.raises(BadTrigger, match=r"contacts has no column 'emial'.*Did you mean 'email'"):
        warehouse.create(fields={"email": "emial"})
    with pytest.raises(BadTrigger, match="there is no table kontacts"):
        warehouse.create(table=TableName(name="kontacts"))
    assert warehouse.outbox.list() == []
    warehouse.run(ADA)  # nothing half-made is in the way


def test_a_wrong_condition_is_found_at_once(warehouse: Warehouse) -> None:
    """Not at the next write of the table."""
    with pytest.raises(BadTrigger, match="does not take the trigger contacts"):
        warehouse.create(when="no_such_column > 5")
    with pytest.raises(BadTrigger, match="does not take the trigger contacts"):
        warehouse.create(when="score >")
    warehouse.run(ADA)
    assert warehouse.outbox.list() == []


def test_a_key_without_a_value_is_refused_and_the_write_goes_on(warehouse: Warehouse) -> None:
    """Nobody could say which record it is."""
    warehouse.create(key=("email",))
    warehouse.run("INSERT INTO contacts (id) VALUES (5)")
    (row,) = warehouse.rows()
    assert row.refused == "the key email is NULL"


def test_the_list_says_what_waits(warehouse: Warehouse) -> None:
    """How many rows, and since when."""
    warehouse.create()
    warehouse.run(ADA)
    (listed,) = warehouse.outbox.list()
    assert (listed.waiting, listed.paused, listed.rejected) == (1, False, 0)
    assert listed.oldest is not None
    assert listed.oldest.tzinfo is not None


def test_the_sql_can_be_read(warehouse: Warehouse) -> None:
    """As it was run."""
    warehouse.create()
    assert "CREATE TRIGGER" in warehouse.outbox.sql("contacts")


def test_what_becomes_a_message_has_all_fields_and_the_constants(warehouse: Warehouse) -> None:
    """A message that lacks what did not change would say nothing."""
    warehouse.create(
        object="message",
        fields={"text": "email", "who": "first_name"},
        constants={"channel": "Q'A", "n": 1},
        operations={"update": Operation.MESSAGE, "delete": Operation.MESSAGE},
    )
    warehouse.run(ADA, "UPDATE contacts SET email = 'x@acme.com'", "DELETE FROM contacts")
    said = {"text": "x@acme.com", "who": "Ada", "channel": "Q'A", "n": 1}
    assert warehouse.events() == [("message", "1", said), ("message", "1", said)]


def test_a_backfill_sends_what_is_there_already(warehouse: Warehouse) -> None:
    """Rows that meet the condition, by key, marked to let live events go first."""
    warehouse.run(ADA, "INSERT INTO contacts VALUES (2, 'bob@acme.com', NULL, 3, ''), (3, 'c', NULL, 1, '')")
    warehouse.create(when="score > 2")
    assert list(warehouse.outbox.backfill("contacts", rows=2)) == [2, 1]
    assert [(key, fields["email"]) for _, key, fields in warehouse.events()] == [
        ("1", "ada@acme.com"),
        ("2", "bob@acme.com"),
    ]
    assert all(row.backfill for row in warehouse.rows())


def test_a_backfill_that_was_cut_off_goes_on(warehouse: Warehouse) -> None:
    """Behind the last step, or from the start when that is asked for."""
    warehouse.create(key=("email", "id"))
    warehouse.run("INSERT INTO contacts (id, email) VALUES (1, 'b'), (2, 'a'), (3, 'it''s'), (4, 'a')")
    before = len(warehouse.rows())
    steps = warehouse.outbox.backfill("contacts", rows=1)
    assert [next(steps), next(steps)] == [1, 1]
    steps.close()
    assert warehouse.outbox.list()[0].backfilling
    assert list(warehouse.outbox.backfill("contacts", rows=1)) == [1, 1]
    assert [key for _, key, _ in warehouse.events()[before:]] == ["a/2", "a/4", "b/1", "it's/3"]
    assert not warehouse.outbox.list()[0].backfilling
    assert sum(warehouse.outbox.backfill("contacts", restart=True)) == 4
