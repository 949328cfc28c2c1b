"""``writeback dead-letters``: what could not be delivered, and its way back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from dead_letter.cli.context import current_store, ids_argument, mark_found, now, who
from dead_letter.cli.options import STATES, chosen, filter_options, reason_option
from dead_letter.cli.parked import parked
from dead_letter.cli.purge import purge
from dead_letter.cli.replay import discard, replay
from dead_letter.cli.skip import skip
from topics.cli.console import json_option, note, pass_context, print_json, print_listing, progress, say, when
from topics.cli.context import CommandContext


@click.group("dead-letters")
def dead_letters() -> None:
    """What could not be delivered: list, show, edit, replay, discard, purge."""


@dead_letters.command("list")
@filter_options
@reason_option
@click.option("--state", type=click.Choice(STATES), default="open", show_default=True)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--before", metavar="ID", help="The next page: the last id of the one before.")
@json_option
@pass_context
def list_letters(
    context: CommandContext, /, *, state: str, limit: int, before: str | None, as_json: bool, **said: Any
) -> None:
    """Letters, the newest first."""
    from dead_letter.cli.page import as_json as told  # noqa: PLC0415
    from dead_letter.cli.page import line  # noqa: PLC0415

    store = current_store(context)
    filters = chosen(now(), state=state, **said)
    letters = store.list(filters, limit=limit, before=before)
    if as_json:
        print_json([told(letter) for letter in letters])
        return
    print_listing([line(letter) for letter in letters], as_json=False, empty=f"No dead letters ({state}).")
    total = store.count(filters)
    if letters and (before is not None or total > len(letters)):
        note(f"{len(letters)} of {total:,}; the next page: --before {letters[-1].id}")


@dead_letters.command()
@filter_options
@reason_option
@click.option("--state", type=click.Choice(STATES), default="open", show_default=True)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@json_option
@pass_context
def groups(context: CommandContext, /, *, state: str, limit: int, as_json: bool, **said: Any) -> None:
    """Letters by problem: how many, since when, and what it says."""
    found = [asdict(group) for group in current_store(context).groups(chosen(now(), state=state, **said), limit=limit)]
    if not as_json:
        for group in found:
            group.update(first_seen=when(group["first_seen"]), last_seen=when(group["last_seen"]))
            group["sample"] = " ".join(group["sample"].split())[:80]
    columns = ("fingerprint", "count", "connection", "verdict", "first_seen", "last_seen", "sample")
    print_listing(found, as_json=as_json, columns=columns, empty=f"No dead letters ({state}).")


@dead_letters.command()
@click.argument("letter", metavar="ID")
@json_option
@pass_context
def show(context: CommandContext, /, *, letter: str, as_json: bool) -> None:
    """One letter: its whole story, and what to do next. The beginning of its id is enough."""
    from dead_letter.cli.page import page, whole_as_json  # noqa: PLC0415
    from dead_letter.replay.standing import standing  # noqa: PLC0415

    store = current_store(context)
    stored = store.get(letter)
    trail, stands = store.trail(stored.summary.id), standing(store, stored.summary)
    holder = store.claims.holders([stored.summary.id]).get(stored.summary.id)
    if as_json:
        print_json({**whole_as_json(stored, trail), **asdict(stands), "claimed": holder and str(holder)})
        return
    say(page(stored, trail, stands))
    if holder is not None:
        note(f"Now: {holder}")


@dead_letters.command()
@click.argument("letter", metavar="ID")
@click.option(
    "--set",
    "put",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A text field stays text; of any other VALUE is JSON, or else text. 1.20 for a new field is text, too.",
)
@click.option("--set-json", "put_json", multiple=True, metavar="FIELD=JSON", help="The same, and VALUE is always JSON.")
@click.option("--unset", "drop", multiple=True, metavar="FIELD", help="Take a field out.")
@click.option("--fields", metavar="JSON", help="All fields anew, as a JSON object.")
@click.option("--operation", help="Another operation.")
@click.option("--object", "object_name", help="Another kind of record.")
@click.option("--key", help="Another record.")
@click.option("--revert", is_flag=True, help="Take the edit back.")
@json_option
@pass_context
def edit(
    context: CommandContext,
    /,
    *,
    letter: str,
    put: tuple[str, ...],
    put_json: tuple[str, ...],
    revert: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Change what a replay of the letter will send; the original is kept."""
    from dead_letter.errors import BadEdit  # noqa: PLC0415
    from dead_letter.replay.editing import current, diff, edit_of  # noqa: PLC0415

    changes = [put, put_json, *said.values()]
    if revert and any(changes):
        raise click.UsageError("--revert takes the edit back; no other change goes with it")
    if not revert and not any(change or change == "" for change in changes):
        raise click.UsageError("say what to change: --set, --set-json, --unset, --fields, --operation, ... or --revert")
    store = current_store(context)
    mark_found(context, store, [store.get(letter).summary])
    stored = store.get(letter)
    if stored.summary.state != "open":
        raise BadEdit(f"letter {stored.summary.id} is {stored.summary.state}; only an open one can be edited")
    said["fields"] = _object(said["fields"])
    before = current(stored)
    fields = before.fields if before else {}
    plain = {name: _like(fields.get(name), value) for name, value in map(_assignment, put)}
    typed = {name: _json(value, f"--set-json {name}") for name, value in map(_assignment, put_json)}
    after = None if revert else edit_of(stored, put=plain | typed, **said)
    store.edit(stored.summary.id, after, seen=stored.summary.edited, who=who(), now=now())
    edited = current(store.get(stored.summary.id))
    if as_json:
        print_json({"id": stored.summary.id, "before": before and asdict(before), "after": edited and asdict(edited)})
        return
    say(diff(before, edited) or "Nothing is different.")
    note(f"Send it: writeback dead-letters replay {stored.summary.id[:12]}")


