"""Prints what a verification found: a line for each record that differs, worded as dead letters are."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

from topics.cli.console import note, print_json, print_table, say, when
from topics.event import exact_json
from worker.refresher.verify.judge import DIFFERENCES, Difference, Finding
from worker.refresher.verify.verification import NEVER_REFRESHED, Verification

COLUMNS: Final = ("event", "when", "connection", "what", "verdict", "reason")
SHORT: Final = 40
"""How many characters of a value a line shows."""
_SAID: Final = {
    "same": "as sent",
    "different": "different",
    "missing": "missing",
    "changed": "changed since by somebody else",
    "waiting": "written again since the refresh began",
    "unknown": "of which the log has not all events any more",
}


class Report:
    """``as_json``: a line of JSON for each record that differs, and the counts in the last line."""

    def __init__(self, verification: Verification, *, limit: int, as_json: bool) -> None:
        self._verification = verification
        self._limit = limit
        self._as_json = as_json
        self._lines: list[list[object]] = []
        self.counts: Counter[str] = Counter()
        self.not_read: Counter[str] = Counter()

    @property
    def differs(self) -> bool:
        """True also when events were delivered, but none of them could be compared."""
        found = any(self.counts[verdict] for verdict in DIFFERENCES)
        return found or (self.counts.total() > 0 and not self.counts["same"])

    def add(self, finding: Finding) -> None:
        self.counts[finding.verdict] += 1
        self.not_read.update(finding.not_read)
        if self._as_json and finding.verdict != "same":
            print_json(self._told(finding))
        elif finding.verdict in DIFFERENCES and len(self._lines) < self._limit:
            self._lines.append(self._line(finding))

    def end(self) -> None:
        if self._as_json:
            print_json(self._summary())
            return
        if self._lines:
            print_table(COLUMNS, self._lines)
        self._tell()

    def _tell(self) -> None:
        name, total = self._verification.connection.slug, self.counts.total()
        hidden = sum(self.counts[verdict] for verdict in DIFFERENCES) - len(self._lines)
        if hidden:
            note(f"{hidden:,} more are not shown: --limit, or --json")
        said = ", ".join(
            f"{self.counts[verdict]:,} {words}" for verdict, words in _SAID.items() if self.counts[verdict]
        )
        events = _many(self._verification.events, "delivered event")
        say(f"{_many(total, 'record')} of {name}, by {events}: {said or 'none'}")
        for line in self._remarks():
            note(f"  {line}")

    def _remarks(self) -> list[str]:
        name, left = self._verification.connection.slug, self._verification.reading.left
        kinds = self._verification.reading.scratch.kinds()
        refreshed = {kind: self._verification.refreshed.get(kind, NEVER_REFRESHED) for kind in kinds}
        lines = [
            f"{kind}: refreshed {when(at)}" if at else f"{kind}: never refreshed" for kind, at in refreshed.items()
        ]
        if self.counts["waiting"]:
            lines.append(f"refresh, and verify again: writeback refresh {name} --wait")
        if left.not_in_log:
            lines.append(
                f"{left.not_in_log:,} events are not in the log any more (WRITEBACK_EVENTS_RETENTION): whether their "
                "records are there was looked at, and their fields could not be"
            )
        if left.nameless:
            lines.append(f"{left.nameless:,} events name no record, nor did the answer: they cannot be looked up")
        if left.not_read:
            counted = ", ".join(f"{kind} {count:,}" for kind, count in left.not_read.most_common())
            lines.append(f"events about what no refresh reads: {counted}")
        if self.not_read:
            names = ", ".join(name for name, _ in self.not_read.most_common(10))
            lines.append(f"fields that the refresh does not bring, and nobody compared: {names}")
        return lines

    def _line(self, finding: Finding) -> list[object]:
        delivery, expected = self._delivery(finding), finding.expected
        what = f"{delivery.operation} {expected.kind}/{expected.record}"
        name = self._verification.connection.slug
        return [delivery.event, when(delivery.time), name, what, finding.verdict, reason(finding)]

    def _told(self, finding: Finding) -> dict[str, Any]:
        delivery, expected = self._delivery(finding), finding.expected
        return {
            "verdict": finding.verdict,
            "connection": self._verification.connection.slug,
            "object": expected.kind,
            "record": expected.record,
            "event": delivery.event,
            "operation": delivery.operation,
            "delivered": delivery.time,
            "fields": {name: {"sent": one.sent, "found": one.found} for name, one in finding.fields.items()},
            "changed_at": _iso(finding.changed_at),
            "reason": reason(finding),
        }

    def _summary(self) -> dict[str, Any]:
        left = self._verification.reading.left
        return {
            "connection": self._verification.connection.slug,
            "events": self._verification.events,
            "records": {verdict: self.counts[verdict] for verdict in _SAID},
            "refreshed": self._verification.refreshed,
            "events_not_in_log": left.not_in_log,
            "events_without_record": left.nameless,
            "events_not_read": dict(left.not_read),
            "fields_not_read": sorted(self.not_read),
        }

    def _delivery(self, finding: Finding) -> Any:
        expected = finding.expected
        return self._verification.reading.scratch.of_record(expected.kind, expected.record, finding.turn)[0]


def reason(finding: Finding) -> str:
    """The finding in words, like the reason of a dead letter."""
    match finding.verdict:
        case "missing":
            return "it is not in the warehouse"
        case "waiting":
            return "written since the last refresh began"
        case "unknown":
            return "the log has not all of its events any more"
    if finding.expected.is_gone:
        said = "it was deleted, and is there"
    else:
        said = "; ".join(f"{name}: {_difference(one)}" for name, one in finding.fields.items())
    at = finding.changed_at
    return f"{said} (changed {when(at.timestamp())})" if finding.verdict == "changed" and at else said


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def _difference(one: Difference) -> str:
    return f"sent {_shown(one.sent)}, there is {_shown(one.found)}"


def _shown(value: Any) -> str:
    text = exact_json.shown(value)
    return text if len(text) <= SHORT else f"{text[: SHORT - 1]}…"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
