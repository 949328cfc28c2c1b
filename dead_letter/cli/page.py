"""A letter told to a person, and to a machine."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dead_letter.cli.options import replay_command
from dead_letter.replay.editing import diff, original
from dead_letter.replay.lineage import record_of
from dead_letter.replay.selection import BLOCKED
from dead_letter.replay.standing import Standing
from dead_letter.store.rows import Stored, Summary
from dead_letter.store.store import Action
from topics.cli.console import when
from topics.event import exact_json
from topics.names import is_refresh

SHORT = 12
"""Characters of an id that a listing shows; any beginning that fits one letter will do."""
LONGEST_VALUE = 20_000

_NEXT = {
    "rejected": "The destination will never take it as it is. Correct it and send it again:\n"
    "  writeback dead-letters edit {id} --set FIELD=VALUE\n  {replay}",
    "malformed": "It is no event. Give it one and send that, or discard it:\n"
    "  writeback dead-letters edit {id} --operation OP --object OBJECT --fields '{{...}}'\n"
    "  {replay}",
    "foreign": "Another program wrote this letter. Give it an event and send that, or discard it:\n"
    "  writeback dead-letters edit {id} --operation OP --object OBJECT --fields '{{...}}'\n"
    "  {replay}",
    "unknown-connection": "Make the connection, then send it again:\n"
    "  writeback connections add {connection} ...\n  {replay}",
    "unknown-function": "The connector cannot do this. See what it can do, then correct the event or upgrade:\n"
    "  writeback connectors\n  writeback dead-letters edit {id} --object OBJECT --operation OP",
    "exhausted": "The destination did not recover in time. Once it is well, send it again:\n  {replay}",
    "unknown-outcome": "It may have arrived. Look at the destination first; then one of:\n"
    "  writeback dead-letters discard {id} --reason 'it had arrived'\n  {replay}",
    "blocked": "What it waited behind is done with. Send it:\n  {replay}",
}

_NEXT_OF_REFRESH = {
    "malformed": "It is no request that can be read. Ask again, and discard it:\n"
    "  writeback refresh NAME\n  writeback dead-letters discard {id}",
    "unknown-connection": _NEXT["unknown-connection"],
}
_RUN_AGAIN = "Mend what the reason names, then let the refresh run again:\n  {replay}"


def what(letter: Summary) -> str:
    """The event in three words: "update contact/42"."""
    key = f"/{letter.event_key}" if letter.event_key is not None else ""
    return f"{letter.operation or '?'} {letter.object or '?'}{key}"


def line(letter: Summary) -> dict[str, Any]:
    """A letter as a row of a listing."""
    return {
        "id": letter.id[:SHORT],
        "when": when(letter.time),
        "connection": letter.connection or letter.topic,
        "what": _short(what(letter), 40),
        "verdict": letter.verdict,
        "status": letter.status,
        "tries": letter.attempts,
        "reason": _short(letter.reason, 70),
        "state": letter.state + (" (edited)" if letter.edited and letter.state == "open" else ""),
    }


def as_json(letter: Summary) -> dict[str, Any]:
    """A letter as one JSON object; the store's own columns stay inside."""
    told = asdict(letter)
    for inside in ("row", "record_hash", "copying"):
        del told[inside]
    return told


def whole_as_json(stored: Stored, trail: Sequence[Action]) -> dict[str, Any]:
    """Everything, bytes in base64, so that an export loses nothing."""
    letter = asdict(stored.letter)
    record = stored.letter.record
    event = original(stored)
    letter["record"] = {
        "topic": record.partition.topic,
        "partition": record.partition.number,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _base64(record.key),
        "value": _base64(record.value),
        "headers": [[name, _base64(value)] for name, value in record.headers],
    }
    return {
        **as_json(stored.summary),
        "event": event and asdict(event),
        "letter": letter,
        "trail": [asdict(action) for action in trail],
    }


def page(stored: Stored, trail: Sequence[Action], stands: Standing) -> str:
    """The whole story on one page."""
    parts = [_head(stored, stands), _attempts(stored), _answer(stored), _event(stored), _trail(trail)]
    parts.append(_next(stored, stands))
    return "\n\n".join(part for part in parts if part)


