"""Which fields an event must have for a function, read off the placeholders of its request."""

from __future__ import annotations

from typing import Any

from connectors.engine.manifest.model import ObjectSpec
from connectors.engine.manifest.requests import Operation
from connectors.engine.template.placeholders import UNIQUE, fields_needed, fields_taken

__all__ = ["UNIQUE", "named", "needed", "reads", "taken"]

_QUERIES = {"get": ("id",), "list": (), "findone": ("searchfield", "searchterm")}


def needed(spec: ObjectSpec, operation: Operation, unique: str | None = None) -> list[str]:
    """The names of the fields, those in the manifest's ``needs`` first.

    ``unique``: the connection's own unique property, if it has one. Where a unique property is needed and none is
    configured, the names include ``UNIQUE``.
    """
    named = (unique or spec.unique or UNIQUE if name == UNIQUE else name for name in fields_needed(*_shapes(operation)))
    return list(dict.fromkeys((*operation.needs, *named)))


def taken(spec: ObjectSpec, operation: Operation) -> tuple[list[str], bool]:
    """The fields that the function uses, and whether it also passes on any other field of an event."""
    shapes = _shapes(operation)
    named, others = fields_taken(*shapes)
    others = others or not (shapes or operation.optional)  # another protocol than HTTP, whose manifest lists no fields
    aliases = spec.aliases if others else {}
    return list(dict.fromkeys((*named, *aliases, *operation.optional))), others


def named(operation: Operation) -> list[str]:
    """The fields that the request names one by one."""
    return fields_taken(*_shapes(operation))[0]


def reads(spec: ObjectSpec) -> dict[str, list[str]]:
    """The ways of reading that exist (``get``, ``list``, ``findone``), and the names that a query of each must have."""
    read = spec.read
    if read is None:
        return {kind: list(_QUERIES[kind]) for kind in spec.reads}
    there = {"get": read.get, "list": read.list, "findone": read.find_unique or read.find}
    return {kind: [*_QUERIES[kind], *request.needs] for kind, request in there.items() if request is not None}


def _shapes(operation: Operation) -> list[Any]:
    """The request's parts with placeholders; of the single call, if there is one, since a batch needs the same."""
    request, batch = operation.request, operation.batch
    if request is not None:
        return [request.path, request.params, request.body]
    return [] if batch is None else [batch.path, batch.input]
