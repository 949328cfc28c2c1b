"""The grammar of the placeholders in a manifest: finds them, checks them, and lists the fields that they name.

Their meaning is in ``connectors/engine/template/template.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

PLACEHOLDER = re.compile(
    r"\$(?P<source>fields|record|unique|event|settings|object|bookmark|inputs|values)"
    r"(?:\.(?P<name>[A-Za-z_][A-Za-z0-9_]*))?(?P<optional>\?)?(?:\s*\|\s*(?P<filter>text|fold|number))?"
)
BRACES = re.compile(r"\{([^{}]*)\}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
NEEDS_NAME = {"unique": ("field", "value"), "event": ("id", "key", "idempotency_key"), "settings": None, "object": None}
UNIQUE = "$unique"
SPREAD = "..."
"""The name of an object's member that is replaced by the members of its value."""
SEARCH_FIELDS = ("searchfield", "searchterm")


def problems(shape: Any) -> Iterator[str]:
    """The mistakes in the placeholders of a body."""
    for text in _strings(shape):
        if not text.startswith("$") or text.startswith("$$"):
            continue
        match = PLACEHOLDER.fullmatch(text)
        if match is None:
            yield f"{text!r} is not a placeholder; `$$` is a dollar sign"
            continue
        source, name = match["source"], match["name"]
        if source in NEEDS_NAME and name is None:
            yield f"{text!r} needs a name, as in ${source}.name"
        known = NEEDS_NAME.get(source)
        if known and name not in known:
            yield f"{text!r}: there is {', '.join(f'${source}.{one}' for one in known)}"
        if name and source in {"record", "bookmark", "inputs", "values"}:
            yield f"{text!r}: ${source} takes no name"


def text_problems(text: str) -> Iterator[str]:
    """The mistakes in the braces of a path or a header."""
    for inner in BRACES.findall(text):
        source, dot, name = inner.partition(".")
        if not NAME.fullmatch(name if dot else inner) or (dot and source not in {"settings", "object"}):
            yield f"{{{inner}}} is neither {{field}} nor {{settings.name}} nor {{object.name}}"


def references(shape: Any) -> Iterator[tuple[str, str]]:
    """The (source, name) of every setting and variable that a body or a text uses."""
    for text in _strings(shape):
        match = PLACEHOLDER.fullmatch(text)
        if match and match["source"] in {"settings", "object"} and match["name"]:
            yield match["source"], match["name"]
        for inner in BRACES.findall(text):
            source, dot, name = inner.partition(".")
            if dot:
                yield source, name


def fields_named(*shapes: Any, paths: tuple[str, ...] = ()) -> frozenset[str]:
    """The fields that a request names one by one, which ``$fields`` leaves out."""
    names = {inner for path in paths for inner in BRACES.findall(path) if "." not in inner}
    for text in _strings(shapes):
        match = PLACEHOLDER.fullmatch(text)
        if match and match["source"] == "fields" and match["name"]:
            names.add(match["name"])
        elif match and match["source"] in {"unique", "record"}:
            names.update(SEARCH_FIELDS)
    return frozenset(names)


def fields_needed(*shapes: Any) -> list[str]:
    """The fields that are required to fill these in, each once; ``UNIQUE`` stands for the unique one."""
    names: dict[str, None] = {}
    for text in _strings(shapes):
        match = PLACEHOLDER.fullmatch(text)
        if match and not match["optional"]:
            if match["source"] == "unique" or match["source"] == "record":
                names[UNIQUE] = None
            elif match["source"] == "fields" and match["name"]:
                names[match["name"]] = None
        names.update((inner, None) for inner in BRACES.findall(text) if "." not in inner)
    return list(names)


def fields_taken(*shapes: Any) -> tuple[list[str], bool]:
    """The fields that these can use by name, and whether they pass on all others as well (``$fields``)."""
    names: dict[str, None] = {}
    others = False
    for text in _strings(shapes):
        match = PLACEHOLDER.fullmatch(text)
        if match and match["source"] == "fields" and match["name"]:
            names[match["name"]] = None
        elif match and match["source"] in {"fields", "record"}:
            others = True
    return list(names), others


def _strings(shape: Any) -> Iterator[str]:
    if isinstance(shape, str):
        yield shape
    elif isinstance(shape, Mapping):
        for value in shape.values():
            yield from _strings(value)
    elif isinstance(shape, list | tuple):
        for value in shape:
            yield from _strings(value)
