"""What makes two letters "the same problem": the reason without what is different in every record."""

from __future__ import annotations

import hashlib
import re

LONGEST = 2_000
"""Characters of a reason that count; a vendor's page of HTML is not told apart by its end."""

_SAME = (
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r'"[^"]*"|`[^`]*`|(?<!\w)\'[^\']*\'(?!\w)'), "<quoted>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\b(?=[a-z_-]*\d)[\w-]{8,}\b"), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"\s+"), " "),
)


def normalise(reason: str) -> str:
    """The reason with ids, numbers, e-mail addresses, URLs and quoted words replaced by their kind."""
    text = reason[:LONGEST].lower()
    for pattern, kind in _SAME:
        text = pattern.sub(kind, text)
    return text.strip()


def fingerprint(*parts: str | int | None, reason: str) -> str:
    """16 hex digits, the same on every machine and in every release that keeps ``normalise``."""
    said = "\x1f".join(["" if part is None else str(part) for part in parts] + [normalise(reason)])
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]
