"""``writeback triggers`` and ``writeback relay``."""

from __future__ import annotations

from typing import Any

import click

from connectors.cli.completion import connection_names, objects
from topics.cli.console import INCOMPLETE, OK, json_option, note, pass_context, print_json, print_listing, progress, say
from topics.cli.context import CommandContext
from worker.relay.find import engine_of, holding, outboxes
from worker.relay.options import check_needs, default_name, operations_of, pairs, parsed, story, trigger_of, value_of

AHEAD = 10_000
"""A backfill pauses while more rows than this wait for the relay: live changes would have to wait behind them."""
PACE_S = 0.2

_COLUMNS = ("name", "table", "connection", "object", "on", "state", "waiting", "oldest", "rejected")

_warehouse_option = click.option(
    "--warehouse",
    metavar="NAME|URL",
    help="The warehouse: a name (WRITEBACK_WAREHOUSE_<NAME>) or a URL. Default: WRITEBACK_WAREHOUSE.",
)
_name_argument = click.argument("name")


@click.group()
def triggers() -> None:
    """Triggers in the warehouse: a change of a row becomes an event.

    \b
      writeback triggers create --table public.contacts --connection hubspot --object contact \\
          --key email --map email=email,firstname=first_name --upsert
      writeback triggers list

    A trigger writes a row into the outbox, in the transaction of whoever changed the table: rolled back with it, and
    never lost with it. `writeback up` or `writeback relay` takes the rows to the topics.
    """  # noqa: D301 - click's own mark, a real backspace


