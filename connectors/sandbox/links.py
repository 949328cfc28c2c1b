"""HubSpot's calls about associations (v4 and date-versioned): labels, and who belongs to whom, alone and in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from connectors.sandbox.associations import Type
from connectors.sandbox.batch import inputs_of, item_error, multi_status
from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.ledger import Entry
from connectors.sandbox.portal import NOT_SET, Portal, Refused
from connectors.sandbox.properties import TYPE_IDS
from connectors.sandbox.routes import Route

MAX_INPUTS = 2_000
MAX_READ = 1_000
SHOWN = 100
"""Associations of one record in one answer; ``after`` in an input asks for the rest."""

_Action = Callable[[Call, Route, list[Entry]], Answer]


class Links:
    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self.actions: dict[str, _Action] = {
            "associations": self._read,
            "associate": self._associate,
            "associate_default": self._associate,
            "dissociate": self._dissociate,
            "unlabel": self._unlabel,
            "labels": self._labels,
            "define_label": self._define,
            "linked": self._linked,
            "link": self._link,
            "link_default": self._link,
            "unlink": self._unlink,
        }

    def _read(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        results = []
        for item in inputs_of(call, MAX_READ):
            shown, after = self._shown(route.kind, str(item.get("id")), route.to, item.get("after"))
            if shown:
                entry: dict[str, Any] = {"from": {"id": str(item["id"])}, "to": shown}
                if after:
                    entry["paging"] = {"next": {"after": after, "link": f"{call.path}?after={after}"}}
                results.append(entry)
        entries[0].performed = True
        return multi_status(call, 200, results, [])

    def _shown(self, kind: str, record: str, to: str, after: Any) -> tuple[list[dict[str, Any]], str]:
        record = self._portal.merged.get((kind, record), record)
        gone = self._portal.find(kind, record) is None
        found = {} if gone else self._portal.associations.of(kind, record, to)
        there = [(other, types) for other, types in found.items() if self._portal.find(to, other) is not None]
        start = int(after or 0)
        page = there[start : start + SHOWN]
        more = str(start + len(page)) if start + len(page) < len(there) else ""
        return [
            {"toObjectId": other, "associationTypes": [one.shown() for one in types]} for other, types in page
        ], more

    def _associate(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        """Answered one by one; what is wrong with one is said of its ids, as far as HubSpot says whose they are."""
        plain = route.operation == "associate_default"
        results, errors = [], []
        for item, entry in zip(inputs_of(call, MAX_INPUTS), entries, strict=True):
            try:
                record, other = _id(item, "from"), _id(item, "to")
                made = self._made(route, record, other, None if plain else item.get("types"))
            except Refused as refused:
                entry.outcome = str(refused.status)
                errors.append(item_error({}, refused))
                continue
            entry.performed, entry.outcome = True, "201"
            results += [_pair(one, record, other) for one in made] if plain else [_labels(route, record, other, made)]
        return multi_status(call, 200 if plain else 201, results, errors)

    def _made(self, route: Route, record: str, other: str, specs: Any) -> list[Type]:
        """``specs``: None for the plain type between the two kinds."""
        self._portal.refuse_strangers((route.kind, record), (route.to, other))
        associations = self._portal.associations
        type_ids = self._type_ids(route, specs) if specs is not None else self._plain(route)
        associations.link(route.kind, record, route.to, other, type_ids)
        return associations.of(route.kind, record, route.to)[other]

    def _plain(self, route: Route) -> list[int]:
        plain = [one.id for one in self._portal.associations.types(route.kind, route.to) if one.label is None]
        if not plain:
            raise Refused(400, "VALIDATION_ERROR", f"No default association from {route.kind} to {route.to}")
        return plain[:1]

    def _type_ids(self, route: Route, specs: Any) -> list[int]:
        if not isinstance(specs, list) or not specs:
            raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [types]")
        known = {one.id: one for one in self._portal.associations.types(route.kind, route.to)}
        for spec in specs:
            type_id, category = spec.get("associationTypeId"), spec.get("associationCategory")
            if type_id not in known or known[type_id].category != category:
                raise Refused(
                    400, "VALIDATION_ERROR", f"{category} {type_id} is not a type from {route.kind} to {route.to}"
                )
        return [spec["associationTypeId"] for spec in specs]

    def _dissociate(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        for item, entry in zip(inputs_of(call, MAX_INPUTS), entries, strict=True):
            record, others = _id(item, "from"), item.get("to")
            if not isinstance(others, list):
                raise Refused(400, "VALIDATION_ERROR", "Invalid input JSON: to is not a list of ids")
            for other in others:
                self._portal.associations.unlink(route.kind, record, route.to, str(other["id"]))
            entry.performed = True
        return Answer(204)

    def _unlabel(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        for item, entry in zip(inputs_of(call, MAX_INPUTS), entries, strict=True):
            type_ids = self._type_ids(route, item.get("types"))
            self._portal.associations.unlink(route.kind, _id(item, "from"), route.to, _id(item, "to"), type_ids)
            entry.performed = True
        return Answer(204)

    def _labels(self, _call: Call, route: Route, _entries: list[Entry]) -> Answer:
        return answer(200, {"results": [one.shown() for one in self._portal.associations.types(route.kind, route.to)]})

    def _define(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        body = call.json()
        if not body.get("label") or not body.get("name"):
            raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [label, name]")
        made = self._portal.associations.define(route.kind, route.to, body["label"], body.get("inverseLabel"))
        entries[0].performed = True
        return answer(200, {"results": [one.shown() for one in made]})

    def _linked(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        shown, after = self._shown(route.kind, route.record_id, route.to, call.first("after"))
        entries[0].performed = True
        body: dict[str, Any] = {"results": shown}
        if after:
            body["paging"] = {"next": {"after": after, "link": f"{call.path}?after={after}"}}
        return answer(200, body)

    def _link(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        plain = route.operation == "link_default"
        made = self._made(route, route.record_id, route.to_id, None if plain else _specs(call))
        entries[0].performed = True
        if plain:
            return multi_status(call, 200, [_pair(one, route.record_id, route.to_id) for one in made], [])
        return answer(201, _labels(route, route.record_id, route.to_id, made))

    def _unlink(self, _call: Call, route: Route, entries: list[Entry]) -> Answer:
        self._portal.associations.unlink(route.kind, route.record_id, route.to, route.to_id)
        entries[0].performed = True
        return Answer(204)


def _specs(call: Call) -> Any:
    """The one body of HubSpot's that is a list."""
    return call.json_value()


def _id(item: dict[str, Any], name: str) -> str:
    named = item.get(name)
    if not isinstance(named, dict) or not named.get("id"):
        raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [{name}.id]")
    return str(named["id"])


def _labels(route: Route, record: str, other: str, made: list[Type]) -> dict[str, Any]:
    return {
        "fromObjectTypeId": TYPE_IDS.get(route.kind, route.kind),
        "fromObjectId": record,
        "toObjectTypeId": TYPE_IDS.get(route.to, route.to),
        "toObjectId": other,
        "labels": [one.label for one in made if one.label],
    }


def _pair(one: Type, record: str, other: str) -> dict[str, Any]:
    spec = {"associationCategory": one.category, "associationTypeId": one.id}
    return {"from": {"id": record}, "to": {"id": other}, "associationSpec": spec}
