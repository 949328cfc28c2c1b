"""``writeback dead-letters purge``: letters that are done with leave the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dead_letter.cli.context import confirm, current_store, now, yes_option
from dead_letter.cli.options import chosen, filter_options, moment
from topics.cli.console import json_option, note, pass_context, print_json, progress, say
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from topics.log import Log

DEFAULT_AGE = "90d"


@click.command()
@filter_options
@click.option(
    "--older-than",
    metavar="AGE",
    default=DEFAULT_AGE,
    show_default=True,
    help="What ended before: 24h, 90d, 52w, or a date.",
)
@click.option("--state", type=click.Choice(["replayed", "discarded"]), help="Only these; else both.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and delete nothing.")
@yes_option
@json_option
@pass_context
def purge(
    context: CommandContext,
    /,
    *,
    older_than: str,
    state: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Delete letters for good that were replayed or discarded long ago.

    Open letters are never deleted, nor those that something still needs: the plan says how many stay, and why. What
    was deleted cannot be shown or replayed any more.
    """
    from dead_letter.store.purging import GOES, WHY, Purging  # noqa: PLC0415 - SQLAlchemy is not needed for --help

    store = current_store(context, needs_log=True)
    before = moment(older_than, now())
    assert before is not None
    filters = chosen(now(), state=state, **said)
    purging = Purging(context.store(), filters, before=before, there=_there(context.log()))
    plan = purging.plan()
    going = plan.pop(GOES, 0)
    stays = {why: count for why, count in plan.items() if count}
    if not as_json:
        for why, count in stays.items():
            note(f"  {count:,} that have ended stay: they {WHY[why]}")
    if going and not dry_run and not yes:
        confirm(f"Delete {going:,} letters for good?")
    purged = 0
    if going and not dry_run:
        with progress("Purging", going) as advance:
            for count in purging.run():
                purged += count
                advance(count)
    if as_json:
        print_json(
            {
                "purged": purged,
                "would_go": going,
                "stay": stays,
                "open": store.count(chosen(now(), state="open", **said)),
            }
        )
    else:
        say(f"{going:,} would be purged" if dry_run else f"{purged:,} purged")


def _there(log: Log) -> dict[int, tuple[int, int]]:
    """Of each partition of the topic of letters, what it holds now."""
    from topics.log.backlog import partitions_of  # noqa: PLC0415

    places = partitions_of(log, log.names.dead_letter)
    ends = log.end_offsets(places) if places else {}
    starts = log.start_offsets(places) if places else {}
    return {place.number: (starts[place], ends[place]) for place in places}
