"""HubSpot's custom objects: their schemas, by objectTypeId (``2-3453932``) or fully qualified name (``p7007_car``)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.ledger import Entry
from connectors.sandbox.portal import NOT_SET, Portal, Refused
from connectors.sandbox.properties import TYPE_IDS
from connectors.sandbox.routes import Route, kind_of

PORTAL = 7_007
FIRST_TYPE = 3_453_932


@dataclass(frozen=True, slots=True)
class Custom:
    name: str
    type_id: str
    labels: dict[str, str]
    required: tuple[str, ...]
    created_at: str

    @property
    def qualified(self) -> str:
        return f"p{PORTAL}_{self.name}"


class CustomObjects:
    """Those of one portal. Their records are kept under the fully qualified name."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._known: list[Custom] = []

    def kind(self, name: str) -> str:
        """The kind of a path's name, however it names it: ``p_car`` is the portal's own ``car``."""
        for one in self._known:
            if name in {one.qualified, one.type_id, f"p_{one.name}"}:
                return one.qualified
        return name

    def serve(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        if route.to == "associations":
            return self._associate(call, route, entries)
        if call.method == "POST" and not route.kind:
            return self._define(call, entries)
        if call.method != "GET":
            return answer(405, {"status": "error", "message": "HTTP 405 Method Not Allowed"})
        if not route.kind:
            return answer(200, {"results": [self._shown(one) for one in self._known]})
        found = next((one for one in self._known if one.qualified == self.kind(route.kind)), None)
        if found is None:
            raise Refused(404, "OBJECT_NOT_FOUND", f"Object type {route.kind} does not exist")
        return answer(200, self._shown(found))

    def define(self, call: Call, body: dict[str, Any]) -> Custom:
        name, properties = body.get("name"), body.get("properties")
        if not isinstance(name, str) or not isinstance(properties, list):
            raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [name, properties]")
        made = Custom(
            name=name,
            type_id=f"2-{FIRST_TYPE + len(self._known)}",
            labels=body.get("labels") or {"singular": name, "plural": f"{name}s"},
            required=tuple(body.get("requiredProperties") or ()),
            created_at=datetime.fromtimestamp(call.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
        self._known.append(made)
        self._portal.add_kind(made.qualified, [str(one["name"]) for one in properties], made.required)
        for one in properties:
            self._portal.schema.add(made.qualified, str(one["name"]), unique=bool(one.get("hasUniqueValue")))
        for there in ("notes", *(kind_of(str(one).lower()) for one in body.get("associatedObjects") or ())):
            self._portal.associations.define(made.qualified, there, None)
        return made

    def _define(self, call: Call, entries: list[Entry]) -> Answer:
        made = self.define(call, call.json())
        entries[0].performed = True
        return answer(201, self._shown(made))

    def _associate(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        there = self.kind(kind_of(str(call.json().get("toObjectTypeId"))))
        made = self._portal.associations.define(self.kind(route.kind), there, None)[0]
        entries[0].performed = True
        body = {"id": str(made.id), "fromObjectTypeId": route.kind, "toObjectTypeId": call.json().get("toObjectTypeId")}
        return answer(201, body)

    def _shown(self, one: Custom) -> dict[str, Any]:
        return {
            "id": one.type_id.partition("-")[2],
            "objectTypeId": one.type_id,
            "fullyQualifiedName": one.qualified,
            "name": one.name,
            "labels": one.labels,
            "requiredProperties": list(one.required),
            "searchableProperties": list(one.required),
            "secondaryDisplayProperties": [],
            "properties": self._portal.schema.listing(one.qualified),
            "associations": [
                {"id": str(each.id), "fromObjectTypeId": one.type_id, "toObjectTypeId": type_id}
                for kind, type_id in TYPE_IDS.items()
                for each in self._portal.associations.types(one.qualified, kind)
            ],
            "archived": False,
            "createdAt": one.created_at,
            "updatedAt": one.created_at,
        }
