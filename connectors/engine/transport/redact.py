"""Removes secrets from what a vendor said, and shortens it."""

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
    """Hides the connection's own secrets, and whatever looks like a credential."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        shown = [secret for secret in secrets if len(secret) >= 4]
        in_urls = [quote(secret, safe="") for secret in shown]
        self._secrets = sorted({*shown, *in_urls}, key=len, reverse=True)
        self._tokens: deque[str] = deque(maxlen=8)

    def learn(self, token: str) -> None:
        """Also hide a token that was fetched later; the last few are remembered."""
        if len(token) >= 4:
            self._tokens.append(token)

    def __call__(self, text: str, limit: int = MAX_EXCERPT) -> str:
        # hide before cutting to ``limit``, or half of a secret at the cut would survive
        text = text[: limit + 4_096]
        for secret in (*self._tokens, *self._secrets):
            text = text.replace(secret, HIDDEN)
        text = _AUTHORIZATION.sub(rf"\1 {HIDDEN}", text)
        text = _NAMED.sub(rf"\1{HIDDEN}", text)
        return text[:limit]
