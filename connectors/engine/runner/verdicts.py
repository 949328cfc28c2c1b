"""Turns a vendor's answer, or its silence, into a verdict by this table. Pure.

    not sent (refused, not resolved, not trusted)      Down
    broken or silent after it was sent                 Retry when the call is idempotent, else Unknown
    2xx that is the vendor's and proves the call       Delivered
    2xx that the connector says is a failure           as its rows say, else Rejected
    any other 2xx (a proxy's page, empty, cut off)     Retry when the call is idempotent, else Unknown
    401 403 407                                        Down (the credentials, or the account)
    403 with a Retry-After, or rate headers used up    Throttled
    404 410 of a delete, and no proxy's page           Delivered (it is gone)
    408 5xx 303                                        Retry when the call is idempotent, else Unknown
    423 425                                            Retry
    429                                                Throttled
    409                                                Rejected (conflict)
    every other 3xx 4xx, 501 505                       Rejected

A connector's own rows come first. ``Retry-After`` goes before every wait of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json

from connectors.contract import Delivered, Down, Evidence, Rejected, Retry, Scope, Throttled, Unknown, Verdict
from connectors.engine.manifest.errors import ErrorRow, ErrorShape, Meaning
from connectors.engine.runner.expected import UNREADABLE, Expected
from connectors.engine.template.paths import Look, compile_path
from connectors.engine.transport.failures import MaybeSent, NotSent, TransportFailure
from connectors.engine.transport.reply import Reply
from connectors.engine.transport.waits import quota, retry_after

THROTTLE_SECONDS: Final = 5.0
"""The wait in seconds after a 429 without ``Retry-After``, if the vendor's limits are not known."""
SHORTEST_THROTTLE: Final = 0.1
REASON_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, compiled."""

    statuses: frozenset[int] | None
    codes: frozenset[str] | None
    meaning: Meaning
    wait: float | None = None
    when: Look | None = None
    """An expression that must be true of the body; None for any body."""
    scope: Scope = "connection"

    def matches(self, status: int | None, codes: frozenset[str], body: Any) -> bool:
        return (
            (self.statuses is None or status in self.statuses)
            and (self.codes is None or not self.codes.isdisjoint(codes))
            and (self.when is None or (body is not UNREADABLE and bool(self.when(body))))
        )


UNACCOUNTED: Final = Row(None, None, "unknown")
FORBIDDEN: Final = Row(frozenset({403}), None, "down")
THROTTLED: Final = Row(frozenset({429}), None, "throttled")
ANYTHING_ELSE: Final = Row(None, None, "rejected")
BUILT_IN: Final = (
    Row(frozenset({401, 407}), None, "down"),
    FORBIDDEN,
    Row(frozenset({409}), None, "conflict"),
    Row(frozenset({423, 425}), None, "retry"),
    THROTTLED,
    Row(frozenset({501, 505}), None, "rejected"),
    Row(frozenset({303, 408, *range(100, 200), *range(500, 600)}), None, "unknown"),
    ANYTHING_ELSE,
)
GONE: Final = Row(frozenset({404, 410}), None, "delivered")


@dataclass(frozen=True, slots=True)
class Rules:
    """The table of one operation, compiled from its manifest."""

    rows: tuple[Row, ...]
    codes: tuple[Look, ...] = ()
    code_headers: tuple[str, ...] = ()
    message: Look | None = None
    request_id: Look | None = None
    request_id_headers: tuple[str, ...] = ()
    fails: Look | None = None
    idempotent: bool = False
    redact: Callable[[str], str] = str


def compile_rules(
    shape: ErrorShape,
    rows: Iterable[ErrorRow],
    *,
    fails_when: str | None,
    delete: bool,
    idempotent: bool,
    redact: Callable[[str], str],
) -> Rules:
    own = tuple(_row(row) for row in rows)
    return Rules(
        rows=(*own, *((GONE,) if delete else ()), *BUILT_IN),
        codes=tuple(compile_path(path) for path in shape.codes),
        code_headers=tuple(shape.code_headers),
        message=compile_path(shape.message) if shape.message else None,
        request_id=compile_path(shape.request_id) if shape.request_id else None,
        request_id_headers=tuple(shape.request_id_headers),
        fails=compile_path(fails_when) if fails_when else None,
        idempotent=idempotent,
        redact=redact,
    )


def _row(row: ErrorRow) -> Row:
    return Row(row.statuses, row.codes, row.verdict, row.wait, compile_path(row.when) if row.when else None, row.scope)


def after_failure(failure: TransportFailure, rules: Rules) -> Verdict:
    """The verdict when no answer came."""
    reason = rules.redact(failure.reason)
    match failure:
        case NotSent():
            return Down(reason)
        case MaybeSent(kind=kind):
            return Retry(reason, kind=kind) if rules.idempotent else Unknown(reason)
        case _:
            return Rejected(reason)


def after_answer(
    reply: Reply,
    body: Any,
    rules: Rules,
    expected: Expected,
    *,
    id_at: Look | None,
    detail_at: Look,
    now: float,
) -> Verdict:
    """The verdict on an answer to the call for one event."""
    refused = refusal(reply, body, rules, expected, now)
    return delivered(reply, body, rules, id_at, detail_at) if refused is None else refused


def delivered(reply: Reply, body: Any, rules: Rules, id_at: Look | None, detail_at: Look) -> Delivered:
    if body is UNREADABLE or isinstance(body, str):
        # an API of which only the status is known: its words are kept as the detail
        note = "the answer could not be read" if body is UNREADABLE else "the answer is text"
        return Delivered({"note": f"HTTP {reply.status}; {note}", "excerpt": rules.redact(_text(reply))[:500]})
    record_id = id_at(body) if id_at is not None and body is not None else None
    return Delivered(detail_at(body), None if record_id is None else str(record_id))


def refusal(reply: Reply, body: Any, rules: Rules, expected: Expected, now: float) -> Verdict | None:
    """The verdict on an answer that is not a success; None for a success."""
    if expected.takes(reply.status) and not _says_no(body, rules):
        lacks = expected.lacks(reply, body)
        return None if lacks is None else after_refusal(reply, body, rules, now, expected, lacks=lacks)
    return after_refusal(reply, body, rules, now, expected)


def after_refusal(
    reply: Reply, body: Any, rules: Rules, now: float, expected: Expected, *, lacks: str | None = None
) -> Verdict:
    """The verdict on an answer that is known not to be a success. ``lacks``: the reason, if the status is good."""
    evidence = evidence_of(reply, body, rules)
    codes = _codes(body, rules)
    codes |= {reply.headers[name] for name in rules.code_headers if name in reply.headers}
    row = next(row for row in rules.rows if row.matches(reply.status, codes, body))
    if row is GONE and not expected.anything and expected.foreign(reply) is not None:
        row = ANYTHING_ELSE  # a proxy's page does not tell whether the record is there
    if row is ANYTHING_ELSE and 200 <= reply.status < 300 and not _says_no(body, rules):
        return _unaccounted(reply, lacks or "it is another status than that of a success", evidence, rules)
    wait = retry_after(reply.headers, now)
    if row is FORBIDDEN and (wait is not None or _until_reset(reply.headers, now) is not None):
        row = THROTTLED  # a rate limit with status 403: GitHub's, and the daily ones of Google's older APIs
    words = _words(body, rules) or evidence.excerpt.strip() or reply.headers.get("Location", "")
    reason = rules.redact(": ".join(part for part in (f"HTTP {reply.status}", *_said(codes, words)) if part))
    if wait is None and row.meaning == "throttled":
        wait = _until_reset(reply.headers, now)
    return _verdict(row, reason[:REASON_CHARACTERS], row.wait if wait is None else wait, evidence, rules)


def _says_no(body: Any, rules: Rules) -> bool:
    return rules.fails is not None and body is not UNREADABLE and bool(rules.fails(body))


def _unaccounted(reply: Reply, lacks: str, evidence: Evidence, rules: Rules) -> Verdict:
    """The verdict when the answer shows neither that the call succeeded nor that it failed: it may have been done."""
    words = evidence.excerpt.strip() or "it is empty"
    reason = f"HTTP {reply.status}, but the answer does not show that it was done ({lacks}): {words}"
    return _verdict(UNACCOUNTED, reason[:REASON_CHARACTERS], None, evidence, rules)


def after_item(error: Any, status: int | None, rules: Rules, request_id: str | None) -> Verdict:
    """The verdict on one failed event of a batch that was done in part. ``error``: what the vendor said about it."""
    codes = _codes(error, rules)
    row = next(row for row in rules.rows if row.matches(status, codes, error))
    excerpt = rules.redact(_json_text(error))
    reason = rules.redact(": ".join(_said(codes, _words(error, rules) or excerpt)))
    return _verdict(row, reason[:REASON_CHARACTERS], row.wait, Evidence(status, excerpt, request_id), rules)


def _verdict(row: Row, reason: str, wait: float | None, evidence: Evidence, rules: Rules) -> Verdict:
    match row.meaning:
        case "delivered":
            return Delivered({"note": reason})
        case "throttled":
            after = max(THROTTLE_SECONDS if wait is None else wait, SHORTEST_THROTTLE)
            return Throttled(after, reason, evidence, row.scope)
        case "down":
            return Down(reason, wait, evidence)
        case "retry":
            return Retry(reason, wait, evidence)
        case "unknown":
            return Retry(reason, wait, evidence) if rules.idempotent else Unknown(reason, evidence)
        case _:
            return Rejected(reason, evidence, conflict=row.meaning == "conflict")


def _until_reset(headers: Mapping[str, str], now: float) -> float | None:
    known = quota(headers, now)
    return known.reset_after if known is not None and known.remaining == 0 else None


def _codes(body: Any, rules: Rules) -> frozenset[str]:
    if not isinstance(body, dict | list):
        return frozenset()
    return frozenset(str(code) for look in rules.codes if isinstance(code := look(body), str | int))


def _words(body: Any, rules: Rules) -> str:
    words = rules.message(body) if rules.message is not None and isinstance(body, dict | list) else None
    return words if isinstance(words, str) else ""


def _said(codes: frozenset[str], words: str) -> list[str]:
    """At most two of the codes, and the vendor's words if they say more."""
    return [*sorted(codes)[:2], *([] if words in codes else [words])]


def evidence_of(reply: Reply, body: Any, rules: Rules) -> Evidence:
    """What the vendor said, redacted, for finding out the cause."""
    return Evidence(reply.status, rules.redact(_text(reply)), _request_id(reply, body, rules))


def _request_id(reply: Reply, body: Any, rules: Rules) -> str | None:
    """The vendor's own id of the request, for questions to its support."""
    named = rules.request_id(body) if rules.request_id is not None and isinstance(body, dict | list) else None
    if isinstance(named, str):
        return named[:200]
    found = next((reply.headers[name] for name in rules.request_id_headers if name in reply.headers), None)
    return None if found is None else found[:200]


def _text(reply: Reply) -> str:
    return reply.body[:16_384].decode("utf-8", errors="replace")


def _json_text(value: Any) -> str:
    return to_json(value).decode()
