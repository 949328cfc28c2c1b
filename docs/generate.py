"""Writes the reference pages that the code knows better than a person: commands, settings, connectors, metrics.

``python -m docs.generate`` writes them, ``--check`` only says which are out of date (``make check``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from pydantic_core import PydanticUndefined

from docs.connector_pages import connector_pages
from docs.manifest_page import manifest_page
from docs.operating import events_page, metrics_page
from topics import names
from topics.event.result import MAX_PACKED
from topics.names import FOREVER_MS, TopicSpec
from topics.settings import PREFIX, Settings

REFERENCE = Path(__file__).with_name("reference")
GENERATED = "<!-- Written by `make docs`; change the code, not this page. -->\n\n"
WIDTH = 100

TOPIC_PURPOSES = {
    names.DEFAULT.refresh: "Requests to load a connection's data into the warehouse again; key: the connection",
    names.DEFAULT.replies: "The outcomes that somebody waits for, one record each, with the vendor's full answer",
    names.DEFAULT.results: f"The ledger: every outcome, packed, up to {MAX_PACKED} in one record; "
    "and how each connection is",
    names.DEFAULT.dead_letter: "What could not be delivered, with its story; the archive reads it",
}


def settings_page() -> str:
    """Every setting, its default and what it means."""
    rows = "\n".join(
        f"| `{PREFIX}{name.upper()}` | {_default(field.default)} | {_sentence(field.description)} |"
        for name, field in Settings.model_fields.items()
    )
    return f"""# Settings

{GENERATED}Read from the environment, then from `.env`, then from `writeback.toml`, in the folder where the command
runs; the first one found wins. In `writeback.toml` the names have no prefix and are in lower case:
`log = "kafka://localhost:9092"`. Mistakes are reported all at once, each by its variable's name, with exit code 2;
a variable with the prefix `{PREFIX}` that does not exist is one of them.

| variable | default | meaning |
|---|---|---|
{rows}
"""


def topics_page() -> str:
    """Every topic, what is in it and how it is made."""
    ours = names.DEFAULT
    specs = [ours.events_spec("<slug>"), *ours.system_topics]
    purposes = {"writeback.events.<slug>": "The events of one connection; key: `<object>/<key>`", **TOPIC_PURPOSES}
    rows = "\n".join(
        f"| `{spec.name}` | {purposes[spec.name]} | {spec.partitions} | {_retention(spec)} "
        f"| {spec.max_record_bytes:,} |"
        for spec in specs
    )
    return f"""# Topics

{GENERATED}| topic | what is in it | partitions | kept | largest record, bytes |
|---|---|---|---|---|
{rows}

There is one topic of events per connection, so that a destination that is down holds up its own topic and no one
else's. `<slug>` is made from the connection's name when it is added ("Hubspot EU" becomes `hubspot-eu`) and never
changes. One partition is the default: one worker then owns the order, the quota and the breaker of the connection.

`writeback` at the beginning of every name is `WRITEBACK_PREFIX`: several installations share a log when each has a
prefix, and a store, of its own. A prefix is made of letters, digits, dots, dashes and underscores, begins and ends with
a letter or digit, and has none of the words events, refresh, replies, results and dead-letter between its dots.

Topics are created by Writeback with exactly these settings; automatic creation by the broker is neither needed nor
wanted.

Where a topic is kept for ever, Writeback itself deletes what nobody needs any more: an event when it is delivered or
dead-lettered and `WRITEBACK_EVENTS_RETENTION` old (7 days), a dead letter when it is in the store and
`WRITEBACK_LETTERS_RETENTION` old (4 weeks); in the store it stays until `writeback dead-letters purge`. The age is that
of the record's timestamp, and within a partition older records go before younger ones. Replays and parked keys need
nothing of what is deleted. A store that is lost is filled again with the dead letters that their topic still has.

| consumer group | reads | what its commits mean |
|---|---|---|
| `{ours.worker_group}` | `writeback.events.*` | below the offset everything is delivered or dead-lettered |
| `{ours.archive_group}` | `{ours.dead_letter}` | below the offset every letter is in the store |
| `{ours.refresher_group}` | `{ours.refresh}` | below the offset every request is answered, or a dead letter |
"""


def commands_page() -> str:
    """The help of every command, as the command prints it."""
    from writeback import cli  # noqa: PLC0415 - the commands load every room

    sections = "\n".join(
        f"## {' '.join(path)}\n\n```text\n{text}\n```\n" for path, text in _helps(cli, ("writeback",), None)
    )
    return f"""# Commands

{GENERATED}Exit codes: 0 everything done; 1 failed; 2 wrong usage or wrong settings; 3 done, but not for everything;
130 interrupted. Answers go to stdout, remarks and progress to stderr. Into a pipe goes plain text with tabs between
the columns; `--json` prints JSON.

The shell completes commands, options, and the names of your connections, their operations and objects (`writeback emit
hubspot upsert con<Tab>`): put `eval "$(_WRITEBACK_COMPLETE=bash_source writeback)"` into `~/.bashrc`, with
`zsh_source` into `~/.zshrc`; for fish
`_WRITEBACK_COMPLETE=fish_source writeback > ~/.config/fish/completions/writeback.fish`.

{sections}"""


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "topics.md": topics_page,
    "cli.md": commands_page,
    "metrics.md": metrics_page,
    "log-events.md": events_page,
    "manifest.md": lambda: manifest_page(GENERATED),
}


def written() -> dict[Path, str]:
    """Every page, as it should be."""
    pages = {name: page() for name, page in PAGES.items()} | connector_pages(GENERATED)
    return {REFERENCE / name: text for name, text in pages.items()}


def outdated() -> dict[Path, str]:
    """The pages that do not say what the code says now, with what they should say."""
    return {
        path: text for path, text in written().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }


def _helps(
    command: click.Command, path: tuple[str, ...], parent: click.Context | None
) -> Iterator[tuple[tuple[str, ...], str]]:
    # With its own settings, as when it is called: click keeps the help option that it made for the first context.
    width = {"terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=path[-1], parent=parent, **{**command.context_settings, **width})
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _helps(below, (*path, name), context)


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    return "" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _sentence(text: str | None) -> str:
    return (text or "").replace("|", "\\|")


def _retention(spec: TopicSpec) -> str:
    return "for ever" if spec.retention_ms == FOREVER_MS else f"{spec.retention_ms // names.WEEK_MS * 7} days"


def main() -> int:
    """Write the pages, or with ``--check`` name those that are out of date."""
    wrong = outdated()
    if "--check" in sys.argv[1:]:
        for path in wrong:
            click.echo(f"{path.relative_to(Path.cwd())} is out of date: make docs", err=True)
        return int(bool(wrong))
    for path, text in wrong.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
