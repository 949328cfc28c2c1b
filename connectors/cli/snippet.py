"""``writeback connectors snippet``: the line to paste, in Python and for the command line."""

from __future__ import annotations

import json
import keyword
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from connectors.cli.completion import any_names, objects, operations
from connectors.cli.found import found_manifest
from topics.cli.console import json_option, pass_context, print_json, say
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest
    from connectors.engine.manifest.model import ObjectSpec
    from connectors.engine.manifest.requests import Operation

AN_ID = 101
ANY_TABLE = "customers"
"""Where the object of an event is a table's name."""
READS = ("get", "list", "findone")


class Snippet(NamedTuple):
    object: str
    operation: str
    python: str
    command: str | None
    """None: the command line cannot read."""


@click.command()
@click.argument("name", shell_complete=any_names)
@click.argument("operation", required=False, shell_complete=operations)
@click.argument("object_name", metavar="OBJECT", required=False, shell_complete=objects)
@json_option
@pass_context
def snippet(
    context: CommandContext, /, *, name: str, operation: str | None, object_name: str | None, as_json: bool
) -> None:
    """The lines to paste for a connector, or for one of your connections.

    \b
      writeback connectors snippet hubspot
      writeback connectors snippet hubspot add contact

    NAME is a connection's (its version and its unique fields are used), or a connector's.
    """  # noqa: D301 - click's own mark, a real backspace
    manifest, called, settings = found_manifest(context, name)
    unique = unique_of(manifest, settings)
    made = [
        one
        for one in snippets(manifest, called, unique)
        if operation in {None, one.operation} and object_name in {None, one.object}
    ]
    if not made:
        from connectors.errors import UnknownFunction  # noqa: PLC0415

        spec = manifest.objects.get(object_name or "")
        if spec is not None and operation in spec.operations:
            raise UnknownFunction(
                f"{operation} {object_name} needs a property whose values no two records share, and {manifest.title} "
                f"has none of its own: writeback connections set NAME --set {manifest.unique_setting}="
                + shlex.quote(json.dumps({object_name: "external_id"}))
            )
        wanted = ".".join(filter(None, (object_name, operation)))
        known = ", ".join(f"{one.object}.{one.operation}" for one in snippets(manifest, called, unique))
        raise UnknownFunction(f"unknown function {wanted}: connector {manifest.name} {manifest.version} has {known}")
    if as_json:
        print_json([one._asdict() for one in made])
        return
    variable = _variable(called)
    say(f"import pq\n\n{variable} = pq.connect({json.dumps(called, ensure_ascii=False)})")
    for one in made:
        say(one.python)
    commands = [one.command for one in made if one.command]
    if commands:
        say("\n# or on the command line\n" + "\n".join(commands))


def snippets(manifest: Manifest, called: str, unique: Mapping[str, str]) -> Iterator[Snippet]:
    """One for each function, in the manifest's order."""
    from connectors.engine.manifest.needs import UNIQUE, needed  # noqa: PLC0415

    variable = _variable(called)
    if not manifest.objects:
        yield from _raw(called, variable)
    for kind, spec in manifest.objects.items():
        object_name = ANY_TABLE if kind == "any" else kind
        for operation, how in spec.operations.items():
            needs = needed(spec, how, unique.get(kind))
            if UNIQUE in needs:  # the connection has to name a unique property first
                continue
            fields = _fields(spec, str(operation), needs, _not_for(spec, how))
            python = (
                f"{variable}.{_method(str(operation))}({', '.join([json.dumps(object_name), *_arguments(fields)])})"
            )
            body = shlex.quote(json.dumps(fields, ensure_ascii=False))
            command = f"writeback emit {shlex.quote(called)} {operation} {object_name} {body}"
            yield Snippet(object_name, str(operation), python, command)
        if spec.read is not None or spec.reads:
            yield from _reads(object_name, spec, variable, unique.get(object_name) or spec.unique)


