"""HubSpot's associations: which types there are between two kinds of records, and who is associated with whom.

A type has a direction and an inverse: 4 is contact to deal, 3 deal to contact. An association with a label is one
without, too; taking the label away leaves that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FIRST_OWN_TYPE = 36
HUBSPOT_DEFINED, USER_DEFINED = "HUBSPOT_DEFINED", "USER_DEFINED"
_HUBSPOTS = (
    ("contacts", "companies", 279, 280, None),
    ("contacts", "companies", 1, 2, "Primary"),
    ("contacts", "deals", 4, 3, None),
    ("contacts", "tickets", 15, 16, None),
    ("companies", "deals", 342, 341, None),
    ("companies", "deals", 6, 5, "Primary"),
    ("companies", "tickets", 340, 339, None),
    ("companies", "tickets", 25, 26, "Primary"),
    ("deals", "tickets", 27, 28, None),
    ("notes", "contacts", 202, 201, None),
    ("notes", "companies", 190, 189, None),
    ("notes", "deals", 214, 213, None),
    ("notes", "tickets", 228, 227, None),
)


@dataclass(frozen=True, slots=True)
class Type:
    """One direction; ``label``: None for "they belong together", and nothing more."""

    id: int
    category: str
    label: str | None
    inverse: int

    def shown(self) -> dict[str, Any]:
        return {"category": self.category, "typeId": self.id, "label": self.label}


class Associations:
    """Of one portal. Records are named by kind and id."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str], dict[int, Type]] = {}
        self._links: dict[tuple[str, str, str], dict[str, set[int]]] = {}
        self._next_type = FIRST_OWN_TYPE
        for here, there, to, back, label in _HUBSPOTS:
            self._add(here, there, Type(to, HUBSPOT_DEFINED, label, back), Type(back, HUBSPOT_DEFINED, label, to))

    def define(self, here: str, there: str, label: str | None, inverse: str | None = None) -> list[Type]:
        """A type of the portal's own, in both directions; without a label: what belongs to a custom object."""
        to, back = self._next_type, self._next_type + 1
        self._next_type += 2
        made = Type(to, USER_DEFINED, label, back), Type(back, USER_DEFINED, inverse or label, to)
        self._add(here, there, *made)
        return list(made)

    def types(self, here: str, there: str) -> list[Type]:
        return list(self._types.get((here, there), {}).values())

    def known(self, here: str, there: str, type_id: Any) -> bool:
        return type_id in self._types.get((here, there), {})

    def target(self, here: str, type_id: Any) -> str | None:
        """The kind that a type leads to: a new record's associations name the id alone."""
        return next((to for (of, to), known in self._types.items() if of == here and type_id in known), None)

    def link(self, here: str, record: str, there: str, other: str, type_ids: Iterable[int]) -> None:
        known = self._types[here, there]
        plain = [one.id for one in known.values() if one.label is None]
        for type_id in dict.fromkeys([*type_ids, *plain[:1]]):
            self._links.setdefault((here, record, there), {}).setdefault(other, set()).add(type_id)
            self._links.setdefault((there, other, here), {}).setdefault(record, set()).add(known[type_id].inverse)

    def unlink(self, here: str, record: str, there: str, other: str, type_ids: Iterable[int] | None = None) -> None:
        """Only these types; None: all of them. What is not there is gone already."""
        there_is = self._links.get((here, record, there), {}).get(other, set())
        for type_id in list(there_is if type_ids is None else there_is.intersection(type_ids)):
            there_is.discard(type_id)
            self._links[there, other, here][record].discard(self._types[here, there][type_id].inverse)
        if not there_is:
            self._links.get((here, record, there), {}).pop(other, None)
            self._links.get((there, other, here), {}).pop(record, None)

    def of(self, here: str, record: str, there: str) -> dict[str, list[Type]]:
        """The records of the other kind, and by which types each."""
        known = self._types.get((here, there), {})
        found = self._links.get((here, record, there), {})
        return {other: [known[type_id] for type_id in sorted(type_ids)] for other, type_ids in found.items()}

    def move(self, kind: str, record: str, to: str) -> None:
        """What belonged to one record belongs to another: they were merged."""
        for here, one, there in [key for key in self._links if key[:2] == (kind, record)]:
            for other, type_ids in list(self._links[here, one, there].items()):
                self.unlink(here, one, there, other)
                self.link(here, to, there, other, type_ids)

    def _add(self, here: str, there: str, to: Type, back: Type) -> None:
        self._types.setdefault((here, there), {})[to.id] = to
        self._types.setdefault((there, here), {})[back.id] = back
