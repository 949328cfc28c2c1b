"""``writeback syncs``: lists syncs, shows, pauses, resumes and resets one of them."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
import yaml

from topics.cli.console import (
    INCOMPLETE,
    OK,
    json_option,
    note,
    pass_context,
    print_json,
    print_listing,
    say,
    when,
)
from topics.cli.context import CommandContext
from worker.syncs.cli.create import create
from worker.syncs.cli.opened import folder_of, name_argument, runner_of
from worker.syncs.cli.output import print_runs, told
from worker.syncs.cli.plan import plan
from worker.syncs.cli.run import BUSY_S, run

if TYPE_CHECKING:
    from worker.syncs.definition.model import Sync
    from worker.syncs.state.runs import Run
    from worker.syncs.state.syncs import Standing


@click.group()
def syncs() -> None:
    """Syncs: a query becomes events for a connection, only what changed.

    \b
      writeback syncs create customers --table customers --key customer_id \\
          --connection hubspot --object contact --map email=email,name=firstname
      writeback syncs plan customers
      writeback syncs run customers --wait

    A sync is a file in ./syncs (WRITEBACK_SYNCS). One with a schedule is run by `writeback up` or
    `writeback scheduler`.
    """  # noqa: D301 - click's own mark, a real backspace


for command in (create, plan, run):
    syncs.add_command(command)


@syncs.command("list")
@json_option
@pass_context
def list_syncs(context: CommandContext, /, *, as_json: bool) -> int:
    """All syncs, how their last run ended, and when each is due next. Exit code 3 when a file cannot be read."""
    from worker.syncs.definition.load import SYNCS  # noqa: PLC0415 - help needs none of it
    from worker.syncs.state.runs import Runs  # noqa: PLC0415
    from worker.syncs.state.syncs import Syncs  # noqa: PLC0415

    found, wrong = SYNCS.readable(folder_of(context))
    store = context.store()
    if found:
        runner_of(context).outcomes().catch_up()
    rows = [
        _listed(one, Syncs(store).standing(one.name), Runs(store).list(one.name, limit=1)) for one in found.values()
    ]
    columns = (
        "name",
        "from",
        "to",
        "mode",
        "schedule",
        "state",
        "rows",
        "last_run",
        "pending",
        "dead",
        "next",
        "error",
    )
    empty = f"No syncs in {folder_of(context)} yet: `writeback syncs create`."
    print_listing(rows, as_json=as_json, columns=columns, empty=empty)
    for line in wrong:
        note(line)
    return INCOMPLETE if wrong else OK


def _listed(sync: Sync, standing: Standing, runs: list[Run]) -> dict[str, Any]:
    import time  # noqa: PLC0415

    from worker.syncs.due import following  # noqa: PLC0415

    due = None if standing.paused else following(sync, time.time(), standing.due)  # noqa: TID251 - an edge
    last = runs[0] if runs else None
    return {
        "name": sync.name,
        "from": sync.model or sync.table or "a query",
        "to": f"{sync.connection} {sync.object} {sync.operation}",
        "mode": sync.mode,
        "schedule": sync.schedule or "by hand",
        "state": "paused" if standing.paused else last.state if last else "never run",
        "rows": standing.rows,
        "last_run": when(last.started) if last else None,
        "pending": last.pending if last else 0,
        "dead": last.dead if last else 0,
        "next": when(due) if due is not None else None,
        "error": last.error if last else "",
    }


@syncs.command()
@name_argument
@json_option
@pass_context
def show(context: CommandContext, /, *, name: str, as_json: bool) -> None:
    """A sync's definition, how far it is, and its last runs."""
    from worker.syncs.definition.load import SYNCS  # noqa: PLC0415
    from worker.syncs.state.runs import Runs  # noqa: PLC0415
    from worker.syncs.state.syncs import Syncs  # noqa: PLC0415

    sync, store = SYNCS.find(folder_of(context), name), context.store()
    runner_of(context).outcomes().catch_up()
    standing, runs = Syncs(store).standing(name), Runs(store).list(name, limit=5)
    if as_json:
        print_json(
            {
                "definition": sync.model_dump(mode="json", by_alias=True),
                "standing": asdict(standing),
                "runs": [told(one) for one in runs],
            }
        )
        return
    said = sync.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    say(yaml.safe_dump(said, sort_keys=False, allow_unicode=True, default_flow_style=None).rstrip())
    say(f"\nrows in the snapshot: {standing.rows:,}{'; paused' if standing.paused else ''}")
    if standing.cursor:
        say(f"the cursor has reached: {standing.cursor['value']}")
    say("")
    print_runs(runs, as_json=False)


@syncs.command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
@pass_context
def runs(context: CommandContext, /, *, name: str | None, limit: int, as_json: bool) -> None:
    """The runs there were, the newest first, each with its reckoning. Kept for 90 days."""
    from worker.syncs.state.runs import Runs  # noqa: PLC0415

    runner_of(context).outcomes().catch_up()
    found = Runs(context.store()).list(name, limit=limit)
    print_runs(found, as_json=as_json)
    if any(one.dead for one in found) and not as_json:
        note("See `writeback dead-letters list`; `writeback syncs run NAME --failed` sends those rows again.")


@syncs.command()
@name_argument
@pass_context
def pause(context: CommandContext, /, *, name: str) -> None:
    """Run it no more on its schedule; `run` still does."""
    _known(context, name).pause(name, paused=True)
    say(f"Paused {name}.")


@syncs.command()
@name_argument
@pass_context
def resume(context: CommandContext, /, *, name: str) -> None:
    """Run it on its schedule again; what it missed is one run."""
    _known(context, name).pause(name, paused=False)
    say(f"Resumed {name}.")


@syncs.command()
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def reset(context: CommandContext, /, *, name: str, yes: bool) -> None:
    """Forget what was sent: the next run takes every row for new, and sends all of them."""
    from worker.syncs.run.lease import held  # noqa: PLC0415

    standings = _known(context, name)
    rows = standings.standing(name).rows
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"{rows:,} rows are sent again: say --yes, since nobody is there to be asked")
        click.confirm(
            f"The next run of {name} sends all rows again (the snapshot has {rows:,}). Go on?", abort=True, err=True
        )
    with held(context.store(), name, monotonic=runner_of(context).clock.monotonic, patience=BUSY_S) as holding:
        standings.claim(name, holding.epoch)
        standings.reset(name)
    say(f"Reset {name}: the next run takes every row for new.")


@syncs.command()
@click.option("--owner", default="data", show_default=True, help="Whom dbt shows as the owner.")
@pass_context
def exposures(context: CommandContext, /, *, owner: str) -> None:
    """Print the syncs of dbt's models as exposures, for a YAML file of the dbt project."""
    from worker.syncs.definition import dbt  # noqa: PLC0415
    from worker.syncs.definition.load import SYNCS  # noqa: PLC0415

    click.echo(dbt.exposures(SYNCS.all(folder_of(context)).values(), owner), nl=False)


def _known(context: CommandContext, name: str) -> Any:
    """Raises ``UnknownSync``."""
    from worker.syncs.definition.load import SYNCS  # noqa: PLC0415
    from worker.syncs.state.syncs import Syncs  # noqa: PLC0415

    SYNCS.find(folder_of(context), name)
    return Syncs(context.store())