@dead_letters.command("note")
@click.argument("letter", metavar="ID")
@click.argument("text")
@pass_context
def note_letter(context: CommandContext, /, *, letter: str, text: str) -> None:
    """Write a line under a letter, for whoever looks at it next."""
    store = current_store(context)
    store.note(store.get(letter).summary.id, text, who=who(), now=now())


@dead_letters.command()
@ids_argument
@filter_options
@reason_option
@click.option("--state", type=click.Choice(STATES), default="all", show_default=True)
@click.option(
    "--output", type=click.File("w", encoding="utf-8", atomic=True), default="-", help="A file; default: stdout."
)
@pass_context
def export(context: CommandContext, /, *, ids: tuple[str, ...], state: str, output: Any, **said: Any) -> None:
    """Letters as JSON, one a line, with everything in them (bytes in base64)."""
    from dead_letter.cli.page import whole_as_json  # noqa: PLC0415
    from topics.event import exact_json  # noqa: PLC0415

    store = current_store(context)
    filters = chosen(now(), state=state, ids=[store.get(letter).summary.id for letter in ids] or None, **said)
    with progress("Exporting", store.count(filters)) as advance:
        for letter in store.in_order(filters):
            for stored in store.load([letter.id]):  # none, when it was purged meanwhile
                output.write(exact_json.shown(whole_as_json(stored, store.trail(letter.id))) + "\n")
            advance(1)


dead_letters.add_command(replay)
dead_letters.add_command(discard)
dead_letters.add_command(parked)
dead_letters.add_command(purge)
dead_letters.add_command(skip)


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} is not FIELD=VALUE")
    return name, value


def _json(text: str, option: str) -> Any:
    from topics.event import exact_json  # noqa: PLC0415 - help needs none of it

    try:
        return exact_json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{option} is not JSON: {error}") from error


def _like(before: Any, text: str) -> Any:
    """The value that was typed for a field: text where it was text, JSON where it is that, and else text.

    A number only where the field was one, or where it writes back as it was typed: not a new version 1.20 or 1e6.
    """
    from decimal import Decimal  # noqa: PLC0415 - help needs none of it

    from topics.event import exact_json  # noqa: PLC0415

    if isinstance(before, str):
        return text
    try:
        value = exact_json.loads(text)
    except ValueError:
        return text
    is_number, was_number = (isinstance(one, int | float | Decimal) for one in (value, before))
    return text if is_number and not was_number and exact_json.shown(value) != text else value


def _object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    value = _json(text, "--fields")
    if not isinstance(value, dict):
        raise click.BadParameter("--fields is not a JSON object")
    return value
