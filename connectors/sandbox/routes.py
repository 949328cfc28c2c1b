"""HubSpot's paths: which request is which operation on which kind of object."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_OBJECTS = re.compile(r"/crm/(?:v3/objects|objects/(?:v3|\d{4}-\d{2}))/([^/]+)(?:/(.+))?")
_PROPERTIES = re.compile(r"/crm/(?:v3/properties|properties/(?:v3|\d{4}-\d{2}))/([^/]+)")
_ASSOCIATIONS = re.compile(r"/crm/(?:v4/associations|associations/(?:v4|\d{4}-\d{2}))/([^/]+)/([^/]+)/(.+)")
_LINK = re.compile(
    r"/crm/(?:v4/objects|objects/(?:v4|\d{4}-\d{2}))/([^/]+)/([^/]+)/associations/(default/)?([^/]+)(?:/([^/]+))?"
)
_SCHEMAS = re.compile(r"/crm-object-schemas/(?:v3|\d{4}-\d{2})/schemas(?:/([^/]+))?(/associations)?")
_ACCOUNT = re.compile(r"/account-info/(?:v3|\d{4}-\d{2})/details")
_KINDS = {
    **dict.fromkeys(("contacts", "contact", "0-1"), "contacts"),
    **dict.fromkeys(("companies", "company", "0-2"), "companies"),
    **dict.fromkeys(("deals", "deal", "0-3"), "deals"),
    **dict.fromkeys(("tickets", "ticket", "0-5"), "tickets"),
    **dict.fromkeys(("notes", "note", "0-46"), "notes"),
}
_LINKING = {
    ("POST", "batch/read"): "associations",
    ("POST", "batch/create"): "associate",
    ("POST", "batch/associate/default"): "associate_default",
    ("POST", "batch/archive"): "dissociate",
    ("POST", "batch/labels/archive"): "unlabel",
    ("GET", "labels"): "labels",
    ("POST", "labels"): "define_label",
}


class Route(NamedTuple):
    operation: str
    kind: str
    record_id: str = ""
    batch: bool = False
    to: str = ""
    """Of associations: the other kind, and its record."""
    to_id: str = ""


@lru_cache(maxsize=1_024)
def route_of(method: str, path: str) -> Route | None:
    """None: HubSpot has nothing there."""
    if (match := _PROPERTIES.fullmatch(path)) and method in {"GET", "POST"}:
        return Route("properties", kind_of(match[1]))
    if (match := _ASSOCIATIONS.fullmatch(path)) and (method, match[3]) in _LINKING:
        return Route(_LINKING[method, match[3]], kind_of(match[1]), to=kind_of(match[2]))
    if match := _LINK.fullmatch(path):
        return _link_route(method, match)
    if match := _SCHEMAS.fullmatch(path):
        return Route("schemas", match[1] or "", to="associations" if match[2] else "")
    if match := _OBJECTS.fullmatch(path):
        return _object_route(method, kind_of(match[1]), match[2] or "")
    return Route("account", "account") if _ACCOUNT.fullmatch(path) else None


def kind_of(name: str) -> str:
    """A kind by any of HubSpot's own names for it; a custom object's name as it is."""
    return _KINDS.get(name, name)


def _link_route(method: str, match: re.Match[str]) -> Route | None:
    """One record's associations: ``/{kind}/{id}/associations/{kind}/{id}``."""
    operations = {"GET": "linked", "PUT": "link_default" if match[3] else "link", "DELETE": "unlink"}
    if method not in operations or (method == "GET") == bool(match[5]):
        return None
    return Route(operations[method], kind_of(match[1]), match[2], to=kind_of(match[4]), to_id=match[5] or "")


def _object_route(method: str, kind: str, rest: str) -> Route | None:
    if not rest:
        return {"POST": Route("create", kind), "GET": Route("list", kind)}.get(method)
    if rest.startswith("batch/"):
        operation = rest.removeprefix("batch/")
        known = operation in {"create", "update", "upsert", "archive", "read"} and method == "POST"
        return Route(operation, kind, batch=True) if known else None
    if rest == "merge":
        return Route("merge", kind) if method == "POST" else None
    if rest == "search":
        return Route("search", kind) if method == "POST" else None
    operations = {"GET": "read", "PATCH": "update", "DELETE": "archive"}
    return Route(operations[method], kind, rest) if method in operations and "/" not in rest else None
