"""``writeback connectors try``: the request that a connector would make, shown and not sent."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import click

from connectors.cli.found import found_manifest
from connectors.cli.options import settings_of
from topics.cli.console import FAILED, json_option, note, pass_context, print_json, say
from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest
    from connectors.engine.runner.rehearsal import Asked, Rehearsed
    from topics.event.event import Event

READS = ("get", "list", "findone")


@click.command("try")
@click.argument("file")
@click.argument("operation", required=False)
@click.argument("object_name", metavar="OBJECT", required=False)
@click.argument("fields", nargs=-1)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting, as a connection has it.")
@json_option
@pass_context
def try_(
    context: CommandContext,
    /,
    *,
    file: str,
    operation: str | None,
    object_name: str | None,
    fields: tuple[str, ...],
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show the requests that a connector would make. Nothing is sent, and no secret is needed.

    \b
      writeback connectors try acme.yaml
      writeback connectors try acme.yaml add person '{"email": "john@acme.com"}'
      writeback connectors try acme.yaml update person '{"id": 1}' '{"id": 2}'
      writeback connectors try hubspot findone contact '{"email": "john@acme.com"}'

    FILE is a manifest, or the name of a connection or a connector. FIELDS is a JSON object; several are one batch.
    Without FIELDS the manifest's example is taken, and without an operation each of them is shown. Where the SaaS is
    asked something first, an answer is made up, with names in brackets, and shown below the question.
    """  # noqa: D301 - click's own mark, a real backspace
    manifest, own = _manifest_of(context, file)
    rehearsed = _rehearsed(manifest, {**own, **settings_of(settings, manifest)})
    shown: list[dict[str, Any]] = []
    for kind, what, records in _asked(manifest, own, operation, object_name, fields):
        requests, refused = _requests(rehearsed, kind, what, records)
        shown.append({"operation": kind, "object": what, "requests": [*map(_shown, requests)], "refused": refused})
    if as_json:
        print_json(shown)
    else:
        for one in shown:
            _print(one)
        note("Nothing was sent.")
    return FAILED if any(one["refused"] for one in shown) else 0


def _manifest_of(context: CommandContext, file: str) -> tuple[Manifest, Mapping[str, Any]]:
    from connectors.engine.manifest import load  # noqa: PLC0415

    if file.endswith((".yaml", ".yml")) or Path(file).is_file():
        return load(Path(file)), {}
    manifest, _, settings = found_manifest(context, file)
    return manifest, settings


def _rehearsed(manifest: Manifest, settings: Mapping[str, Any]) -> Rehearsed:
    from connectors import registry  # noqa: PLC0415
    from connectors.engine.runner.rehearsal import Rehearsed  # noqa: PLC0415

    if manifest.protocol != "http":
        raise click.UsageError(f"{manifest.title} does not speak HTTP: there are no requests to show")
    return Rehearsed(registry.class_of(manifest.name), manifest, settings)


def _asked(
    manifest: Manifest,
    settings: Mapping[str, Any],
    operation: str | None,
    object_name: str | None,
    fields: Sequence[str],
) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Each function that is to be shown, with the records."""
    if operation is not None and object_name is not None:
        records = [_record(text) for text in fields]
        yield operation, object_name, records or [_example(manifest, settings, operation, object_name)]
        return
    if operation is not None:
        raise click.UsageError(f"{operation} of what? OPERATION and OBJECT belong together")
    for name, spec in manifest.objects.items():
        for one in spec.operations:
            yield str(one), name, [_example(manifest, settings, str(one), name)]
    if not manifest.objects:
        raise click.UsageError(f"{manifest.title} takes any request: say OPERATION, OBJECT and FIELDS")


def _example(manifest: Manifest, settings: Mapping[str, Any], operation: str, object_name: str) -> dict[str, Any]:
    from connectors.cli.snippet import example_of  # noqa: PLC0415

    return example_of(manifest, settings, operation, object_name)


def _record(text: str) -> dict[str, Any]:
    from topics.event import exact_json  # noqa: PLC0415

    try:
        record = exact_json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="FIELDS") from error
    if not isinstance(record, dict):
        raise click.BadParameter(f"{exact_json.kind(record)}, not an object like {{...}}", param_hint="FIELDS")
    return record


def _requests(
    rehearsed: Rehearsed, operation: str, object_name: str, records: list[dict[str, Any]]
) -> tuple[list[Asked], str]:
    """The requests, and why none of them carries the records. Raises ``UnknownFunction``."""
    from connectors.errors import CallFailed  # noqa: PLC0415
    from topics.event.event import Operation  # noqa: PLC0415

    if operation in READS:
        try:
            return rehearsed.read(object_name, _query(operation, records[0])), ""
        except CallFailed as error:
            return [], str(error)
    if operation not in set(Operation):
        raise click.BadParameter(f"{operation} is none of {', '.join((*Operation, *READS))}", param_hint="OPERATION")
    requests, verdicts = rehearsed.deliver([_event(rehearsed, operation, object_name, each) for each in records])
    if requests and requests[-1].answer is None:
        return requests, ""  # it would be sent: the verdict only says that it was not
    reasons = [str(getattr(one, "reason", "")) for one in verdicts]
    return requests, "; ".join(filter(None, dict.fromkeys(reasons)))


def _query(operation: str, asked: dict[str, Any]) -> dict[str, Any]:
    """``findone`` by the field that is given, as a script says it."""
    if operation == "findone" and "searchfield" not in asked and len(asked) == 1:
        ((name, value),) = asked.items()
        return {"searchfield": name, "searchterm": value}
    return asked


def _event(rehearsed: Rehearsed, operation: str, object_name: str, fields: dict[str, Any]) -> Event:
    from topics.event.event import Event, Operation  # noqa: PLC0415

    key = rehearsed.connector.record_key(object_name, Operation(operation), fields)
    return Event(
        id="[event-id]", operation=Operation(operation), connection="try", object=object_name, key=key, fields=fields
    )


def _shown(asked: Asked) -> dict[str, Any]:
    request = asked.request
    headers = {name.title(): _readable(value) for name, value in request.headers.items()}
    return {
        "method": request.method,
        "url": unquote(str(request.url)) if "%5B" in str(request.url) else str(request.url),
        "headers": headers,
        "body": _body(request.body),
        "answer": asked.answer,
    }


def _readable(value: str) -> str:
    """The header; of ``Basic`` what is in it, as far as that is a name in brackets."""
    kind, _, rest = value.partition(" ")
    return f"Basic base64({b64decode(rest).decode()})" if kind == "Basic" else value


def _body(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", errors="replace")


def _print(one: Mapping[str, Any]) -> None:
    say(f"# {one['operation']} {one['object']}")
    for request in one["requests"]:
        say(f"{request['method']} {request['url']}")
        for name, value in request["headers"].items():
            say(f"{name}: {value}")
        body = request["body"]
        if body is not None:
            say("\n" + (body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)))
        if request["answer"] is not None:
            say("\n# suppose it answers " + json.dumps(request["answer"], ensure_ascii=False))
        say("")
    if one["refused"]:
        say(f"refused: {one['refused']}\n")
