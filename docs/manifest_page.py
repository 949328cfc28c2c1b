"""The reference of the manifest, from its model: every part, every field, what it may hold and what it means."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal, Union

from pydantic import AfterValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from connectors.engine.manifest import parts
from connectors.engine.manifest.auth import Auth, Authorize
from connectors.engine.manifest.errors import ErrorRow, ErrorShape
from connectors.engine.manifest.model import LimitsSpec, Manifest, ObjectSpec, RateHeaders, Setting
from connectors.engine.manifest.parts import Part
from connectors.engine.manifest.read import Read, Sync
from connectors.engine.manifest.requests import (
    AllOrNothing,
    Batch,
    ByMatch,
    ByOrder,
    Find,
    Match,
    Operation,
    ReadRequest,
    Request,
)
from connectors.engine.runner import verdicts
from connectors.engine.template import template

SECTIONS: dict[str, tuple[str, list[type[Part]]]] = {
    "The file": ("At the top of the file. Names with `x-` at their beginning hold what YAML anchors use.", [Manifest]),
    "Settings": ("What a connection says; `--set` and `--secret` of `writeback connections add`.", [Setting]),
    "Ways in": ("`auth` lists them; a connection uses the first for which it has everything.", []),
    "Limits": ("", [LimitsSpec, RateHeaders]),
    "Errors": ("Where an answer carries what, and which answer means what.", [ErrorShape, ErrorRow]),
    "Objects": ("", [ObjectSpec, Operation]),
    "Requests": ("", [Request, Batch, Find]),
    "Whose result is which": ("`attribution` of a batch, one of three.", [ByMatch, Match, ByOrder, AllOrNothing]),
    "Reading": ("", [Read, ReadRequest]),
}
WAYS: tuple[type[Part], ...] = (*typing.get_args(typing.get_args(Auth)[0]), Authorize)


ABOUT = """A manifest is a YAML file that describes one version of one connector
([how to write one](../how-to/add-a-connector.md)).
Editors check it by [the JSON Schema](manifest.schema.json). How records are read into the warehouse (`read.sync`) has
[a page of its own](manifest-read.md)."""

_CHECKED: dict[Any, str] = {
    parts.is_path: "JMESPath",
    parts.is_text: "text with `{field}`",
    parts.is_shape: "JSON with `$` placeholders",
}

HEADINGS: dict[type[Part], str] = {
    Setting: "a setting",
    Authorize: "authorize",
    LimitsSpec: "limits",
    RateHeaders: "rate headers",
    ErrorShape: "error",
    ErrorRow: "a row of errors",
    ObjectSpec: "an object",
    Operation: "an operation",
    Request: "a request",
    Batch: "a batch",
    Find: "find",
    Match: "a match",
    Read: "read",
    ReadRequest: "a request that reads",
    Sync: "sync",
}
"""What the page calls the parts that have no word of their own."""


def manifest_page(generated: str) -> str:
    """``generated``: the remark that the page is written by a program."""
    return "\n".join(
        [
            "# The manifest",
            "",
            generated.rstrip(),
            "",
            ABOUT,
            "",
            *_sections(),
            "## Placeholders",
            "",
            "```text",
            _after(inspect.getdoc(template) or "", "In a body"),
            "```",
            "",
            "## What an answer means",
            "",
            "The rows of the manifest come first, those of an operation before those of the connector. Then these:",
            "",
            "```text",
            inspect.cleandoc((inspect.getdoc(verdicts) or "").partition("\n\n")[2]),
            "```",
            "",
        ]
    )


def _sections() -> Iterator[str]:
    for title, (about, models) in SECTIONS.items():
        yield from (f"## {title}", "")
        if about:
            yield from (about, "")
        for model in WAYS if title == "Ways in" else models:
            yield from _part(model, title)


def _part(model: type[Part], title: str) -> Iterator[str]:
    if title != "The file":
        yield from (f"### {_heading(model)}", "", (inspect.getdoc(model) or "").replace("``", "`"), "")
    above = model.__bases__[0]
    known = above.model_fields if issubclass(above, Part) else {}
    fields = {name: field for name, field in model.model_fields.items() if repr(known.get(name)) != repr(field)}
    if known:
        yield from (f"Everything that {_heading(above)} has, and:", "")
    rows = [_row(field.alias or name, field) for name, field in fields.items()]
    yield from ("| field | holds | default | meaning |", "|---|---|---|---|", *rows, "")


def _heading(model: type[Part]) -> str:
    """What the page calls a part; a member of a union by the word that chooses it."""
    for name, written in (("type", "{}"), ("by", "by: {}")):
        field = model.model_fields.get(name)
        if field is not None and model is not Setting and typing.get_origin(field.annotation) is Literal:
            return written.format(typing.get_args(field.annotation)[0])
    return HEADINGS.get(model, model.__name__)


def _row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
    holds = field.annotation if not field.metadata else typing.Annotated[field.annotation, *field.metadata]
    return f"| `{name}` | {_cell(_kind(holds))} | {default} | {_cell(field.description)} |"


def _default(value: Any) -> str:
    if value in (None, "", [], {}, PydanticUndefined) or isinstance(value, Part):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _kind(annotation: Any) -> str:  # noqa: PLR0911 - one line for each kind of type
    """A type in the words of a person who writes YAML."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _annotated(annotation)
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(_kind(one) for one in arguments if one is not type(None)))
    if origin is list:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return f"mapping to {_kind(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return _heading(annotation)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{one}`" for one in annotation)
    return {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any value"}[annotation]


def _annotated(annotation: Any) -> str:
    checks = {part.func for part in annotation.__metadata__ if isinstance(part, AfterValidator)}
    special = next((words for check, words in _CHECKED.items() if check in checks), None)
    return special or _kind(typing.get_args(annotation)[0])


def _after(text: str, beginning: str) -> str:
    return text[text.index(beginning) :]
