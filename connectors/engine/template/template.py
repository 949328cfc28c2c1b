"""The placeholders of a manifest, compiled once into functions that fill them in.

In a body, a query parameter or a key, a string that starts with ``$`` stands for a value:

    $fields             every field of the event that is not named elsewhere in the same request
    $record             the same, and the unique property with its value
    $fields.id          one field; the event is refused without it
    $fields.id?         one field; left out when the event does not have it
    $unique.field       the property that names the record: ``searchfield``, the connection's setting, or the object's
    $unique.value       its value: ``searchterm``, or the field of that name
    $event.id           also $event.key, $event.idempotency_key
    $settings.name      a setting of the connection; $object.name: a variable of the object
    $bookmark?          where the next page starts; $inputs, $values: the items of a batch, the values to find
    ...: $fields        as a member of an object: the members of that value, which those below it replace
    $fields | text      values as text, the way form-like APIs want them; ``| fold``: without case and outer blanks
    $bookmark | number  a whole number, where the vendor takes no text

``$$`` is a dollar sign. In a path or a header ``{id}`` is a field and ``{settings.name}``, ``{object.name}`` are fixed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from connectors.engine.template.placeholders import BRACES, PLACEHOLDER, SPREAD
from connectors.engine.template.text import as_text, fold
from topics.event.event import Event


class Missing(Exception):
    """The event lacks a field that the request needs; the message names it."""


class _Absent:
    __slots__ = ()


ABSENT = _Absent()


@dataclass(slots=True)
class Scope:
    """The values from which a template is filled in."""

    fields: Mapping[str, Any]
    event: Event | None = None
    unique: str | None = None
    bookmark: str | None = None
    items: list[Any] = field(default_factory=list)


Render = Callable[[Scope], Any]
Static = Mapping[str, Mapping[str, Any]]
"""The values of ``settings`` and ``object``, which are known when the connector is made."""


def compile_value(shape: Any, static: Static, named: frozenset[str] = frozenset()) -> Render:
    """A function that fills in a body. It raises ``Missing``; a value that is left out is ``ABSENT``."""
    if isinstance(shape, str):
        return _compile_string(shape, static, named)
    if isinstance(shape, Mapping):
        parts = tuple((key, compile_value(value, static, named)) for key, value in shape.items())
        if SPREAD in shape:
            return lambda scope: _spread(parts, scope)
        return lambda scope: {key: value for key, render in parts if (value := render(scope)) is not ABSENT}
    if isinstance(shape, list | tuple):
        items = tuple(compile_value(value, static, named) for value in shape)
        return lambda scope: [value for render in items if (value := render(scope)) is not ABSENT]
    return lambda _scope: shape


def _spread(parts: tuple[tuple[str, Render], ...], scope: Scope) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, render in parts:
        value = render(scope)
        if key != SPREAD:
            made |= {} if value is ABSENT else {key: value}
        elif isinstance(value, Mapping):
            made |= value
    return made


_FILTERS: Mapping[str, Callable[[Any], Any]] = {"text": as_text, "fold": fold, "number": int}


def _compile_string(text: str, static: Static, named: frozenset[str]) -> Render:
    match = PLACEHOLDER.fullmatch(text)
    if match is None:
        literal = text.removeprefix("$") if text.startswith("$$") else text
        return lambda _scope: literal
    render = _source(match["source"], match["name"], bool(match["optional"]), static, named)
    if match["filter"] is None:
        return render
    convert = _FILTERS[match["filter"]]
    return lambda scope: value if (value := render(scope)) is ABSENT else convert(value)


def _source(source: str, name: str | None, optional: bool, static: Static, named: frozenset[str]) -> Render:
    sources: dict[str, Callable[[], Render]] = {
        "fields": lambda: _all_fields(named) if name is None else _one_field(name, optional),
        "record": lambda: _record(_all_fields(named)),
        "unique": lambda: _unique(name, optional),
        "event": lambda: _of_event(name, optional),
        "settings": lambda: _fixed(static["settings"].get(name or ""), f"settings.{name}", optional),
        "object": lambda: _fixed(static["object"].get(name or ""), f"object.{name}", optional),
        "bookmark": lambda: _bookmark,
    }
    return sources[source]() if source in sources else _items


def _bookmark(scope: Scope) -> Any:
    return ABSENT if scope.bookmark is None else scope.bookmark


def _items(scope: Scope) -> Any:
    return scope.items


def _unique(name: str | None, optional: bool) -> Render:
    if name == "field":
        return lambda scope: _needed(unique_of(scope)[0], "searchfield", optional)
    return lambda scope: _needed(unique_of(scope)[1], unique_of(scope)[0] or "searchfield", optional)


def literal(text: str) -> str:
    """The text, escaped so that a body takes it literally."""
    return f"${text}" if text.startswith("$") else text


def _all_fields(named: frozenset[str]) -> Render:
    if not named:
        return lambda scope: dict(scope.fields)
    return lambda scope: {key: value for key, value in scope.fields.items() if key not in named}


def _record(rest: Render) -> Render:
    def render(scope: Scope) -> Any:
        name, value = unique_of(scope)
        record: dict[str, Any] = rest(scope)
        if name is not None and value is not None:
            record.setdefault(name, value)
        return record

    return render


def _one_field(name: str, optional: bool) -> Render:
    return lambda scope: _needed(scope.fields.get(name), name, optional)


def _of_event(name: str | None, optional: bool) -> Render:
    def render(scope: Scope) -> Any:
        event = scope.event
        if event is None:
            return ABSENT
        if name == "idempotency_key":
            return event.options.idempotency_key or event.id
        return _needed(event.id if name == "id" else event.key, f"event.{name}", optional)

    return render


def _fixed(value: Any, name: str, optional: bool) -> Render:
    return lambda _scope: _needed(value, name, optional)


def _needed(value: Any, name: str, optional: bool) -> Any:
    if value is not None:
        return value
    if optional:
        return ABSENT
    raise Missing(name)


def unique_of(scope: Scope) -> tuple[str | None, Any]:
    """The property that identifies the record, and its value: as the event says, else as configured."""
    name = scope.fields.get("searchfield") or scope.unique
    if not isinstance(name, str):
        return None, None
    value = scope.fields.get("searchterm")
    return name, value if value is not None else scope.fields.get(name)


def compile_text(text: str, static: Static, *, in_path: bool) -> Callable[[Scope], str] | str:
    """A path or header with its fixed parts filled in; a plain string if there are no others."""

    def fix(match: re.Match[str]) -> str:
        source, dot, name = match[1].partition(".")
        return str(static[source].get(name, "")) if dot else match[0]

    fixed = BRACES.sub(fix, text)
    parts = BRACES.split(fixed)
    if len(parts) == 1:
        return fixed
    encode = segment if in_path else plain_text
    literals, names = parts[::2], parts[1::2]
    return lambda scope: (
        literals[0]
        + "".join(
            encode(scope.fields.get(name), name) + literal for name, literal in zip(names, literals[1:], strict=True)
        )
    )


def segment(value: Any, name: str) -> str:
    """One segment of a path. An empty one would mean the whole collection, and ``..`` another one: both are refused."""
    text = plain_text(value, name)
    if text in {"", ".", ".."}:
        raise Missing(name)
    return quote(text, safe="")


def plain_text(value: Any, name: str) -> str:
    if value is None or isinstance(value, dict | list):
        raise Missing(name)
    text = as_text(value)
    return text if isinstance(text, str) else str(text)