@triggers.command()
@click.option("--table", required=True, help="TABLE or SCHEMA.TABLE; quotes where a name holds a dot.")
@click.option("--connection", required=True, shell_complete=connection_names, help="Where its changes go.")
@click.option(
    "--object",
    "object_name",
    required=True,
    shell_complete=objects,
    help="What a row is there: contact, invoice, message ...",
)
@click.option("--key", required=True, help="The columns that tell the record, with commas between them.")
@click.option("--map", "fields", multiple=True, metavar="FIELD=COLUMN,...", help="What is sent; as JSON, too.")
@click.option(
    "--set", "constants", multiple=True, metavar="FIELD=VALUE", help="A field that is the same in every event."
)
@click.option("--on", default="insert,update,delete", show_default=True, help="Which changes become events.")
@click.option("--upsert", is_flag=True, help="Inserts and updates become upserts (default: add and update).")
@click.option("--as", "becomes", multiple=True, metavar="CHANGE=OPERATION", help="insert=message, delete=update ...")
@click.option("--when", help="An SQL condition over the row's columns; new.x and old.x in an update.")
@click.option("--send-unchanged", is_flag=True, help="Send also what says only what was sent last for its record.")
@click.option("--name", help="Default: connection and table.")
@click.option("--replace", is_flag=True, help="In place of the trigger of that name.")
@_warehouse_option
@json_option
@pass_context
def create(
    context: CommandContext,
    /,
    *,
    table: str,
    connection: str,
    name: str | None,
    replace: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Install a trigger. The connection, its functions, the columns and the condition are checked first."""
    from topics.outbox.definition import TableName  # noqa: PLC0415 - help needs none of it
    from topics.outbox.outbox import Outbox  # noqa: PLC0415

    named = parsed("--table", table, TableName.parse)
    slug, operations = operations_of(context, connection, said)
    given = {
        "name": name or default_name(slug, named.name),
        "table": named,
        "connection": slug,
        "object": said["object_name"],
        "operations": operations,
        "key": [column.strip() for column in said["key"].split(",")],
        "fields": pairs("--map", said["fields"]),
        "constants": {field: value_of(text) for field, text in pairs("--set", said["constants"], split=False).items()},
        "when": said["when"],
        "unchanged": "send" if said["send_unchanged"] else "drop",
    }
    with engine_of(context, said["warehouse"], named.schema_name) as (engine, inner):
        trigger = trigger_of(given if inner else given | {"table": TableName(name=named.name)})
        check_needs(context, trigger)
        Outbox(engine).create(trigger, replace=replace)
    if as_json:
        print_json(trigger.model_dump(mode="json"))
        return
    say(f"Made the trigger {trigger.name}: {story(trigger)}.")
    note(f"What is in {named} already is sent by `writeback triggers backfill {trigger.name}`.")


@triggers.command("list")
@_warehouse_option
@json_option
@pass_context
def list_triggers(context: CommandContext, /, *, warehouse: str | None, as_json: bool) -> None:
    """All triggers, and how many of their rows wait for the relay."""
    listed = [one for outbox in outboxes(context, warehouse) for one in outbox.list()]
    rows = [
        {
            "name": one.trigger.name,
            "table": str(one.trigger.table),
            "connection": one.trigger.connection,
            "object": one.trigger.object,
            "on": ", ".join(f"{change} → {operation}" for change, operation in one.trigger.operations.items()),
            "state": "paused" if one.paused else "backfill unfinished" if one.backfilling else "active",
            "waiting": one.waiting,
            "oldest": one.oldest and one.oldest.isoformat(timespec="seconds"),
            "rejected": one.rejected,
        }
        | ({"definition": one.trigger.model_dump(mode="json")} if as_json else {})
        for one in listed
    ]
    print_listing(rows, as_json=as_json, columns=_COLUMNS, empty="No triggers yet: `writeback triggers create`.")


@triggers.command()
@_name_argument
@_warehouse_option
@json_option
@pass_context
def show(context: CommandContext, /, *, name: str, warehouse: str | None, as_json: bool) -> None:
    """What a trigger does, and its SQL."""
    with holding(context, warehouse, name) as outbox:
        trigger, sql = outbox.get(name), outbox.sql(name)
    if as_json:
        print_json(trigger.model_dump(mode="json") | {"sql": sql})
        return
    say(f"-- {story(trigger)}\n{sql}")


@triggers.command()
@_name_argument
@_warehouse_option
@pass_context
def drop(context: CommandContext, /, *, name: str, warehouse: str | None) -> None:
    """Take a trigger out of the table. Its rows that wait are sent all the same."""
    with holding(context, warehouse, name) as outbox:
        waiting = outbox.drop(name)
    say(f"Dropped the trigger {name}." + (f" {waiting:,} of its rows are still on their way." if waiting else ""))


@triggers.command()
@_name_argument
@_warehouse_option
@pass_context
def pause(context: CommandContext, /, *, name: str, warehouse: str | None) -> None:
    """Send nothing for now: changes are still written down, and wait until `resume`."""
    with holding(context, warehouse, name) as outbox:
        outbox.pause(name, paused=True)
    say(f"Paused {name}: its rows wait in the outbox.")


@triggers.command()
@_name_argument
@_warehouse_option
@pass_context
def resume(context: CommandContext, /, *, name: str, warehouse: str | None) -> None:
    """Send again, what has waited first."""
    with holding(context, warehouse, name) as outbox:
        outbox.pause(name, paused=False)
    say(f"Resumed {name}.")


@triggers.command()
@_name_argument
@click.option("--restart", is_flag=True, help="From the first row again, where an earlier one was cut off.")
@_warehouse_option
@pass_context
def backfill(context: CommandContext, /, *, name: str, restart: bool, warehouse: str | None) -> None:
    """Send the rows that the table holds already, as inserts; live changes go before them.

    It waits while 10,000 rows wait for the relay. Cut off (Ctrl-C), it goes on where it was when it is run again.
    """
    from threading import Event  # noqa: PLC0415

    sent, pause_ = 0, Event()
    with holding(context, warehouse, name) as outbox, progress(f"backfill of {name}") as advance:
        for count in outbox.backfill(name, restart=restart):
            sent += count
            advance(count)
            while outbox.backlog()[0] > AHEAD:
                pause_.wait(PACE_S)
    say(f"{sent:,} rows of {name} went into the outbox.")


@triggers.command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="So many at most, the newest.")
@_warehouse_option
@json_option
@pass_context
def rejected(context: CommandContext, /, *, name: str | None, limit: int, warehouse: str | None, as_json: bool) -> int:
    """Rows that no event could be made of, with the reason. Exit code 3 when there are any."""
    rows = [row for outbox in outboxes(context, warehouse) for row in outbox.rejected(name, limit)]
    listed = [row | {"key": row["aggregateid"].partition("/")[2], "trigger": row["trigger_name"]} for row in rows]
    columns = ("trigger", "key", "refused", "rejected_at", "payload")
    print_listing(listed, as_json=as_json, columns=columns, empty="No rejected rows.")
    return INCOMPLETE if rows else OK


@triggers.command()
@click.argument("name", required=False)
@_warehouse_option
@pass_context
def retry(context: CommandContext, /, *, name: str | None, warehouse: str | None) -> None:
    """Put rejected rows back into the outbox, when what stopped them is mended.

    What a trigger itself refused (a key that is NULL, a NaN) stays: change the row in its table, and it is sent anew.
    """
    counts = [outbox.retry(name) for outbox in outboxes(context, warehouse)]
    say(f"{sum(moved for moved, _ in counts):,} rows went back into the outbox.")
    if stay := sum(stays for _, stays in counts):
        note(
            f"{stay:,} stay: their triggers refused them (`writeback triggers rejected`). Change the rows in the table."
        )
