"""What the commands about dead letters share: the store as it is now, the letters that are meant, who asks."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from dead_letter.cli.options import anything, chosen
from topics.cli.console import note
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from dead_letter.store.rows import Summary
    from dead_letter.store.store import LetterStore

ids_argument = click.argument("ids", nargs=-1, metavar="[ID]...")
all_option = click.option("--all", "everything", is_flag=True, help="All open letters.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def current_store(context: CommandContext, /, *, needs_log: bool = False) -> LetterStore:
    """The store, brought to the end of the topic first: a listing is never behind."""
    from dead_letter.errors import LettersUnreadable  # noqa: PLC0415
    from dead_letter.store.archive import catch_up  # noqa: PLC0415 - SQLAlchemy is not needed for --help
    from dead_letter.store.store import LetterStore  # noqa: PLC0415
    from topics.errors import LogUnavailable  # noqa: PLC0415

    store = LetterStore(context.store(), context.known_slugs)
    try:
        catch_up(context.log(), store)
    except (LogUnavailable, LettersUnreadable) as error:
        if needs_log:
            raise
        note(f"The newest letters may be missing: {error}")
    others = store.strangers()
    if others:
        note(f"Not shown, since this store has no such connections: letters of {', '.join(others)}")
    return store


def selected(store: LetterStore, ids: tuple[str, ...], *, everything: bool, said: dict[str, Any]) -> list[Summary]:
    if sum((bool(ids), everything, anything(said))) != 1:
        raise click.UsageError("say which letters: their ids, or filters, or --all")
    if ids:
        wanted = list(dict.fromkeys(store.get(letter).summary.id for letter in ids))
        return list(store.in_order(chosen(now(), state=None, ids=wanted, **said)))
    return list(store.in_order(chosen(now(), state="open", **said)))


def mark_found(context: CommandContext, store: LetterStore, letters: Sequence[Summary]) -> None:
    """Mark those of these that a replay has sent before it was killed: they are replayed, and cannot be changed."""
    if all(letter.copying is None for letter in letters):
        return
    from dead_letter.replay import copies  # noqa: PLC0415
    from dead_letter.replay.claim import Claim  # noqa: PLC0415

    with Claim(store, who=who(), monotonic=time.monotonic) as claim:
        copies.mark_found(context.log(), store, claim, letters, who=who(), now=now())


def confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: say --yes")
    click.confirm(question, abort=True, err=True)


def confirm_typed(words: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked: say --yes")
    if click.prompt(f"Type {words!r} to go on", default="", show_default=False, err=True).strip() != words:
        raise click.Abort


def who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def now() -> float:
    return time.time()  # noqa: TID251 - the command line is an edge; what is below is told the time
