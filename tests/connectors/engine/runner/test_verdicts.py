"""The table: from status, code and silence to verdicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import MAX_EXCERPT, Delivered, Down, Rejected, Retry, Throttled, Unknown, Verdict
from connectors.engine.manifest.errors import ErrorRow, ErrorShape
from connectors.engine.runner.verdicts import Rules, after_answer, after_failure, after_item, body_of, compile_rules
from connectors.engine.transport.failures import MaybeSent, NotSent, Unsendable
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.session import Reply

SHAPE = ErrorShape(codes=["category"], message="message", request_id="correlationId")


def rules(*rows: ErrorRow, idempotent: bool = False, delete: bool = False, fails_when: str | None = None) -> Rules:
    return compile_rules(
        SHAPE, rows, fails_when=fails_when, delete=delete, idempotent=idempotent, redact=Redactor(["hunter22"])
    )


def judge(table: Rules, status: int, body: bytes = b"{}", *, truncated: bool = False, **headers: Any) -> Verdict:
    reply = Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, truncated)
    return after_answer(
        reply,
        body_of(reply),
        table,
        success=None,
        id_at=lambda body: body.get("id"),
        detail_at=lambda body: body,
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


def test_retry_after_wins_everywhere() -> None:
    """Down and Retry carry the vendor's wait as well."""
    table = rules(ErrorRow(status=[477], verdict="down", wait=600), idempotent=True)

    assert judge(table, 477, Retry_After="30").after == 30  # type: ignore[union-attr]
    assert judge(table, 503, Retry_After="30").after == 30  # type: ignore[union-attr]


def test_failures_inside_a_success() -> None:
    """Where a vendor hides its refusals in a 200, an unreadable 200 says nothing."""
    table = rules(ErrorRow(code=["odd"], verdict="retry"), fails_when="ok != `true`")

    assert isinstance(judge(table, 200, b'{"ok": true}'), Delivered)
    assert isinstance(judge(table, 200, b'{"ok": false, "category": "odd"}'), Retry)
    assert isinstance(judge(table, 200, b'{"ok": false}'), Rejected)
    assert isinstance(judge(table, 200, b"<html>"), Unknown)
    assert isinstance(judge(table, 200, b'{"ok": true}', truncated=True), Unknown)
    assert isinstance(judge(table, 200, b""), Rejected)


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
