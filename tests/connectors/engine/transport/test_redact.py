"""No secret in what is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import MAX_EXCERPT
from connectors.engine.transport.redact import Redactor


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("the token pat-na1-123 is bad", "the token [redacted] is bad"),
        ("Authorization: Bearer abcdef123456", "Authorization: [redacted] [redacted]"),
        ('{"access_token": "abc", "n": 1}', '{"access_token": [redacted], "n": 1}'),
        ("client_secret=abc&x=1", "client_secret=[redacted]&x=1"),
        ('{"password":"a\\"b"}', '{"password":[redacted]}'),
        ('{"message": "a normal answer", "id": 7}', '{"message": "a normal answer", "id": 7}'),
    ],
)
def test_redaction(text: str, kept: str) -> None:
    """The connection's secrets and whatever is called a credential are hidden; the rest stays."""
    assert Redactor(["pat-na1-123"])(text) == kept


def test_secrets_in_urls() -> None:
    """A key that was sent in a query is hidden in its encoded form as well."""
    assert Redactor(["k&y/1234"])("GET /a?key=k%26y%2F1234&x=1") == "GET /a?key=[redacted]&x=1"


def test_learnt_tokens() -> None:
    """A token that was fetched on the way is hidden as well."""
    redact = Redactor()
    redact.learn("fresh-token")

    assert redact("x fresh-token y") == "x [redacted] y"


@given(st.integers(0, MAX_EXCERPT + 50))
def test_a_secret_across_the_cut(at: int) -> None:
    """No part of a secret survives at the end of a long text."""
    kept = Redactor(["secret-secret"])("x" * at + "secret-secret" + "y" * 5_000)

    assert "secret-s" not in kept
    assert len(kept) <= MAX_EXCERPT
