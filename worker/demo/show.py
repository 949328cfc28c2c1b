"""What the demo shows while it plays: the commands it types, and a live count per connection."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from topics import names
from worker.demo.reckoning import Reckoning
from worker.demo.stage import Stage, StageError
from worker.engine.progress.metadata import ForeignMetadata, decode

LOOK_SECONDS = 0.25
PLAIN_SECONDS = 2.0


class Show:
    """Draws on a terminal; into a pipe, plain lines."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)

    def title(self, text: str) -> None:
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        self.console.print(text)

    def types(self, command: Sequence[str]) -> None:
        line = " ".join(word if word.replace("-", "").isalnum() else _quoted(word) for word in command)
        self.console.print(f"[cyan]$ {line}[/cyan]", markup=True)

    def output(self, text: str) -> None:
        self.console.print(text.rstrip(), markup=False)

    def follow(self, stage: Stage, slugs: Sequence[str], *, within: float) -> None:
        """Until nothing is left to do. Raises ``StageError`` when that takes longer than ``within`` seconds."""
        until = time.monotonic() + within
        if not self.console.is_terminal:
            self._follow_plainly(stage, slugs, until)
            return
        with Live(console=self.console, refresh_per_second=8) as live:
            while True:
                rows = _progress(stage, slugs)
                live.update(_table(rows))
                if _over(rows, until):
                    return
                time.sleep(LOOK_SECONDS)  # noqa: TID251

    def _follow_plainly(self, stage: Stage, slugs: Sequence[str], until: float) -> None:
        said = float("-inf")
        while True:
            rows = _progress(stage, slugs)
            over = _over(rows, until)
            if over or time.monotonic() - said >= PLAIN_SECONDS:
                said = time.monotonic()
                self.say(
                    "; ".join(
                        f"{slug}: {d} delivered, {w} waiting, {r} retrying, {x} dead" for slug, d, w, r, x in rows
                    )
                )
            if over:
                return
            time.sleep(LOOK_SECONDS)  # noqa: TID251

    def reckoning(self, reckoning: Reckoning) -> None:
        table = Table("", "emitted", "in the application", box=None, header_style="bold", pad_edge=False)
        for what, expected, found in reckoning.lines:
            mark = "[green]✔[/green]" if expected == found else "[red]✘[/red]"
            table.add_row(f"{mark} {what}", f"{expected:,}", f"{found:,}")
        self.console.print(table)
        for fault in reckoning.faults:
            self.console.print(f"[red]{fault}[/red]")


Row = tuple[str, int, int, int, int]
"""Connection, delivered, waiting, retrying, dead."""


def _progress(stage: Stage, slugs: Sequence[str]) -> list[Row]:
    outcomes = Counter((result.connection, result.outcome) for result in stage.results())
    rows = []
    lags = stage.log.lag(stage.log.names.worker_group, stage.log.names.events_prefix)
    for slug in slugs:
        partitions = [partition for partition in lags if names.slug_of(partition.topic) == slug]
        commits = stage.log.committed(stage.log.names.worker_group, partitions)
        retrying = 0
        for commit in commits.values():
            try:
                memory = decode(commit.offset, commit.metadata) if commit else None
            except ForeignMetadata:
                memory = None
            retrying += len(memory.tries) if memory else 0
        emitted = sum(lags[partition].end for partition in partitions)
        delivered, dead = outcomes[slug, "delivered"], outcomes[slug, "dead"]
        rows.append((slug, delivered, max(0, emitted - delivered - dead - retrying), retrying, dead))
    return rows


def _over(rows: Sequence[Row], until: float) -> bool:
    if all(not waiting and not retrying for _, _, waiting, retrying, _ in rows):
        return True
    if time.monotonic() > until:
        raise StageError(f"not finished in time: {rows}")
    return False


def _table(rows: Sequence[Row]) -> Table:
    table = Table(
        "connection", "delivered", "waiting", "retrying", "dead", box=None, header_style="bold", pad_edge=False
    )
    for slug, *counts in rows:
        table.add_row(slug, *(f"{count:,}" for count in counts))
    return table


def _quoted(word: str) -> str:
    return f"'{word}'" if any(mark in word for mark in ' {}"<>;|&') else word