def unique_of(manifest: Manifest, settings: Mapping[str, Any]) -> Mapping[str, str]:
    """The connection's own unique properties, by kind of record."""
    unique = settings.get(manifest.unique_setting or "")
    return unique if isinstance(unique, dict) else {}


def example_of(manifest: Manifest, settings: Mapping[str, Any], operation: str, object_name: str) -> dict[str, Any]:
    """Fields for a function, made of the manifest's example."""
    from connectors.engine.manifest.needs import UNIQUE, needed  # noqa: PLC0415

    spec = manifest.objects.get(object_name) or manifest.objects.get("any")
    if spec is None:
        return {}
    how = next((one for name, one in spec.operations.items() if name == operation), None)
    if how is None:
        return {"id": spec.example.get("id", AN_ID)} if operation == "get" else {}
    needs = needed(spec, how, unique_of(manifest, settings).get(object_name))
    return _fields(spec, operation, [name for name in needs if name != UNIQUE], _not_for(spec, how))


def _raw(called: str, variable: str) -> Iterator[Snippet]:
    """Of a connector that sends any request: the event says method, path and body."""
    event = {"path": "/orders", "body": {"number": 1001}}
    body = shlex.quote(json.dumps(event))
    command = f"writeback emit {shlex.quote(called)} add order {body}"
    yield Snippet("order", "add", f'{variable}.add("order", path="/orders", body={event["body"]!r})', command)
    yield Snippet("order", "apicall", f'{variable}.apicall("/orders", params={{"limit": 10}})', None)


def _reads(object_name: str, spec: ObjectSpec, variable: str, unique: str | None) -> Iterator[Snippet]:
    from connectors.engine.manifest.needs import reads  # noqa: PLC0415

    name = json.dumps(object_name)
    for kind, needs in reads(spec).items():
        if kind == "get":
            an_id = _literal(spec.example.get("id", AN_ID))
            yield Snippet(object_name, kind, f"{variable}.get({name}, id={an_id})", None)
        elif kind == "list":
            query = _arguments({field: spec.example.get(field, "...") for field in needs})
            yield Snippet(
                object_name, kind, f"for record in {variable}.records({', '.join([name, *query])}): ...", None
            )
        else:
            field = unique or next(iter(spec.example), "id")
            value = json.dumps(spec.example.get(field, "..."), ensure_ascii=False)
            found = f"{variable}.findone({name}, searchfield={json.dumps(field)}, searchterm={value})"
            yield Snippet(object_name, kind, found, None)


def _fields(spec: ObjectSpec, operation: str, needs: list[str], without: frozenset[str]) -> dict[str, Any]:
    """What the event must have, and of an add, a message and an upsert the whole example."""
    example = {name: value for name, value in spec.example.items() if name not in without}
    if operation in {"add", "message", "upsert"}:
        given = {name: "..." for name in needs if name not in example}
        return {**given, **example}
    fields = {name: example.get(name, AN_ID if name == "id" else "...") for name in needs}
    if operation == "update":
        fields |= {name: value for name, value in example.items() if name not in fields}
    return fields


def _not_for(spec: ObjectSpec, how: Operation) -> frozenset[str]:
    """Fields that other operations of the object have a place of their own for, and this one has not."""
    from connectors.engine.manifest.needs import named  # noqa: PLC0415

    elsewhere = {name for one in spec.operations.values() for name in named(one)}
    return frozenset(elsewhere.difference(named(how), how.needs, how.optional))


def _arguments(fields: Mapping[str, Any]) -> list[str]:
    """As keywords, where Python takes them; else one dict."""
    if all(name.isidentifier() and not keyword.iskeyword(name) and name != "timeout" for name in fields):
        return [f"{name}={_literal(value)}" for name, value in fields.items()]
    return [_literal(dict(fields))]


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _method(operation: str) -> str:
    return "add" if operation == "message" else operation


def _variable(called: str) -> str:
    """As a person would name it: the connection's name, as an identifier."""
    name = re.sub(r"\W+", "_", called).strip("_") or "connection"
    return f"c_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name
