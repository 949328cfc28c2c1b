"""The table: from status, code and silence to verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import MAX_EXCERPT, Delivered, Down, Rejected, Retry, Throttled, Unknown, Verdict
from connectors.engine.manifest.errors import ErrorRow, ErrorShape
from connectors.engine.runner.expected import ANY_MEDIA_TYPE, UNREADABLE, Expected, body_of, compile_says
from connectors.engine.runner.verdicts import Rules, after_answer, after_failure, after_item, compile_rules
from connectors.engine.template.paths import compile_path
from connectors.engine.transport.failures import MaybeSent, NotSent, Unsendable
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.reply import Reply

SHAPE = ErrorShape(codes=["category"], message="message", request_id="correlationId")


def rules(*rows: ErrorRow, idempotent: bool = False, delete: bool = False, fails_when: str | None = None) -> Rules:
    return compile_rules(
        SHAPE, rows, fails_when=fails_when, delete=delete, idempotent=idempotent, redact=Redactor(["hunter22"])
    )


def judge(
    table: Rules,
    status: int,
    body: bytes = b"{}",
    *,
    truncated: bool = False,
    expected: Expected = Expected(),  # noqa: B008 - frozen
    **headers: Any,
) -> Verdict:
    reply = Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, truncated)
    return after_answer(
        reply,
        expected.body_of(reply),
        table,
        expected,
        id_at=compile_path("id"),
        detail_at=compile_path("@"),
        now=0.0,
    )


@pytest.mark.parametrize(
    ("status", "add", "update", "delete"),
    [
        (200, Delivered, Delivered, Delivered),
        (204, Delivered, Delivered, Delivered),
        (299, Delivered, Delivered, Delivered),
        (300, Rejected, Rejected, Rejected),
        (302, Rejected, Rejected, Rejected),
        (303, Unknown, Retry, Retry),
        (400, Rejected, Rejected, Rejected),
        (401, Down, Down, Down),
        (402, Rejected, Rejected, Rejected),
        (403, Down, Down, Down),
        (404, Rejected, Rejected, Delivered),
        (405, Rejected, Rejected, Rejected),
        (407, Down, Down, Down),
        (408, Unknown, Retry, Retry),
        (409, Rejected, Rejected, Rejected),
        (410, Rejected, Rejected, Delivered),
        (413, Rejected, Rejected, Rejected),
        (422, Rejected, Rejected, Rejected),
        (423, Retry, Retry, Retry),
        (425, Retry, Retry, Retry),
        (429, Throttled, Throttled, Throttled),
        (500, Unknown, Retry, Retry),
        (501, Rejected, Rejected, Rejected),
        (502, Unknown, Retry, Retry),
        (503, Unknown, Retry, Retry),
        (504, Unknown, Retry, Retry),
        (521, Unknown, Retry, Retry),
    ],
)
def test_statuses(status: int, add: type, update: type, delete: type) -> None:
    """Every status has its verdict, by what the operation is."""
    tables = [rules(), rules(idempotent=True), rules(idempotent=True, delete=True)]

    assert [type(judge(table, status)) for table in tables] == [add, update, delete]


@pytest.mark.parametrize(
    ("failure", "add", "update"),
    [
        (NotSent("refused"), Down("refused"), Down("refused")),
        (MaybeSent("reset", "connection"), Unknown("reset"), Retry("reset", kind="connection")),
        (MaybeSent("late", "no_answer"), Unknown("late"), Retry("late", kind="no_answer")),
        (Unsendable("bad"), Rejected("bad"), Rejected("bad")),
    ],
)
def test_silences(failure: Any, add: Verdict, update: Verdict) -> None:
    """Not sent is Down; maybe sent depends on the operation."""
    assert after_failure(failure, rules()) == add
    assert after_failure(failure, rules(idempotent=True)) == update


def test_the_connectors_rows_come_first() -> None:
    """The first row that matches decides, by status, by code, or by both."""
    table = rules(
        ErrorRow(status=[429], code=["DAILY"], verdict="throttled", wait=3_600),
        ErrorRow(code=["LOCKED"], verdict="retry", wait=2),
        ErrorRow(status=[400], verdict="down"),
    )

    assert judge(table, 429, b'{"category": "DAILY"}').after == 3_600  # type: ignore[union-attr]
    assert judge(table, 429).after == 5  # type: ignore[union-attr]
    assert judge(table, 409, b'{"category": "LOCKED"}').after == 2  # type: ignore[union-attr]
    assert isinstance(judge(table, 400), Down)


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({"Retry_After": "7"}, 7),
        ({"Retry_After": "0"}, 0.1),
        ({"Retry_After": "Thu, 01 Jan 1970 00:01:00 GMT"}, 60),
        ({"Retry_After": "999999999"}, 86_400),
        ({"Retry_After": "7", "RateLimit": '"default";r=0;t=30'}, 7),
        ({"RateLimit": '"default";r=0;t=30'}, 30),
        ({"RateLimit": '"default";r=5;t=30'}, 10),
        ({"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "12"}, 12),
        ({}, 10),
    ],
)
def test_whose_wait_counts(headers: dict[str, Any], after: float) -> None:
    """Retry-After, then the rate headers, then the connector's table."""
    verdict = judge(rules(ErrorRow(status=[429], verdict="throttled", wait=10)), 429, **headers)

    assert isinstance(verdict, Throttled)
    assert verdict.after == after


