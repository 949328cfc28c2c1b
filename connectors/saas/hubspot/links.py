"""Associations by the names that people know: which kinds, and which label. HubSpot has a number for each.

The numbers are asked for once for each pair of kinds; a label that is not among them is looked for again, as somebody
may have made it a moment ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connectors.contract import Rejected, Verdict
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules
from connectors.engine.template.text import as_text
from connectors.saas.hubspot.asking import REMEMBERED_S, ask

AGAIN_S = 30.0
"""Least seconds between two questions about the same pair: a misspelt label comes again and again."""

Spec = dict[str, Any]
"""``{"associationCategory": ..., "associationTypeId": ...}``"""
Labels = dict[str | None, Spec]


class Links:
    """The association types of one account."""

    def __init__(self, sender: Sender, rules: Rules, prefix: str) -> None:
        self._sender, self._rules, self._prefix = sender, rules, prefix
        self._known: dict[tuple[str, str], tuple[float, Labels]] = {}

    async def spec(self, here: str, there: str, label: Any = None) -> Spec | Verdict:
        """The type from one kind to another; without a label: that of "they belong together"."""
        wanted = None if label in (None, "") else str(label).strip().casefold()
        asked_at, labels = self._known.get((here, there), (float("-inf"), {}))
        age = self._sender.now() - asked_at
        if age > REMEMBERED_S or (wanted not in labels and age > AGAIN_S):
            answer = await ask(self._sender, self._rules, f"{self._prefix}/{here}/{there}/labels")
            if not isinstance(answer, Mapping):
                return answer
            labels = _labels(answer)
            self._known[here, there] = (self._sender.now(), labels)
        if wanted in labels:
            return labels[wanted]
        there_are = ", ".join(sorted(filter(None, labels))) or "no labels"
        if wanted is None:
            return Rejected(f"HubSpot has no association from {here} to {there} without a label; there are {there_are}")
        return Rejected(f"HubSpot has no label {label!r} from {here} to {there}; there are {there_are}")


def _labels(answer: Mapping[str, Any]) -> Labels:
    """By label, whatever its case; of two without a label HubSpot's own is the plain one."""
    found: Labels = {}
    for one in answer.get("results") or ():
        spec = {"associationCategory": one.get("category"), "associationTypeId": one.get("typeId")}
        label = one.get("label")
        found.setdefault(str(label).strip().casefold() if label else None, spec)
    return found


def targets(associations: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """``{"contact": 101, "company": {"id": 7, "label": "Primary"}}``: kind, id and label of each.

    A kind may have a list of either. Raises ``ValueError``.
    """
    found = []
    for kind, given in associations.items():
        for one in given if isinstance(given, list) else [given]:
            record, label = (one.get("id"), one.get("label")) if isinstance(one, Mapping) else (one, None)
            if isinstance(record, bool) or not isinstance(record, str | int | float) or record == "":
                raise ValueError(f"associations.{kind}: {one!r} is neither an id nor {{'id': 101, 'label': '...'}}")
            found.append((kind, str(as_text(record)), label))
    return found
