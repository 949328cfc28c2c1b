"""HubSpot's paths: which request is which operation on which kind of object."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_OBJECTS = re.compile(r"/crm/(?:v3/objects|objects/(?:v3|\d{4}-\d{2}))/([^/]+)(?:/(.+))?")
_PROPERTIES = re.compile(r"/crm/(?:v3/properties|properties/(?:v3|\d{4}-\d{2}))/([^/]+)")
_ASSOCIATIONS = re.compile(r"/crm/(?:v4/associations|associations/(?:v4|\d{4}-\d{2}))/([^/]+)/([^/]+)/batch/read")
_ACCOUNT = re.compile(r"/account-info/(?:v3|\d{4}-\d{2})/details")
_KINDS = {
    **dict.fromkeys(("contacts", "contact", "0-1"), "contacts"),
    **dict.fromkeys(("companies", "company", "0-2"), "companies"),
    **dict.fromkeys(("deals", "deal", "0-3"), "deals"),
    **dict.fromkeys(("tickets", "ticket", "0-5"), "tickets"),
}


class Route(NamedTuple):
    operation: str
    kind: str
    record_id: str = ""
    batch: bool = False


@lru_cache(maxsize=1_024)
def route_of(method: str, path: str) -> Route | None:
    """None: HubSpot has nothing there."""
    if match := _OBJECTS.fullmatch(path):
        return _object_route(method, _KINDS.get(match[1], match[1]), match[2] or "")
    if (match := _PROPERTIES.fullmatch(path)) and method in {"GET", "POST"}:
        return Route("properties", _KINDS.get(match[1], match[1]))
    if (match := _ASSOCIATIONS.fullmatch(path)) and method == "POST":
        return Route("associations", _KINDS.get(match[1], match[1]), _KINDS.get(match[2], match[2]))
    return Route("account", "account") if _ACCOUNT.fullmatch(path) else None


def _object_route(method: str, kind: str, rest: str) -> Route | None:
    if not rest:
        return {"POST": Route("create", kind), "GET": Route("list", kind)}.get(method)
    if rest.startswith("batch/"):
        operation = rest.removeprefix("batch/")
        known = operation in {"create", "update", "upsert", "archive", "read"} and method == "POST"
        return Route(operation, kind, batch=True) if known else None
    if rest == "search":
        return Route("search", kind) if method == "POST" else None
    operations = {"GET": "read", "PATCH": "update", "DELETE": "archive"}
    return Route(operations[method], kind, rest) if method in operations and "/" not in rest else None
