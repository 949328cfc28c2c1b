"""The reference pages of the connectors, from their manifests: what there is, what it needs, a line to paste."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from connectors.cli import described
from connectors.cli.snippet import Snippet, snippets
from connectors.engine.manifest import Manifest
from connectors.engine.manifest.auth import settings_of
from connectors.engine.manifest.requests import Operation
from connectors.registry import NAMES, manifest, versions

FOLDER = "connectors"
INDEX = """The applications that are built in. `writeback connectors list`, `show` and `snippet` say the same, also for
manifests of your own ([how to add a connector](../../how-to/add-a-connector.md)).

Writes (`add`, `update`, `upsert`, `delete`) are events: a worker carries them, with retries and dead letters. Reads go
straight to the application, after the script's own writes have arrived: `get` gives one record or raises `NotFound`,
`findone` gives `{}` when there is none, `list` gives a page, and `records` goes through all pages. They keep to half
the rate, and when the application asks to wait they wait, two minutes at most. An error is raised, and never
taken for "not found".
"""
LIMITS = """{rate}, {limits.concurrency} calls at once; a connection may say less or more (`--rate`, `--concurrency`).
What the vendor's answers ask for is obeyed in any case.
"""
ANSWERS = "The first row that matches; an answer that is in none means [what it means everywhere](../manifest.md).\n"


def connector_pages(generated: str) -> dict[str, str]:
    """By the file's name below ``docs/reference``; ``generated``: the remark that a program writes them."""
    pages = {f"{FOLDER}/{name}.md": "\n".join(_page(manifest(name), generated)) for name in NAMES}
    return {f"{FOLDER}/README.md": "\n".join(_index(generated)), **pages}


def _index(generated: str) -> Iterator[str]:
    yield from ("# Connectors", "", generated.rstrip(), "")
    yield INDEX
    yield from _table(
        ("connector", "version", "objects"),
        ([f"[{one.title}]({one.name}.md)", one.version, ", ".join(one.objects) or "any request"] for one in _all()),
    )


def _all() -> Iterator[Manifest]:
    return (manifest(name) for name in NAMES)


def _page(one: Manifest, generated: str) -> Iterator[str]:
    yield from (f"# {one.title}", "", generated.rstrip(), "")
    older = ", ".join(version for version in versions(one.name) if version != one.version)
    yield (
        f"Connector `{one.name}`, version {one.version}"
        + (f" (also here: {older})." if older else ".")
        + (f" The vendor's own words: <{one.docs}>\n" if one.docs else "\n")
    )
    if one.about:
        yield from (one.about, "")
    yield from ("```console", f"$ writeback connections add {one.title.split()[0]} --connector {one.name}", "```", "")
    yield from ("## Settings", "")
    rows = described.settings(one)
    yield from _table(
        ("setting", "holds", "default", "meaning"),
        ([f"`{row['name']}`", _holds(row), _default(row["default"]), row["help"]] for row in rows),
    )
    yield from _ways(one)
    yield from _limits(one)
    yield from _functions(one)
    yield from _errors(one)


def _holds(row: dict[str, Any]) -> str:
    return ", ".join(f"`{choice}`" for choice in row["choices"]) if row["choices"] else row["type"]


def _ways(one: Manifest) -> Iterator[str]:
    if not one.auth:
        return
    yield from (
        "## Ways in",
        "",
        "The first for which a connection has everything is used; `--set auth=` chooses one.",
        "",
    )
    rows = []
    for way in one.auth:
        kind = f"{way.type}, {way.grant}" if hasattr(way, "grant") else way.type
        rows.append([kind, ", ".join(f"`{name}`" for name in settings_of(way)) or "nothing"])
    yield from _table(("way", "needs"), rows)


def _limits(one: Manifest) -> Iterator[str]:
    limits = one.limits
    rate = f"{limits.rate:g} calls in {limits.per_seconds:g} s" if limits.rate else "no rate of its own"
    yield from ("## Limits", "", LIMITS.format(rate=rate, limits=limits))


def _functions(one: Manifest) -> Iterator[str]:
    yield from ("## What it does", "")
    if not one.objects:
        yield "Any request: the event says path, method, params, headers and body.\n"
    rows = described.functions(one)
    made = [*snippets(one, one.title.split()[0], {})]
    for name, spec in one.objects.items():
        yield from (f"### {'any name' if name == 'any' else name}", "")
        if spec.unique:
            yield f"No two records share `{spec.unique}`: an upsert finds its record by it.\n"
        elif one.unique_setting and "upsert" in spec.operations:
            example = json.dumps({name: "external_id"})
            yield f"An upsert needs a unique property of your own: `--set {one.unique_setting}='{example}'`.\n"
        yield from _table(
            ("operation", "needs", "takes", "events in a call", "after a call without an answer"),
            (_function_row(row, spec.operations) for row in rows if row["object"] == name),
        )
        for alias, meant in spec.aliases.items():
            names = [meant] if isinstance(meant, str) else meant
            yield f"`{alias}` may be written for {' and '.join(f'`{each}`' for each in names)}.\n"
        yield from _pasted(one, [each for each in made if name in {each.object, "any"}])
    if not one.objects:
        yield from _pasted(one, made)


def _function_row(row: dict[str, Any], operations: Any) -> list[str]:
    takes = [*(f"`{name}`" for name in row["optional"]), *(["any field"] if row["others"] else [])]
    needs = ", ".join(name if " " in name else f"`{name}`" for name in row["required"])
    how: Operation | None = next((how for operation, how in operations.items() if operation == row["operation"]), None)
    return [
        f"`{row['operation']}`",
        needs,
        ", ".join(takes),
        str(row["batch"] or 1) if how else "",
        _unanswered(row, how),
    ]


def _unanswered(row: dict[str, Any], how: Operation | None) -> str:
    if how is None:
        return ""
    repeatable = how.idempotent if how.idempotent is not None else row["operation"] not in {"add", "message"}
    if repeatable or how.idempotency_header:
        return "sent again: twice is the same as once"
    if how.find is not None:
        return "the vendor is asked, where the record has a unique property"
    return "sent again, and may arrive twice" if how.on_unknown == "retry" else "a dead letter, for a person to decide"


def _pasted(one: Manifest, made: list[Snippet]) -> Iterator[str]:
    if not made:
        return
    called = one.title.split()[0]
    yield from (
        "```python",
        "import pq",
        "",
        f'{called} = pq.connect("{called}")',
        *(each.python for each in made),
        "```",
        "",
    )
    commands = [each.command for each in made if each.command]
    if commands:
        yield from ("```bash", *commands, "```", "")


def _errors(one: Manifest) -> Iterator[str]:
    if not one.errors:
        return
    yield from ("## What its answers mean", "")
    yield ANSWERS
    rows = []
    for row in one.errors:
        codes = ", ".join(f"`{code}`" for code in sorted(row.codes or ()))
        wait = "" if row.wait is None else f"{row.wait:g} s, or what the answer asks for"
        rows.append(
            [
                ", ".join(map(str, sorted(row.statuses or ()))),
                codes,
                f"`{row.when}`" if row.when else "",
                row.verdict,
                wait,
            ]
        )
    yield from _table(("status", "code", "when", "verdict", "wait"), rows)


def _default(value: Any) -> str:
    return "" if value in (None, "", {}, []) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _table(columns: tuple[str, ...], rows: Any) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(' '.join(str(cell).split()).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""
