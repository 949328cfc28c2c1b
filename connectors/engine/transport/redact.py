"""What a vendor said, without secrets and no longer than is worth keeping."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from urllib.parse import quote

from connectors.contract import MAX_EXCERPT

HIDDEN = "[redacted]"

_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_NAMED = re.compile(
    r"""(?ix) ( (?: token | secret | password | passwd | api_?-?key | authorization | cookie | hapikey)
        ["']? \s* [:=] \s* ) ( "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | [^\s,;&}"']+ )"""
)


class Redactor:
    """Hides the connection's own secrets wherever they stand, and what looks like a credential of anybody."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        shown = [secret for secret in secrets if len(secret) >= 4]
        in_urls = [quote(secret, safe="") for secret in shown]
        self._secrets = sorted({*shown, *in_urls}, key=len, reverse=True)
        self._tokens: deque[str] = deque(maxlen=8)

    def learn(self, token: str) -> None:
        """A token that came later; the last few are remembered."""
        if len(token) >= 4:
            self._tokens.append(token)

    def __call__(self, text: str, limit: int = MAX_EXCERPT) -> str:
        # a secret across the cut would survive in half: hide first, in a piece that is surely long enough
        text = text[: limit + 4_096]
        for secret in (*self._tokens, *self._secrets):
            text = text.replace(secret, HIDDEN)
        text = _AUTHORIZATION.sub(rf"\1 {HIDDEN}", text)
        text = _NAMED.sub(rf"\1{HIDDEN}", text)
        return text[:limit]
