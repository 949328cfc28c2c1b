"""``writeback dead-letters parked``, and what replays and discards say of parked keys."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dead_letter.cli.context import current_store
from dead_letter.cli.options import replay_command, slug
from topics.cli.console import json_option, note, pass_context, print_json, print_listing, say, when
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from dead_letter.replay.closing import Closing
    from dead_letter.store.parking import Parked
    from dead_letter.store.rows import Summary
    from dead_letter.store.store import LetterStore

SHOWN = 10
"""Keys that are told one by one; there may be thousands."""


@click.command()
@click.option("--connection", help="Name of the connection.")
@json_option
@pass_context
def parked(context: CommandContext, /, *, connection: str | None, as_json: bool) -> None:
    """Records whose event died and whose later events wait behind it, the oldest first."""
    from dead_letter.replay.lineage import lineage_of_keys  # noqa: PLC0415 - SQLAlchemy is not needed for --help

    store = current_store(context)
    keys = store.parking.parked(slug(connection))
    kin = lineage_of_keys(store, [one.key for one in keys])
    waiting = {one.key: [letter for letter in kin.of_key(one.key) if letter.state == "open"] for one in keys}
    if as_json:
        print_json([{**asdict(one), "open": [letter.id for letter in waiting[one.key]]} for one in keys])
        return
    columns = ("connection", "key", "since", "letters", "barred", "first")
    print_listing(
        [_line(one, waiting[one.key]) for one in keys], as_json=False, columns=columns, empty="No parked key."
    )
    if keys:
        note(f"Send all of a record's: {replay_command(keys[0].connection, keys[0].record_key)}")


def _line(one: Parked, waiting: Sequence[Summary]) -> dict[str, Any]:
    return {
        "connection": one.connection,
        "key": one.record_key,
        "since": when(one.since),
        "letters": len(waiting),
        "barred": "yes" if one.barred else "",
        "first": waiting[0].id[:12] if waiting else "",
    }


def close_overdue(context: CommandContext, store: LetterStore, told: Sequence[Closing] = ()) -> list[Closing]:
    """Free the parked keys without an open letter; ``told``: those whose closing record was sent just now."""
    from dead_letter.replay.closing import overdue, send  # noqa: PLC0415

    known = {(one.connection, one.record_key) for one in told if one.flows and not one.trouble}
    several = [one for one in overdue(store) if (one.connection, one.record_key) not in known]
    if not several:
        return []
    log = context.log()
    with closing(log.producer(name="replay")) as producer:
        return send(producer, store, log, several)


def tell_keys(several: Sequence[Closing]) -> None:
    """Say which keys are delivered again, and what holds up the others."""
    flowing = sum(one.flows and not one.trouble for one in several)
    if flowing:
        say(f"{flowing:,} parked {_keys(flowing)} will flow again when the workers get there")
    staying = [one for one in several if one.trouble or not one.flows]
    for one in staying[:SHOWN]:
        say(f"{one.record_key} of {one.connection} stays parked: {_why(one)}")
        say(f"  {replay_command(one.connection, one.record_key)}")
    if len(staying) > SHOWN:
        say(f"{len(staying) - SHOWN:,} more stay parked: writeback dead-letters parked")


def _why(one: Closing) -> str:
    if one.trouble:
        return f"it could not be let go ({one.trouble}); once more:"
    if not one.open:
        return "another event of it was diverted meanwhile; send that too:"
    shown = ", ".join(letter[:12] for letter in one.open[:3]) + (", ..." if len(one.open) > 3 else "")
    return f"{len(one.open):,} {'letter' if len(one.open) == 1 else 'letters'} of it still open ({shown}); send all:"


def _keys(count: int) -> str:
    return "key" if count == 1 else "keys"
