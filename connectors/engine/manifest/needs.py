"""Which fields an event must have for a function, read off the placeholders of its request."""

from __future__ import annotations

from typing import Any

from connectors.engine.manifest.model import ObjectSpec
from connectors.engine.manifest.requests import Operation
from connectors.engine.template.placeholders import UNIQUE, fields_needed

__all__ = ["UNIQUE", "needed"]


def needed(spec: ObjectSpec, operation: Operation, unique: str | None = None) -> list[str]:
    """The names, in the order of the request; ``unique``: the connection's own unique property, where it has one.

    ``UNIQUE`` stands among them where a unique property is needed and nobody has named one. A batch asks for the same
    as a single call, so the single one is looked at where there is one.
    """
    request, batch = operation.request, operation.batch
    shapes: list[Any] = []
    if request is not None:
        shapes += [request.path, request.params, request.body]
    elif batch is not None:
        shapes += [batch.path, batch.input]
    named = (unique or spec.unique or UNIQUE if name == UNIQUE else name for name in fields_needed(*shapes))
    return list(dict.fromkeys((*named, *operation.needs)))