@pytest.mark.parametrize("headers", [{"Retry_After": "60"}, {"X_RateLimit_Remaining": "0", "X_RateLimit_Reset": "60"}])
def test_a_limit_that_says_forbidden(headers: dict[str, Any]) -> None:
    """403 with a wait is a limit and not a refusal of the credentials: it ends by itself."""
    verdict = judge(rules(), 403, **headers)

    assert isinstance(verdict, Throttled)
    assert verdict.after == 60
    assert isinstance(judge(rules(), 403, X_RateLimit_Remaining="7", X_RateLimit_Reset="60"), Down)


def test_whom_a_limit_holds() -> None:
    """A row can say that a limit is that of one key."""
    table = rules(ErrorRow(code="channel", verdict="throttled", scope="key"))

    assert judge(table, 429, b'{"category": "channel"}').scope == "key"  # type: ignore[union-attr]
    assert judge(table, 429).scope == "connection"  # type: ignore[union-attr]


def test_retry_after_wins_everywhere() -> None:
    """Down and Retry carry the vendor's wait as well."""
    table = rules(ErrorRow(status=[477], verdict="down", wait=600), idempotent=True)

    assert judge(table, 477, Retry_After="30").after == 30  # type: ignore[union-attr]
    assert judge(table, 503, Retry_After="30").after == 30  # type: ignore[union-attr]


def test_failures_inside_a_success() -> None:
    """Where a vendor hides its refusals in a 200, the table judges them; a 200 that says neither is Unknown."""
    rows = (ErrorRow(code=["odd"], verdict="retry"), ErrorRow(when="weight > `9`", verdict="throttled", wait=3))
    table = rules(*rows, fails_when="ok == `false`")
    ok = Expected(says=compile_says(["ok == `true`"]))

    assert isinstance(judge(table, 200, b'{"ok": true}', expected=ok), Delivered)
    assert isinstance(judge(table, 200, b'{"ok": false, "category": "odd"}', expected=ok), Retry)
    assert isinstance(judge(table, 200, b'{"ok": false, "weight": 10}', expected=ok), Throttled)
    assert isinstance(judge(table, 200, b'{"ok": false}', expected=ok), Rejected)
    assert isinstance(judge(table, 200, b'{"category": "odd"}', expected=ok), Retry)
    for body in (b"<html>", b"", b"{}", b"null"):
        assert isinstance(judge(table, 200, body, expected=ok), Unknown)
    assert isinstance(judge(table, 200, b'{"ok": true}', truncated=True, expected=ok), Unknown)


@pytest.mark.parametrize(
    ("expected", "status", "body", "kind", "done"),
    [
        (Expected(), 200, b"{}", "application/json; charset=utf-8", True),
        (Expected(), 200, b"{}", "application/hal+json", True),
        (Expected(), 200, b"{}", "text/plain", False),
        (Expected(), 200, b"{}", "", True),
        (Expected(), 200, b"", "", True),
        (Expected(), 200, b"done", "application/json", False),
        (Expected(statuses=frozenset({204})), 204, b"", "", True),
        (Expected(statuses=frozenset({204})), 200, b"{}", "application/json", False),
        (Expected(says=compile_says(["id"])), 204, b"", "", False),
        (Expected(says=compile_says(["id", "ok"])), 200, b'{"id": 1}', "application/json", False),
        (Expected(media_types=frozenset({"text/plain"})), 200, b"ok", "text/plain", True),
        (Expected(media_types=frozenset({"text/plain"})), 200, b"{}", "application/json", False),
        (Expected(media_types=frozenset({ANY_MEDIA_TYPE})), 200, b"<html>", "text/html", False),
        (Expected(media_types=frozenset({ANY_MEDIA_TYPE}), pages=True), 200, b"<html>", "text/html", True),
        (Expected(media_types=frozenset({ANY_MEDIA_TYPE})), 200, b"ok", "text/html", True),
    ],
)
def test_what_a_real_answer_has(expected: Expected, status: int, body: bytes, kind: str, done: bool) -> None:
    """Status, media type and words: a 2xx that lacks one of them does not show that it was done."""
    headers: dict[str, Any] = {"Content_Type": kind} if kind else {}
    verdict = judge(rules(), status, body, expected=expected, **headers)

    assert isinstance(verdict, Delivered if done else Unknown)


