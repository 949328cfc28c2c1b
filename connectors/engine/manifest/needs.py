"""Which fields an event must have for a function, read off the placeholders of its request."""

from __future__ import annotations

from typing import Any

from connectors.engine.manifest.model import ObjectSpec
from connectors.engine.manifest.requests import Operation
from connectors.engine.template.placeholders import UNIQUE, fields_needed, fields_taken

__all__ = ["UNIQUE", "named", "needed", "reads", "taken"]

_QUERIES = {"get": ("id",), "list": (), "findone": ("searchfield", "searchterm")}


def needed(spec: ObjectSpec, operation: Operation, unique: str | None = None) -> list[str]:
    """The names, those of ``needs`` first; ``unique``: the connection's own unique property, where it has one.

    ``UNIQUE`` stands among them where a unique property is needed and nobody has named one.
    """
    named = (unique or spec.unique or UNIQUE if name == UNIQUE else name for name in fields_needed(*_shapes(operation)))
    return list(dict.fromkeys((*operation.needs, *named)))


def taken(spec: ObjectSpec, operation: Operation) -> tuple[list[str], bool]:
    """Fields that an event of the function may have and that mean something; and whether any other goes along."""
    shapes = _shapes(operation)
    named, others = fields_taken(*shapes)
    others = others or not (shapes or operation.optional)  # of a protocol of its own that says nothing more
    aliases = spec.aliases if others else {}
    return list(dict.fromkeys((*named, *aliases, *operation.optional))), others


def named(operation: Operation) -> list[str]:
    """The fields that its request has a place of their own for."""
    return fields_taken(*_shapes(operation))[0]


def reads(spec: ObjectSpec) -> dict[str, list[str]]:
    """``get``, ``list``, ``findone``, as far as they are there, with what a query must have."""
    read = spec.read
    if read is None:
        return {kind: list(_QUERIES[kind]) for kind in spec.reads}
    there = {"get": read.get, "list": read.list, "findone": read.find_unique or read.find}
    return {kind: [*_QUERIES[kind], *request.needs] for kind, request in there.items() if request is not None}


def _shapes(operation: Operation) -> list[Any]:
    """A batch asks for the same as a single call, so the single one is looked at where there is one."""
    request, batch = operation.request, operation.batch
    if request is not None:
        return [request.path, request.params, request.body]
    return [] if batch is None else [batch.path, batch.input]
