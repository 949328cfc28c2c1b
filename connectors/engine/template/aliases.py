"""Other names for fields, as people write them: a deal's ``name`` is its ``dealname``, a contact's is first and last.

What the vendor's own field says wins over its alias, and the alias itself never travels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Aliases = Mapping[str, str | list[str]]
Respell = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def compile_aliases(aliases: Aliases) -> Respell | None:
    """A function from fields as they were written to fields as the vendor names them; None where nothing differs."""
    if not aliases:
        return None
    pairs = [(name, (meant,) if isinstance(meant, str) else tuple(meant)) for name, meant in aliases.items()]

    def respell(fields: Mapping[str, Any]) -> Mapping[str, Any]:
        if aliases.keys().isdisjoint(fields):
            return fields
        respelled = {name: value for name, value in fields.items() if name not in aliases}
        for name, meant in pairs:
            if name in fields:
                for target, part in zip(meant, _parts(fields[name], len(meant)), strict=False):
                    respelled.setdefault(target, part)
        return respelled

    return respell


def _parts(value: Any, count: int) -> list[Any]:
    """Taken apart at its last blanks. With too few words, or when it is no text, the last fields are left alone."""
    if count == 1 or not isinstance(value, str):
        return [value]
    return value.strip().rsplit(None, count - 1) or [value]
