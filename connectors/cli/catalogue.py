"""``writeback connectors``: the SaaS applications that can be connected, and what each can do."""

from __future__ import annotations

from typing import Any

import click

from connectors.cli import described
from connectors.cli.completion import connector_names
from connectors.cli.lint import lint
from connectors.cli.rehearsal import try_
from connectors.cli.snippet import snippet
from connectors.cli.upgrade import upgrade
from topics.cli.console import json_option, note, print_json, print_listing, print_table


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
@click.argument("name", shell_complete=connector_names)
@click.option("--version", help="An older version; none given: the newest.")
@json_option
def show(*, name: str, version: str | None, as_json: bool) -> None:
    """The settings, secrets, objects and operations of a connector, and the fields of each.

    "takes" names the optional fields that mean something; "any field" says that the application's own fields go along
    as they are. `writeback connectors snippet` has a line to paste for each.
    """
    from connectors import registry  # noqa: PLC0415

    manifest = registry.manifest(name, version)
    settings, functions = described.settings(manifest), described.functions(manifest)
    if as_json:
        about = {"name": manifest.name, "version": manifest.version, "title": manifest.title, "docs": manifest.docs}
        about |= {"about": manifest.about} if manifest.about else {}
        print_json({**about, "settings": settings, "functions": functions, "aliases": described.aliases(manifest)})
        return
    click.echo(f"{manifest.title} {manifest.version}  {manifest.docs}\n")
    if manifest.about:
        click.echo(f"{manifest.about}\n")
    print_table(
        ("setting", "type", "default", ""),
        [[row["name"], row["type"], row["default"] or "", row["help"]] for row in settings],
    )
    click.echo()
    print_table(
        ("object", "operation", "needs", "takes", "batch of"),
        [[row["object"], row["operation"], ", ".join(row["required"]), _takes(row), row["batch"]] for row in functions],
        empty="Any object: the event says method and path.",
    )
    if aliases := described.aliases(manifest):
        click.echo()
        print_table(("you may write", "for"), [[name, " ".join(meant)] for name, meant in aliases.items()])


def _takes(row: dict[str, Any]) -> str:
    return ", ".join([*row["optional"], *(["any field"] if row["others"] else [])])
