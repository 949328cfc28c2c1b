"""Everything the sandbox was asked, in order, so that tests can reckon losses, doubles and order exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_json


@dataclass(slots=True)
class Entry:
    """One record of one request: a batch of a hundred makes a hundred entries with the same ``request``.

    ``operation``: create, update, upsert, archive, read, list, search, message, or the vendor's method. ``unique``: the
    record's unique value (an email, an external id, in lower case; for Slack the channel). ``performed``: it was
    carried out, whatever the client was told. ``outcome``: what the client was told ("201", "409", "ok",
    "channel_not_found"), or ``hung``, ``dropped``. ``received``, ``done``, ``answered``: the sandbox's monotonic clock.
    Two entries of one key that overlap between ``received`` and ``answered`` were under way at once.
    """

    request: int
    vendor: str
    operation: str
    object: str
    record_id: str | None = None
    unique: str | None = None
    properties: dict[str, Any] | None = None
    trace_id: str | None = None
    performed: bool = False
    outcome: str = ""
    fault: str = ""
    received: float = 0.0
    done: float = 0.0
    answered: float | None = None


class Ledger:
    """``keep=False`` counts only (benchmarks with millions of requests). A journal gets a line per entry, flushed."""

    def __init__(self, journal: Path | None = None, *, keep: bool = True) -> None:
        self.entries: list[Entry] = []
        self.counts: Counter[str] = Counter()
        self._keep = keep
        self._journal: IO[bytes] | None = journal.open("ab") if journal else None

    def write(self, entries: Iterable[Entry]) -> None:
        """Once per request, when its outcome is decided."""
        lines: list[bytes] = []
        for entry in entries:
            self.counts[f"{entry.vendor} {entry.operation} {entry.outcome}"] += 1
            self.counts["performed"] += entry.performed
            if self._keep:
                self.entries.append(entry)
            if self._journal:
                lines.append(to_json(asdict(entry)) + b"\n")
        if self._journal and lines:
            self._journal.write(b"".join(lines))
            self._journal.flush()

    def rows(self, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Entries as JSON, from the ``after``-th on."""
        return [asdict(entry) for entry in self.entries[after : None if limit is None else after + limit]]

    def clear(self) -> None:
        self.entries.clear()
        self.counts.clear()

    def close(self) -> None:
        if self._journal:
            self._journal.close()
            self._journal = None
