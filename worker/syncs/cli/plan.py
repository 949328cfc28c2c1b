"""``writeback syncs plan``: what a run would send."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from topics.cli.console import INCOMPLETE, OK, json_option, note, pass_context, print_json, progress, say
from topics.cli.context import CommandContext
from worker.syncs.cli.opened import folder_of, name_argument, runner_of

if TYPE_CHECKING:
    from worker.syncs.plan.destination import Found
    from worker.syncs.plan.plan import Plan
    from worker.syncs.snapshot.compare import Change

CHANGES = 4
"""The exit code of --exit-code when there is anything to send."""
WIDE = 60
LOOK = 100
"""How many records --against-destination reads by default."""
SHOWN = 10


@click.command()
@name_argument
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Keep the plan, for `run --plan FILE`.")
@click.option("--failed", is_flag=True, help="With the rows whose last event is a dead letter.")
@click.option("--exit-code", is_flag=True, help="Exit code 4 when there is anything to send.")
@click.option(
    "--against-destination",
    "look",
    type=click.IntRange(min=1),
    is_flag=False,
    flag_value=LOOK,
    metavar="[N]",
    help=f"Read the first N records (default {LOOK}) there and compare: an API call each.",
)
@json_option
@pass_context
def plan(
    context: CommandContext,
    /,
    *,
    name: str,
    out: Path | None,
    failed: bool,
    exit_code: bool,
    look: int | None,
    as_json: bool,
) -> int:
    """Say what a run would send, and send nothing.

    \b
      writeback syncs plan customers
      writeback syncs plan customers --out customers.plan
      writeback syncs run customers --plan customers.plan

    How many rows are new, changed (field by field, old and new) and gone, how many API calls that is, and how long
    it takes at the connection's quota.

    \b
    What is compared depends on the sync's mode:
      diff    the whole result with what was sent before; what is gone is left alone
      mirror  the same, and what is gone is removed at the destination
      cursor  only rows whose cursor column has grown
      full    nothing: every row is sent, each time

    Exit codes: 0 a run would do this, 3 a guard would stop it; with --exit-code 4 when there is anything to send.
    """  # noqa: D301 - click's own mark, a real backspace
    from worker.syncs.definition.load import SYNCS  # noqa: PLC0415 - help needs none of it

    sync = SYNCS.find(folder_of(context), name)
    with tempfile.TemporaryDirectory(prefix="writeback-sync-") as folder:
        path = out or Path(folder) / "plan"
        with progress(f"reading {name}", None) as advance:
            made, target = runner_of(context).plan(sync, path, failed=failed, tick=advance)
        found = None
        if look is not None:
            with progress(f"reading {target.connection.name}", None):
                found = runner_of(context).at_the_destination(made, target, look)
        if as_json:
            print_json(told(made, target) | ({"at_the_destination": _found_json(found)} if found else {}))
        else:
            _tell(made, target)
            if found is not None:
                _tell_found(found, target)
    if out is not None:
        note(f"Kept in {out}: writeback syncs run {name} --plan {out}")
    if made.guards:
        return INCOMPLETE
    return CHANGES if exit_code and made.changes else OK


def told(plan: Plan, target: Any) -> dict[str, Any]:
    """The plan as JSON."""
    counts = plan.counts
    return {
        "sync": plan.sync.name,
        "mode": plan.sync.mode,
        **{name: value for name, value in counts.told().items() if name != "nulls"},
        "to_send": plan.changes,
        "changed_fields": dict(counts.fields.most_common()),
        "examples": {
            kind: [
                {
                    "key": change.key,
                    "fields": target.fields(change) if kind in target.functions else change.row,
                    "old": change.old,
                }
                for change in changes
            ]
            for kind, changes in counts.examples.items()
        },
        "refused_rows": [{"key": one.key, "reason": one.reason} for one in counts.reasons],
        "api_calls": plan.estimate.calls,
        "seconds": plan.estimate.seconds,
        "days_of_quota": plan.estimate.days,
        "guards": plan.guards,
    }


def _tell(plan: Plan, target: Any) -> None:
    counts, kinds = plan.counts, plan.counts.kinds
    say(f"{plan.sync.name}: {counts.read:,} rows read, {counts.unchanged:,} unchanged, {plan.changes:,} to send")
    for kind, changes in counts.examples.items():
        say(f"\n{_headline(plan, kind, kinds[kind], target)}")
        for change in changes:
            say(f"  {_key(change.key)}: {_example(change)}")
        if kinds[kind] > len(changes):
            say(f"  ... and {kinds[kind] - len(changes):,} more")
    if counts.held:
        note(f"\n{counts.held:,} rows are dead letters and have not changed since: --failed sends them again")
    if counts.refused:
        note(f"\n{counts.refused:,} rows cannot be sent:")
        for one in counts.reasons:
            note(f"  {'' if one.key is None else f'{_key(one.key)}: '}{one.reason}")
    if plan.changes:
        say(f"\n{_cost(plan)}")
    for guard in plan.guards:
        note(f"\nA guard stops this: {guard}. `writeback syncs run {plan.sync.name} --yes` does it all the same")


def _found_json(found: Found) -> dict[str, Any]:
    return {
        "looked_at": found.looked,
        "same": found.same,
        "absent": found.absent,
        "differing": [
            {"key": key, "fields": {name: {"there": there, "sent": sent} for name, (there, sent) in fields.items()}}
            for key, fields in found.differing.items()
        ],
    }


def _tell_found(found: Found, target: Any) -> None:
    say(
        f"\nOf the first {found.looked:,} records on {target.connection.name}: {len(found.differing):,} differ, "
        f"{len(found.absent):,} are not there, {found.same:,} have it all already"
    )
    for key, fields in list(found.differing.items())[:SHOWN]:
        told = [f"{name}: {_short(there)} there, {_short(sent)} to be sent" for name, (there, sent) in fields.items()]
        say(f"  {_key(key)}: {', '.join(told)}")


def _headline(plan: Plan, kind: str, count: int, target: Any) -> str:
    becomes = target.functions.get(kind)
    what = f"→ {becomes.operation} {becomes.object}" if becomes else "left alone (mode: mirror removes them)"
    if kind != "changed" or not plan.counts.fields:
        return f"{count:,} {'to send' if kind == 'full' else kind} {what}"
    fields = ", ".join(f"{name} {many:,}" for name, many in plan.counts.fields.most_common(10))
    return f"{count:,} changed {what}: {fields}"


def _example(change: Change) -> str:
    if change.kind == "changed":
        names = change.names if change.names is not None else tuple(change.row)
        told = [
            f"{name}: {_short(change.old[name])} → {_short(change.row[name])}" if name in change.old else name
            for name in names
        ]
        return ", ".join(told) if change.names is not None else f"sent whole again ({', '.join(change.row)})"
    return ", ".join(f"{name}={_short(value)}" for name, value in change.row.items())


def _cost(plan: Plan) -> str:
    cost = plan.estimate
    calls = f"{cost.calls:,} API call{'s' * (cost.calls != 1)} in full batches"
    if cost.seconds is None:
        return f"{calls}; the connection has no rate limit"
    over = f", {cost.days:,} days at its daily quota" if (cost.days or 0) > 1 else ""
    return f"{calls}, {_span(cost.seconds)} at the connection's quota{over}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3_600:.1f} h"


def _key(key: Any) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _short(value: Any) -> str:
    from topics.event import exact_json  # noqa: PLC0415

    text = exact_json.shown(value)
    return text if len(text) <= WIDE else f"{text[:WIDE]}..."
