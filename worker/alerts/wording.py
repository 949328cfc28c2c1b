"""The text of an alert: its own with the values filled in, or our default; with a query's rows below it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from connectors.connections.standing import moment
from worker.alerts.decide import Clear, Finding, Raise
from worker.alerts.definition import Alert
from worker.alerts.findings import FAILED

MAX_CELL = 60
MAX_TEXT = 3_500
"""Characters. Slack cuts a message at 4,000: https://docs.slack.dev/reference/methods/chat.postMessage"""
MAX_PIECES = 10
_PLACE = re.compile(r"\{(\w+)\}")


def text_of(alert: Alert, said: Raise | Clear) -> str:
    """The text to send; empty when nothing is to be sent."""
    if isinstance(said, Clear):
        return _cleared(alert, said)
    finding = said.finding
    if not alert.text or finding.key == FAILED:
        head = f"{alert.name}: {finding.reason}"
    else:
        head = filled(alert.text, values_of(alert, finding))
    again = f" (since {moment(said.since)}, said {said.times} times)" if said.times > 1 else ""
    return _cut("\n".join([f"{head}{again}", *table(finding.rows[: alert.rows], finding.count)]))


def values_of(alert: Alert, finding: Finding) -> dict[str, Any]:
    """The values for the names in braces: the first row's columns or the event's fields, and these three."""
    return {**finding.fields, "alert": alert.name, "count": finding.count, "reason": finding.reason}


def filled(template: str, values: Mapping[str, Any]) -> str:
    """The template with values in place of the names in braces; an unknown name stays as it is."""
    return _PLACE.sub(lambda place: str(values.get(place[1], place[0])), template)


def table(rows: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """A line for each row: ``id: 7, mail: ada@acme.com``."""
    lines = [", ".join(f"{name}: {_cell(value)}" for name, value in row.items()) for row in rows]
    more = count - len(rows)
    return [f"• {line}" for line in lines] + ([f"… and {more:,} more"] if lines and more > 0 else [])


def csv_of(alert: Alert, said: Raise | Clear) -> str:
    """The rows to attach as CSV, with a header; empty when there are none."""
    rows = [] if isinstance(said, Clear) else said.finding.rows[: alert.attach]
    if not rows:
        return ""
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([rows[0], *(map(_plain, row.values()) for row in rows)])
    return written.getvalue()


def pieces(text: str) -> list[str]:
    """A CSV split into messages for a thread, none longer than Slack takes."""
    found: list[str] = []
    for line in text.splitlines():
        short = line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
        if found and len(found[-1]) + len(short) < MAX_TEXT:
            found[-1] += "\n" + short
        else:
            found.append(short)
    kept, left = found[:MAX_PIECES], found[MAX_PIECES:]
    more = sum(piece.count("\n") + 1 for piece in left)
    return [f"```\n{piece}\n```" for piece in kept] + ([f"… and {more:,} more lines"] if more else [])


def _plain(value: Any) -> str:
    """The value without line breaks, which would look like another row."""
    return "" if value is None else " ".join(str(value).split())


def _cleared(alert: Alert, said: Clear) -> str:
    if alert.cleared == "":
        return ""
    told = said.told
    if alert.cleared and told.key != FAILED:
        return filled(alert.cleared, {"alert": alert.name, "reason": told.reason, "since": moment(told.since)})
    return _cut(f"{alert.name}: over, since {moment(told.since)} it was: {told.reason}")


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()) if value is not None else "none"
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
