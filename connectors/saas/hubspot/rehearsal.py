"""What HubSpot might answer to what is asked before a record is sent: for ``connectors try``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors.saas.hubspot.links import targets
from topics.event.event import Event


def answer(path: str, events: Sequence[Event]) -> dict[str, Any] | None:
    """None: the request is not one of those. ``path``: without the address of the API, a GET."""
    if path.endswith("/labels"):
        plain = {"category": "HUBSPOT_DEFINED", "typeId": "[the type]", "label": None}
        named = [
            {"category": "USER_DEFINED", "typeId": f"[the type of {label}]", "label": label}
            for label in dict.fromkeys(label for event in events for label in _labels(event))
        ]
        return {"results": [plain, *named]}
    if "/schemas/" in path or "/object-schemas/" in path:
        names = dict.fromkeys(name for event in events for name in (*event.fields, event.fields.get("searchfield")))
        properties = [{"name": name, "hasUniqueValue": True} for name in names if name]
        return {"requiredProperties": [], "properties": properties}
    return None


def _labels(event: Event) -> list[str]:
    """What the event calls its associations."""
    given = event.fields.get("associations")
    try:
        found = [label for _, _, label in targets(given)] if isinstance(given, dict) else []
    except ValueError:
        found = []
    return [str(label) for label in (*found, event.fields.get("label")) if label not in (None, "")]
