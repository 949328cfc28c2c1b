"""``writeback connectors``: the SaaS applications that can be connected, and what each can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from connectors.cli.lint import lint
from connectors.cli.rehearsal import try_
from connectors.cli.snippet import snippet
from connectors.cli.upgrade import upgrade
from topics.cli.console import json_option, note, print_json, print_listing, print_table

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest


@click.group()
def connectors() -> None:
    """The SaaS applications that can be connected, and their objects."""


for command in (snippet, lint, try_, upgrade):
    connectors.add_command(command)


@connectors.command("list")
@json_option
def list_connectors(*, as_json: bool) -> None:
    """All connectors: those that are built in, and your own in the folder WRITEBACK_CONNECTORS.

    A manifest of yours that cannot be used is named on stderr, with what is wrong; the others work all the same.
    """
    from connectors import registry  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    for name in registry.names():
        manifest = registry.manifest(name)
        objects = list(manifest.objects)
        versions = registry.versions(name)
        rows.append(
            {
                "name": name,
                "version": manifest.version,
                "title": manifest.title,
                "objects": objects,
                "older": [version for version in versions if version != manifest.version],
            }
        )
    for one in registry.own():
        if one.mistake:
            note(one.mistake)
    if not as_json:
        for row in rows:
            row["objects"] = ", ".join(row["objects"])
    print_listing(rows, as_json=as_json, columns=("name", "version", "title", "objects"))


@connectors.command()
@click.argument("name")
@click.option("--version", help="An older version; none given: the newest.")
@json_option
def show(*, name: str, version: str | None, as_json: bool) -> None:
    """The settings, secrets, objects and operations of a connector."""
    from connectors import registry  # noqa: PLC0415

    manifest = registry.manifest(name, version)
    settings, functions = _settings(manifest), _functions(manifest)
    if as_json:
        about = {"name": manifest.name, "version": manifest.version, "title": manifest.title, "docs": manifest.docs}
        print_json({**about, "settings": settings, "functions": functions, "aliases": _aliases(manifest)})
        return
    click.echo(f"{manifest.title} {manifest.version}  {manifest.docs}\n")
    print_table(
        ("setting", "type", "default", ""),
        [[row["name"], row["type"], row["default"] or "", row["help"]] for row in settings],
    )
    click.echo()
    print_table(
        ("object", "operation", "batch of", "unique"),
        [[row["object"], row["operation"], row["batch"] or "", row["unique"] or ""] for row in functions],
        empty="Any object: the event says method and path.",
    )
    if aliases := _aliases(manifest):
        click.echo()
        print_table(("you may write", "for"), [[name, " ".join(meant)] for name, meant in aliases.items()])


def _settings(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": "secret" if spec.secret else spec.type,
            "required": spec.required,
            "default": spec.default,
            "help": ("required; " if spec.required else "") + spec.help,
        }
        for name, spec in manifest.settings.items()
    ]


def _aliases(manifest: Manifest) -> dict[str, list[str]]:
    return {
        f"{kind}.{name}": [meant] if isinstance(meant, str) else meant
        for kind, spec in manifest.objects.items()
        for name, meant in spec.aliases.items()
    }


def _functions(manifest: Manifest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for object_name, spec in manifest.objects.items():
        for operation, how in spec.operations.items():
            batch = how.batch.maximum if how.batch else how.maximum if how.maximum > 1 else None
            found.append({"object": object_name, "operation": str(operation), "batch": batch, "unique": spec.unique})
        if spec.read is not None:
            found.append({"object": object_name, "operation": "get/list/findone", "batch": None, "unique": spec.unique})
    return found
