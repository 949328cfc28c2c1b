"""The ordering key of an event, compiled. Producers need one for each write, so the usual one takes two look-ups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

from connectors.engine.template.aliases import Aliases, compile_aliases
from connectors.engine.template.placeholders import PLACEHOLDER
from connectors.engine.template.template import Missing, Scope, Static, compile_value
from connectors.engine.template.text import as_text

MAX_KEY: Final = 1_024
_QUICK: Final = frozenset({str, int})

Key = Callable[[Mapping[str, Any]], str | None]


def compile_key(shape: Any, static: Static, unique: str | None, aliases: Aliases) -> Key:
    """A function from an event's fields to its key; the key is None for an event that has none."""
    key = _general(shape, static, unique, aliases)
    name, folded = _plain(shape, unique)
    return key if name is None or name in aliases else _quick(name, key, folded=folded)


def _general(shape: Any, static: Static, unique: str | None, aliases: Aliases) -> Key:
    render, respell = compile_value(shape, static), compile_aliases(aliases)

    def key(fields: Mapping[str, Any]) -> str | None:
        try:
            value = render(Scope(fields if respell is None else respell(fields), unique=unique))
        except Missing:
            return None
        return short_key(str(as_text(value))) if isinstance(value, str | int | float) else None

    return key


def _plain(shape: Any, unique: str | None) -> tuple[str | None, bool]:
    """The field whose text is the key, and whether its case is ignored; no field for any other shape."""
    match = PLACEHOLDER.fullmatch(shape) if isinstance(shape, str) else None
    source, name = (match["source"], match["name"]) if match else ("", None)
    field = name if source == "fields" else unique if (source, name) == ("unique", "value") else None
    return field, bool(match and match["filter"] == "fold")


def _quick(name: str, general: Key, *, folded: bool) -> Key:
    """The quick way for a text or a whole number in that field; anything else goes the general way."""

    def key(fields: Mapping[str, Any]) -> str | None:
        value = fields.get(name)
        if type(value) in _QUICK and "searchfield" not in fields and "searchterm" not in fields:
            text = str(value).strip().casefold() if folded else str(value)
            if 0 < len(text) <= MAX_KEY:
                return text
        return general(fields)

    return key


def short_key(key: str) -> str | None:
    """A key of at most ``MAX_KEY`` characters: a longer one is replaced by its digest, so that keys stay different."""
    return (key if len(key) <= MAX_KEY else sha256(key.encode()).hexdigest()) or None
