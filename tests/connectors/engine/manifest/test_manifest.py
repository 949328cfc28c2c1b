"""Manifests: what is wrong with one is said with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from connectors.engine.manifest import load, parse
from connectors.engine.manifest.__main__ import schema
from connectors.errors import BadManifest

ROOT = Path(__file__).parents[4]
MANIFESTS = sorted((ROOT / "connectors/saas").glob("*/manifest*.yaml"))

GOOD: dict[str, Any] = {
    "name": "acme",
    "version": "1.0",
    "title": "Acme",
    "settings": {"token": {"secret": True}, "host": {"default": "https://api.acme.example"}},
    "base_url": "{settings.host}",
    "auth": [{"type": "bearer", "token": "token"}],
    "probe": {"method": "GET", "path": "/me"},
    "objects": {
        "thing": {
            "variables": {"type": "things"},
            "operations": {"add": {"request": {"path": "/{object.type}", "body": {"thing": "$fields"}, "id": "id"}}},
        }
    },
}


def changed(place: str, value: Any) -> str:
    body = yaml.safe_load(yaml.safe_dump(GOOD))
    *parents, last = place.split("/")
    part = body
    for name in parents:
        part = part[int(name) if name.isdigit() else name]
    part[last] = value
    return str(yaml.safe_dump(body))


def test_the_good_one_loads() -> None:
    """A small manifest is a whole connector."""
    assert parse(yaml.safe_dump(GOOD), "acme").functions() == ["thing.add"]


REQUEST = "objects/thing/operations/add/request"


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("colour", "red", "colour: there is no such field here"),
        ("version", 1.0, 'version: is a number; write it in quotes: "1.0"'),
        ("probe", {"method": "GET"}, "probe.path: is missing"),
        (
            "objects/thing/unqiue",
            "email",
            "did you mean unique? (there are aliases, example, operations, read",
        ),
        (f"{REQUEST}/sucess", [200], "did you mean success?"),
        ("auth", [{"type": "bearer", "tokn": "token"}], "did you mean token? (there are token, type)"),
        ("version", "one", "version: "),
        ("auth", [], "auth: "),
        ("auth", [{"type": "bearer", "token": "tokn"}], "no setting 'tokn'"),
        ("auth", [{"type": "magic"}], "auth.0"),
        ("base_url", "{settings.hots}", "no setting 'hots'"),
        ("errors", [{"status": 400, "verdict": "maybe"}], "errors.0.verdict"),
        ("errors", [{"status": 4_000, "verdict": "down"}], "errors.0.status"),
        ("error", {"codes": ["a.[b"]}, "error.codes.0: 'a.[b' is not JMESPath"),
        ("fails_when", "ok !=", "fails_when: "),
        (f"{REQUEST}/body", "$feilds", "request.body: '$feilds' is not a placeholder"),
        (f"{REQUEST}/body", {"a": "$settings.nope"}, "no setting 'nope'"),
        (f"{REQUEST}/body", {"a": "$unique"}, "needs a name"),
        (f"{REQUEST}/path", "/{a b}", "request.path: {a b} is neither"),
        (f"{REQUEST}/path", "/{object.kind}", "no variable 'kind'"),
        (f"{REQUEST}/method", "FETCH", "request.method"),
        ("objects/thing/operations/add", {}, "objects.thing.operations.add: needs a request, a batch, or both"),
        ("objects/thing/operations/explode", {}, "objects.thing.operations.explode"),
        ("unique_setting", "nope", "no setting 'nope'"),
        ("objects/thing/aliases", {"name": ["only"]}, "objects.thing.aliases.name"),
        ("objects/thing/aliases", {"a": "b", "b": "c"}, "objects.thing: aliases.a: 'b' is itself an alias"),
    ],
)
def test_mistakes_are_named_with_their_place(place: str, value: Any, words: str) -> None:
    """A wrong manifest says what is wrong and where, and which file."""
    with pytest.raises(BadManifest) as caught:
        parse(changed(place, value), "acme.yaml")

    assert words in str(caught.value)
    assert "acme.yaml" in str(caught.value)


def test_the_line_of_a_mistake() -> None:
    """A mistake is said with its line, also where it stands in a part that anchors and merges brought there."""
    text = """name: acme
version: "1.0"
x-add: &add
  request: {path: /things, boddy: $fields}
objects:
  thing:
    operations: {add: *add}
  other:
    operations:
      update:
        <<: *add
        kee: id
"""
    with pytest.raises(BadManifest) as caught:
        parse(text, "acme.yaml")

    lines = [line.strip().partition(":")[0] for line in str(caught.value).splitlines()]
    assert lines == [
        "acme.yaml does not load",
        "line 1, title",
        "line 4, objects.other.operations.update.request.boddy",
        "line 4, objects.thing.operations.add.request.boddy",
        "line 12, objects.other.operations.update.kee",
    ]


def test_a_name_that_is_there_twice() -> None:
    """YAML's readers take the second without a word; here both lines are named."""
    with pytest.raises(BadManifest, match=r"line 3, name: is said twice \(first in line 1\)"):
        parse("name: acme\ntitle: Acme\nname: other\n", "acme.yaml")


@pytest.mark.parametrize("text", ["a: [", "- a", "", "a: *nowhere"])
def test_what_is_no_manifest_at_all(text: str) -> None:
    """Text that is not a YAML mapping is refused with the file's name."""
    with pytest.raises(BadManifest, match=r"acme\.yaml"):
        parse(text, "acme.yaml")


def test_a_missing_file(tmp_path: Path) -> None:
    """A file that is not there is a bad manifest and not a traceback."""
    with pytest.raises(BadManifest, match=r"manifest\.yaml"):
        load(tmp_path / "manifest.yaml")


def test_the_published_schema_is_current() -> None:
    """docs/reference/manifest.schema.json is what the model says."""
    published = (ROOT / "docs/reference/manifest.schema.json").read_text()

    assert published == schema(), "run: python -m connectors.engine.manifest > docs/reference/manifest.schema.json"


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_every_manifest_fits_the_schema(path: Path) -> None:
    """An editor that uses the schema agrees with the loader."""
    import json  # noqa: PLC0415

    Draft202012Validator(json.loads(schema())).validate(yaml.safe_load(path.read_text()))

    assert load(path).name == path.parent.name