@pytest.mark.parametrize(
    ("body", "kind", "read"),
    [
        (b"1", "text/plain", "1"),
        (b"1", "", "1"),
        (b"1", "application/json", 1),
        (b'{"a": 1}', "text/html", {"a": 1}),
        (b"[1]", "", [1]),
        (b"ok", "text/html", "ok"),
        (b"", "text/plain", None),
    ],
)
def test_what_is_text(body: bytes, kind: str, read: Any) -> None:
    """Where a vendor may answer with text, what is not an object, a list, or said to be JSON is its text."""
    headers = {"Content-Type": kind} if kind else {}

    assert Expected(media_types=frozenset({ANY_MEDIA_TYPE})).body_of(Reply(200, headers, body)) == read


@pytest.mark.parametrize(
    ("content_type", "body", "read"),
    [
        ("application/json", b'\xef\xbb\xbf{"id": 1}', {"id": 1}),
        ("application/json; charset=ISO-8859-1", '{"id": "é"}'.encode("latin-1"), {"id": "é"}),
        ('application/json; charset="utf-16"', '{"id": "é"}'.encode("utf-16"), {"id": "é"}),
        ("application/json; charset=utf-8", b'{"id": "\xe9"}', UNREADABLE),
        ("application/json; charset=klingon", b'{"id": "\xe9"}', UNREADABLE),
        ("application/json; charset=base64", b'{"id": ', UNREADABLE),
        ("application/json; charset=", b"", None),
    ],
)
def test_json_in_the_charset_that_the_answer_names(content_type: str, body: bytes, read: Any) -> None:
    """Of older APIs, and behind a byte order mark; never with characters that are guessed."""
    assert body_of(Reply(200, {"Content-Type": content_type}, body)) == read


def test_evidence() -> None:
    """The evidence has status, words and the vendor's request id, and no secret."""
    body = b'{"category": "BAD", "message": "no hunter22", "correlationId": "c-1", "access_token": "abc"}'
    verdict = judge(rules(), 400, body)

    assert isinstance(verdict, Rejected)
    assert verdict.reason == "HTTP 400: BAD: no [redacted]"
    assert (verdict.evidence.status, verdict.evidence.request_id) == (400, "c-1")
    assert "hunter22" not in verdict.evidence.excerpt
    assert "abc" not in verdict.evidence.excerpt


def test_ids_become_text() -> None:
    """The vendor's id is text, whatever it was in the answer; an empty answer has none."""
    assert judge(rules(), 200, b'{"id": 7}') == Delivered({"id": 7}, "7")
    assert judge(rules(), 204, b"") == Delivered(None, None)


def test_items() -> None:
    """One event's error inside a partial success is judged by the same table; unknown words are a refusal."""
    table = rules(ErrorRow(code=["RATE"], verdict="throttled", wait=3), ErrorRow(code=["TWICE"], verdict="conflict"))
    verdicts = [
        after_item(error, status, table, "r")
        for error, status in (({"category": "RATE"}, None), ({"category": "TWICE"}, None), ({}, None), ({}, 503))
    ]

    assert [type(verdict) for verdict in verdicts] == [Throttled, Rejected, Rejected, Unknown]
    assert verdicts[1].conflict  # type: ignore[union-attr]


@given(
    status=st.integers(100, 599),
    body=st.binary(max_size=200) | st.from_regex(rb'\{"(category|message)": .{0,20}\}'),
    idempotent=st.booleans(),
    delete=st.booleans(),
    wait=st.text(max_size=20),
)
def test_any_answer_has_a_verdict(status: int, body: bytes, idempotent: bool, delete: bool, wait: str) -> None:
    """Whatever a vendor sends, there is a verdict, its waits are sane and its excerpt is short."""
    verdict = judge(rules(idempotent=idempotent, delete=delete), status, body, Retry_After=wait)

    assert not (idempotent and isinstance(verdict, Unknown))
    if isinstance(verdict, Throttled):
        assert 0 < verdict.after <= 86_400
    if not isinstance(verdict, Delivered):
        assert len(verdict.evidence.excerpt) <= MAX_EXCERPT
