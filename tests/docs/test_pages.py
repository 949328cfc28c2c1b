"""The pages keep what they promise: links lead somewhere, commands exist, examples are read as they say."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from topics.event.codec import decode
from topics.event.refresh import BODY as REQUEST_FIELDS
from topics.log import Headers, Partition, Record
from writeback import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
EVENT_FORMAT = (ROOT / "docs/reference/event-format.md").read_text(encoding="utf-8")

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _commands(page: Path) -> Iterator[list[str]]:
    """Every `$ writeback ...` line of a page's console blocks, continuation lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ writeback"):
                words = shlex.split(line.removeprefix("$ "), comments=True)
                yield words[: next((place for place, word in enumerate(words) if word in {"|", ">", "&", "&&"}), None)]


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and picture of a page is a file of the project."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|<img [^>]*src=\"([^\":]+)\"", page.read_text(encoding="utf-8"))

    assert [link or picture for link, picture in targets if not (page.parent / (link or picture)).exists()] == []


@by_page
def test_commands_and_their_options_exist(page: Path) -> None:
    """Every `writeback` command that a page shows is one, with the options that it shows."""
    for words in _commands(page):
        command: click.Command = cli
        context = click.Context(cli, info_name="writeback")
        rest = words[1:]
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(context, rest[0])
            assert found is not None, f"{page.name}: no such command: {' '.join(words)}"
            command, rest = found, rest[1:]
        known = {
            name for parameter in command.get_params(context) for name in (*parameter.opts, *parameter.secondary_opts)
        }
        used = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert used <= known, f"{page.name}: no such option: {' '.join(words)}"


def _record(value: str, headers: Headers = ()) -> Record:
    return Record(Partition("writeback.events.hubspot", 0), 0, 0, None, value.encode(), headers)


def _examples() -> list[Record]:
    (binary,) = re.findall(r"^```text\n(.*?)\n\n(.*?)^```", EVENT_FORMAT, re.MULTILINE | re.DOTALL)
    names = [line.split(": ", 1) for line in binary[0].splitlines()]
    structured, plain = re.findall(r"^```json\n(.*?)^```", EVENT_FORMAT, re.MULTILINE | re.DOTALL)
    return [
        _record(binary[1], tuple((name, value.encode()) for name, value in names)),
        _record(structured, (("content-type", b"application/cloudevents+json"),)),
        _record(plain),
    ]


@pytest.mark.parametrize("record", _examples(), ids=["binary", "structured", "plain"])
def test_the_three_ways_to_write_an_event_say_the_same(record: Record) -> None:
    """The examples of the event format are read as one and the same request."""
    event = decode(record)

    assert (event.operation, event.connection, event.object, event.key, event.fields) == (
        "upsert",
        "hubspot",
        "contact",
        "john@acme.com",
        {"email": "john@acme.com", "firstname": "John"},
    )


def test_every_field_of_an_event_is_explained() -> None:
    """The tables of the page name every field and option of an event, and every field of a request for a refresh."""
    explained = set(re.findall(r"^\| `(\w+)` \|", EVENT_FORMAT, re.MULTILINE))
    schema = json.loads(json.dumps(decode(_examples()[2]).model_json_schema()))
    fields = set(schema["properties"]) - {"replay"} | set(schema["$defs"]["Options"]["properties"])

    assert fields | REQUEST_FIELDS == explained
