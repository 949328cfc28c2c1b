"""Other names for fields, as people write them: a deal's ``name`` is its ``dealname``, a contact's is first and last.

If an event has the vendor's own field as well, that one counts. The alias itself is never sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Aliases = Mapping[str, str | list[str]]
Respell = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def compile_aliases(aliases: Aliases) -> Respell | None:
    """A function that renames an event's fields to the vendor's; None when there are no aliases."""
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
    """The text split at its last blanks into ``count`` parts; fewer if it has too few words, or is no text."""
    if count == 1 or not isinstance(value, str):
        return [value]
    return value.strip().rsplit(None, count - 1) or [value]
