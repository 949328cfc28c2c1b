"""The archive of dead letters as a role: it takes them from their topic into the store."""

from __future__ import annotations

from dead_letter.store.archive import Archive
from dead_letter.store.store import LetterStore
from topics.cli.context import CommandContext
from topics.settings import seconds_of
from worker.clock import SystemClock


def build(context: CommandContext) -> Archive:
    keep_s = seconds_of(context.settings.letters_retention)
    return Archive(
        context.log(), LetterStore(context.store(), context.known_slugs), keep_s=keep_s, now=SystemClock().now
    )
