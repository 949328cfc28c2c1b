"""``wait``: until the outcome of many writes is known."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from pq.receipt import LONGEST_WAIT_S, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable


class Outcomes(NamedTuple):
    """What became of the receipts, each in one of the three lists, in their order."""

    delivered: list[Receipt]
    failed: list[Receipt]
    pending: list[Receipt]

    def __str__(self) -> str:
        return f"{len(self.delivered):,} delivered, {len(self.failed):,} failed, {len(self.pending):,} pending"


def wait(receipts: Iterable[Receipt], timeout: float = LONGEST_WAIT_S, *, progress: bool | None = None) -> Outcomes:
    """Wait until all of them are known, or ``timeout`` seconds have passed; never raises for an outcome.

    ``progress``: a bar on stderr; not said, there is one where stderr is a terminal.
    """
    asked: Sequence[Receipt] = list(receipts)
    until = monotonic() + timeout
    outcomes = Outcomes([], [], [])
    with _bar(len(asked), shown=sys.stderr.isatty() if progress is None else progress) as step:
        for receipt in asked:
            status = receipt.wait(max(0.0, until - monotonic()))["status"]
            {"success": outcomes.delivered, "error": outcomes.failed}.get(status, outcomes.pending).append(receipt)
            step()
    return outcomes


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    if not shown:
        yield lambda: None
        return
    from rich.console import Console  # noqa: PLC0415 - for those who look
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("waiting for outcomes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
