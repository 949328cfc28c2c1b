"""Finds the line of a manifest's part in its YAML text, and the names that are possible there, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from yaml.nodes import MappingNode, Node, SequenceNode

Place = Sequence[str | int]
"""The path to a part, as pydantic has it: names, indexes, and pydantic's own words for the members of a union."""

FEW = 14
"""At most this many names are listed; of more, only the nearest is named."""


def line_of(root: Node, place: Place) -> int:
    """The line (from 1) of the part; if it is missing, that of the nearest part around it."""
    node, line = root, root.start_mark.line
    for step in place:
        found = _child(node, step)
        if found is not None:  # else it is missing, or one of pydantic's own words
            line, node = found
    return int(line) + 1


def _child(node: Node, step: str | int) -> tuple[int, Node] | None:
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child.start_mark.line, child
    if isinstance(node, MappingNode):
        for key, value in reversed(node.value):  # later names come before those that were merged in
            if key.value == str(step):
                return key.start_mark.line, value
    return None


def said_twice(node: Node, seen: set[int] | None = None) -> Iterator[tuple[str, int, int]]:
    """Names that a mapping has twice, with both lines: YAML parsers silently use the second."""
    seen = set() if seen is None else seen
    if id(node) in seen:  # an anchor that was looked at before
        return
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        for child in node.value:
            yield from said_twice(child, seen)
    elif isinstance(node, MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value != "<<" and key.value in first:
                yield key.value, first[key.value], line
            first.setdefault(str(key.value), line)
            yield from said_twice(value, seen)


def no_such(place: Place, schema: Mapping[str, Any]) -> str:
    """The message about a name that is unknown at its place."""
    known, wrong = names_at(place[:-1], schema), str(place[-1])
    near = difflib.get_close_matches(wrong, known, n=1)
    words = "there is no such field here"
    if near:
        words += f"; did you mean {near[0]}?"
    return words + (f" (there are {', '.join(known)})" if 0 < len(known) <= FEW else "")


def names_at(place: Place, schema: Mapping[str, Any]) -> list[str]:
    """The fields that a part of a manifest may have."""
    parts = [*_expanded(schema, schema)]
    for step in place:
        below = [one for part in parts for one in _below(part, step, schema)]
        # a step that leads nowhere is pydantic's word for a member of a union
        parts = below or [part for part in parts if _tag(part) in {None, step}] or parts
    return sorted({name for part in parts for name in part.get("properties", ())})


def _below(part: Mapping[str, Any], step: str | int, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if isinstance(step, int):
        found = [part.get("items")]
    elif step in part.get("properties", ()):
        found = [part["properties"][step]]
    else:
        found = [part.get("additionalProperties"), *part.get("patternProperties", {}).values()]
    for one in found:
        if isinstance(one, dict):
            yield from _expanded(one, schema)


def _expanded(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The part itself, or the members of the union that it is."""
    if "$ref" in part:
        yield from _expanded(schema["$defs"][part["$ref"].rpartition("/")[2]], schema)
    elif members := [*part.get("anyOf", ()), *part.get("oneOf", ()), *part.get("allOf", ())]:
        for member in members:
            yield from _expanded(member, schema)
    else:
        yield part


def _tag(part: Mapping[str, Any]) -> Any:
    own = part.get("properties", {})
    return next((own[name]["const"] for name in ("type", "by") if "const" in own.get(name, ())), None)


@cache
def schema_of_manifests() -> Mapping[str, Any]:
    """The model as a JSON Schema."""
    from connectors.engine.manifest.model import Manifest  # noqa: PLC0415 - only mistakes need it

    return Manifest.model_json_schema()
