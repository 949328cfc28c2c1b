"""Reads a manifest from a file; the error names the file, and the line and place of every mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.nodes import Node

from connectors.engine.manifest.model import Manifest
from connectors.engine.manifest.places import Place, line_of, no_such, said_twice, schema_of_manifests
from connectors.errors import BadManifest

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser, where it is installed, is ten times as fast."""
_PLACE = re.compile(r"([a-z_0-9.]+): ")
"""The place at the beginning of the model's own messages."""


def load(path: Path) -> Manifest:
    """Raises ``BadManifest``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    return parse(text, str(path))


def line_in(path: Path, place: Place) -> int:
    """The line of a part, in the file of a valid manifest."""
    node, _ = _read(path.read_text(encoding="utf-8"), str(path))
    return line_of(node, place)


def parse(text: str, where: str) -> Manifest:
    """The manifest in a YAML text. Raises ``BadManifest``. Top-level names with ``x-`` hold what is used by anchors."""
    node, body = _read(text, where)
    try:
        return Manifest.model_validate({name: part for name, part in body.items() if not str(name).startswith("x-")})
    except ValidationError as error:
        raise BadManifest(_listed(where, [*_mistakes(error, node)])) from error


def _read(text: str, where: str) -> tuple[Node, dict[Any, Any]]:
    """The text as nodes, which know their lines, and as values."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        twice = [
            (second, f"{name}: is said twice (first in line {first}); keep one of them")
            for name, first, second in (said_twice(node) if node is not None else ())
        ]
        body: Any = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        raise BadManifest(f"{where} is not YAML: {place}{getattr(error, 'problem', None) or error}") from error
    finally:
        loader.dispose()
    if node is None or not isinstance(body, dict):
        raise BadManifest(f"{where} holds a {type(body).__name__}, not a mapping")
    if twice:
        raise BadManifest(_listed(where, twice))
    return node, body


def _mistakes(error: ValidationError, node: Node) -> Iterator[tuple[int, str]]:
    """The line and the message of each mistake."""
    for one in error.errors(include_url=False):
        words, place = one["msg"].removeprefix("Value error, "), one["loc"]
        match one["type"]:
            case "extra_forbidden":
                words = no_such(place, schema_of_manifests())
            case "missing":
                words = "is missing"
            case "string_type" if isinstance(one["input"], int | float):
                words = f'is a number; write it in quotes: "{one["input"]}"'
        named = _PLACE.match(words) if one["type"] == "value_error" else None
        inner = named[1].split(".") if named else ()
        yield (
            line_of(node, [*place, *(int(part) if part.isdigit() else part for part in inner)]),
            f"{'.'.join(str(part) for part in place) or 'manifest'}: {words}",
        )


def _listed(where: str, mistakes: Sequence[tuple[int, str]]) -> str:
    return "\n".join([f"{where} does not load:", *(f"  line {line}, {words}" for line, words in sorted(mistakes))])