def _head(stored: Stored, stands: Standing) -> str:
    letter, summary = stored.letter, stored.summary
    record = letter.record
    rows = [
        ("letter", summary.id),
        ("event", f"{what(summary)}  (id {letter.event_id or 'unknown'})"),
        ("connection", letter.connection or "none"),
        ("verdict", letter.verdict + (f", HTTP {letter.status}" if letter.status is not None else "")),
        ("reason", letter.reason),
        ("when", when(letter.time)),
        ("from", f"{record.partition} offset {record.offset}, written {when(record.timestamp_ms / 1_000)}"),
        ("connector", f"{letter.connector} {letter.connector_version}".strip()),
        ("idempotency", letter.idempotency_key or ""),
        ("state", summary.state + (f", replayed {summary.replays} times" if summary.replays else "")),
        ("problem", f"{summary.fingerprint}  (writeback dead-letters list --fingerprint {summary.fingerprint})"),
        ("replay of", f"{letter.replay_of} (number {letter.replay_number})" if letter.replay_of else ""),
        ("blocked by", letter.blocked_by or ""),
        ("parked", _parked(stands)),
        ("duplicate", "possible: an earlier owner may have made the same call" if letter.possible_duplicate else ""),
    ]
    return "\n".join(f"{name:<12} {text}".replace("\n", " ") for name, text in rows if text)  # a vendor adds no row


def _attempts(stored: Stored) -> str:
    attempts = stored.letter.attempts
    if not attempts and stored.summary.verdict == "unknown-outcome":
        return "No attempt is known to have ended: the reason says whether one began."
    if not attempts:
        return "No attempt was made."
    lines = [f"{'#':>3}  {'when':<20}  {'outcome':<10}  {'HTTP':>4}  {'ms':>8}  reason"]
    previous = attempts[0].number - 1
    for attempt in attempts:
        if attempt.number > previous + 1:
            lines.append(f"     ... {attempt.number - previous - 1} more, not kept")
        previous = attempt.number
        status = "" if attempt.status is None else attempt.status
        lines.append(
            f"{attempt.number:>3}  {when(attempt.time):<20}  {attempt.outcome:<10}  {status:>4}  "
            f"{attempt.ms:>8.0f}  {_short(attempt.reason, 100)}"
        )
    return "\n".join(lines)


def _answer(stored: Stored) -> str:
    letter = stored.letter
    last = letter.attempts[-1] if letter.attempts else None
    words = letter.excerpt or (last.excerpt if last else "")
    request = f" (request {last.request_id})" if last and last.request_id else ""
    return f"The destination said{request}:\n{_indent(_pretty(words))}" if words else ""


def _event(stored: Stored) -> str:
    record, event = stored.letter.record, original(stored)
    if event is not None:
        said = "The event:\n" + _indent(exact_json.shown(event.fields, indent=2)[:LONGEST_VALUE])
    elif record.value is None:
        said = "The record has no value."
    else:
        kind = "The request" if is_refresh(stored.summary.topic) else "The record, which is no event"
        said = f"{kind}:\n" + _indent(record.value[:LONGEST_VALUE].decode("utf-8", "replace"))
    if stored.summary.edited is not None:
        said += "\n\nEdited; a replay sends:\n" + _indent(diff(event, stored.summary.edited))
    return said


def _trail(trail: Sequence[Action]) -> str:
    lines = [f"  {when(action.time)}  {action.who}  {action.what}  {_told(action)}" for action in trail]
    return "What was done:\n" + "\n".join(lines) if lines else ""


def _told(action: Action) -> str:
    return action.detail.get("text") or action.detail.get("reason") or json.dumps(action.detail, ensure_ascii=False)


def _parked(stands: Standing) -> str:
    if stands.parked is None:
        return ""
    others = f"{len(stands.before):,} open before this one, {len(stands.after):,} after it"
    barred = "; barred: a replay of it died again" if stands.parked.barred else ""
    return f"{stands.parked.record_key} since {when(stands.parked.since)}, {others}{barred}"


def _next(stored: Stored, stands: Standing) -> str:
    summary = stored.summary
    if summary.state != "open":
        return f"Nothing is to be done: it is {summary.state}."
    replay = f"writeback dead-letters replay {summary.id[:SHORT]}"
    if summary.verdict == BLOCKED or stands.parked is not None:
        if stands.before or stands.after:
            replay = replay_command(summary.connection, record_of(summary))
        if stands.before:
            first = stands.before[0][:SHORT]
            return (
                f"What to do next: it waits behind letter {first} of the same record. See to that one, then send all\n"
                f"of the record, which go in order:\n  writeback dead-letters show {first}\n  {replay}"
            )
    if summary.edited is not None:
        return f"What to do next: it is edited; send it:\n  {replay}"
    if is_refresh(summary.topic):
        advice = _NEXT_OF_REFRESH.get(summary.verdict, _RUN_AGAIN)
    else:
        advice = _NEXT.get(summary.verdict, _NEXT["exhausted"])
    return "What to do next: " + advice.format(
        id=summary.id[:SHORT], connection=summary.connection or "NAME", replay=replay
    )


def _pretty(words: str) -> str:
    try:
        return json.dumps(json.loads(words), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return words


def _indent(text: str) -> str:
    return "\n".join(f"  {each}" for each in text.splitlines())


def _short(text: str, longest: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
