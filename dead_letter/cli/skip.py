"""``writeback dead-letters skip``: past what cannot be read in the topic of letters."""

from __future__ import annotations

import click

from topics.cli.console import json_option, pass_context, print_json, say
from topics.cli.context import CommandContext


@click.command()
@json_option
@pass_context
def skip(context: CommandContext, /, *, as_json: bool) -> None:
    """Go past what cannot be read in the topic of letters: a damaged batch, a codec that is not installed.

    The bytes that are there are kept as a letter of verdict foreign. What can be read is not passed, and an archive
    that runs goes on within seconds. The same for a topic of events: writeback topics skip.
    """
    from dead_letter.store.archive import skip as skip_unreadable  # noqa: PLC0415 - help needs no database
    from dead_letter.store.store import LetterStore  # noqa: PLC0415

    passed = skip_unreadable(context.log(), LetterStore(context.store(), context.known_slugs))
    if as_json:
        print_json(
            [
                {
                    "partition": str(found.partition),
                    "offset": found.offset,
                    "goes_on_at": found.behind,
                    "reason": found.reason,
                    "kept": found.record is not None,
                }
                for found in passed
            ]
        )
        return
    for found in passed:
        kept = "; its bytes are in a letter" if found.record is not None else ""
        say(f"{found.partition}: passed offset {found.offset:,} to {found.behind - 1:,}{kept} ({found.reason})")
    if not passed:
        say("Nothing to skip: all letters of the topic can be read.")
