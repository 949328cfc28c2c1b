"""``writeback syncs create``: writes the file of a sync, after a look at its rows and its destination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml

from topics.cli.console import json_option, note, pass_context, print_json, say
from topics.cli.context import CommandContext
from worker.relay.options import pairs, value_of
from worker.syncs.cli.opened import folder_of, name_argument, runner_of

MODES = click.Choice(["diff", "mirror", "cursor", "full"])
OPERATIONS = click.Choice(["add", "update", "upsert", "message", "delete"])


@click.command()
@name_argument
@click.option("--query", help="A SELECT, or @FILE that holds one.")
@click.option("--table", help="TABLE or SCHEMA.TABLE, in place of a query.")
@click.option("--model", help="ref('customers'): a model of dbt, in place of a query.")
@click.option("--warehouse", help="The name of a warehouse (WRITEBACK_WAREHOUSE_<NAME>). Default: dw.")
@click.option("--key", required=True, help="The column that tells the record; several with commas between them.")
@click.option("--connection", required=True, help="Where the rows go.")
@click.option("--object", "object_name", required=True, help="What a row is there: contact, company, ...")
@click.option("--operation", type=OPERATIONS, default="upsert", show_default=True, help="What a new row becomes.")
@click.option("--map", "mapped", multiple=True, metavar="COLUMN=FIELD,...", help="Default: the columns' own names.")
@click.option("--set", "constants", multiple=True, metavar="FIELD=VALUE", help="A field that is the same in every row.")
@click.option("--mode", type=MODES, default="diff", show_default=True, help="See `writeback syncs plan --help`.")
@click.option("--cursor", help="With --mode cursor: the column that grows with every change.")
@click.option("--late", help="With --mode cursor: how late rows may come in (10m).")
@click.option("--schedule", help="every 15m, or '0 6 * * *'. Default: only when it is told to.")
@click.option("--timezone", help="Of a cron schedule. Default: UTC.")
@click.option("--replace", is_flag=True, help="In place of the file that there is.")
@json_option
@pass_context
def create(context: CommandContext, /, *, name: str, replace: bool, as_json: bool, **said: Any) -> None:
    """Write a sync's file into ./syncs (WRITEBACK_SYNCS), after a look at the rows and the connection.

    \b
      writeback syncs create customers --query @customers.sql --key customer_id \\
          --connection hubspot --object contact --map email=email,name=firstname \\
          --schedule 'every 1h'

    Nothing is sent: `writeback syncs plan NAME` says what would be. The file has more settings than there are options
    here: docs/reference/sync.schema.json has them all.
    """  # noqa: D301 - click's own mark, a real backspace
    from worker.syncs.definition.load import SYNCS  # noqa: PLC0415 - help needs none of it

    path = folder_of(context) / f"{name}.yaml"
    if path.exists() and not replace:
        raise click.UsageError(f"{path} is there already: edit it, or --replace it")
    given = _definition(said)
    sync = SYNCS.read({**given, "name": name}, where=f"the sync {name}")
    with runner_of(context).planner(sync) as planner:
        columns = planner.source.shape.columns
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(given, sort_keys=False, allow_unicode=True), encoding="utf-8")
    if as_json:
        print_json({"file": str(path), "definition": sync.model_dump(mode="json", by_alias=True)})
        return
    say(
        f"Wrote {path}: {len(columns)} columns of {sync.model or sync.table or 'the query'} become "
        f"{sync.operation} {sync.object} on {sync.connection}."
    )
    note(f"See what it would send: writeback syncs plan {name}")


def _definition(said: dict[str, Any]) -> dict[str, Any]:
    """What is written into the file: only what was said."""
    given: dict[str, Any] = {
        name: said[name] for name in ("warehouse", "query", "table", "model") if said[name] is not None
    }
    if str(given.get("query", "")).startswith("@"):
        given["query"] = _query(given["query"][1:])
    key = [column.strip() for column in said["key"].split(",")]
    given["key"] = key if len(key) > 1 else key[0]
    given |= {"connection": said["connection"], "object": said["object_name"], "operation": said["operation"]}
    if said["mapped"]:
        given["map"] = pairs("--map", said["mapped"])
    if said["constants"]:
        texts = pairs("--set", said["constants"], split=False)
        given["set"] = {field: value_of(text) for field, text in texts.items()}
    given["mode"] = said["mode"]
    return given | {name: said[name] for name in ("cursor", "late", "schedule", "timezone") if said[name] is not None}


def _query(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{path}: {error}", param_hint="--query") from error
