"""A user's own manifests, in the folder that WRITEBACK_CONNECTORS names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors import registry
from connectors.engine.functions import unknown_function
from connectors.errors import BadConnection, BadManifest, UnknownFunction
from topics.event.event import Operation

ACME = """name: acme
version: "{version}"
title: Acme Desk
settings:
  base_url: {{default: https://api.acme.example}}
  access_token: {{secret: true, required: true}}
base_url: "{{settings.base_url}}"
auth:
  - {{type: bearer, token: access_token}}
probe: {{method: GET, path: /me}}
objects:
  {kind}:
    operations:
      add:
        request: {{path: /things, body: $fields, id: id}}
"""


def acme(version: str = "1.0", kind: str = "person") -> str:
    return ACME.format(version=version, kind=kind)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder; the registry knows it."""
    monkeypatch.setenv("WRITEBACK_CONNECTORS", str(tmp_path))
    registry.own_folder.cache_clear()
    yield tmp_path
    registry.own_folder.cache_clear()


def test_an_own_manifest_is_a_connector(folder: Path) -> None:
    """It is listed behind ours, found by its name, and a new connection is pinned to its version."""
    (folder / "any-file-name.yaml").write_text(acme())

    assert registry.names() == (*registry.NAMES, "acme")
    assert registry.manifest("acme").title == "Acme Desk"
    assert registry.check("acme", None, {}, ["access_token"]) == "1.0"


def test_two_versions_side_by_side(folder: Path) -> None:
    """The newest by its numbers is taken, the other by its version; what only the newest has is said so."""
    (folder / "acme.yaml").write_text(acme("1.10", "ticket"))
    (folder / "old").mkdir()
    (folder / "old" / "acme.yaml").write_text(acme("1.9"))

    newest, old = registry.manifest("acme"), registry.manifest("acme", "1.9")

    assert (newest.version, old.functions()) == ("1.10", ["person.add"])
    assert unknown_function("ticket.add", old, newest) == (
        "unknown function ticket.add: connector acme 1.9 has person.add; 1.10 has it: "
        "run a full resync (or `writeback connectors upgrade acme`)"
    )


def test_a_further_version_of_ours(folder: Path) -> None:
    """An own manifest may carry on where ours ends; the version that is built in stays what it is."""
    ours = (registry.FOLDER / "slack" / "manifest.yaml").read_text()
    (folder / "slack.yaml").write_text(ours)
    (folder / "slack-next.yaml").write_text(ours.replace('version: "1.0"', 'version: "9.1"'))

    assert registry.manifest("slack").version == "9.1"
    assert registry.manifest("slack", "1.0").version == "1.0"
    assert [one.mistake.partition(": ")[2] for one in registry.own() if one.mistake] == [
        "slack 1.0 is built in; give this one another version, or another name"
    ]


def test_a_broken_one_stops_no_other(folder: Path) -> None:
    """Its own connector says the file, the line and the mistake; all others work."""
    (folder / "acme.yaml").write_text(acme())
    (folder / "desk.yaml").write_text(acme().replace("name: acme", "name: desk").replace("probe:", "prob:"))

    assert registry.names() == (*registry.NAMES, "acme")
    assert registry.manifest("slack").name == "slack"
    with pytest.raises(BadManifest, match=r"desk\.yaml does not load:\n  line 10, prob: .* did you mean probe\?"):
        registry.manifest("desk")
    with pytest.raises(BadConnection, match=r"no connector 'nope'; there are .*, acme"):
        registry.manifest("nope")


def test_a_mended_file_is_read_again(folder: Path) -> None:
    """A worker that runs sees the file as it is now."""
    path = folder / "acme.yaml"
    path.write_text("name: acme\n")
    with pytest.raises(BadManifest, match="version: is missing"):
        registry.manifest("acme")
    path.write_text(acme("2.0"))

    assert registry.manifest("acme").version == "2.0"


def test_the_same_version_twice(folder: Path) -> None:
    """Two files of one version: the first counts, and the second is named."""
    (folder / "a.yaml").write_text(acme(kind="first"))
    (folder / "b.yaml").write_text(acme(kind="second"))

    assert registry.manifest("acme").functions() == ["first.add"]
    assert [one.mistake for one in registry.own() if one.mistake] == [
        f"{folder}/b.yaml: acme 1.0 is in {folder}/a.yaml already; give one of them another version"
    ]


def test_a_protocol_that_needs_code(folder: Path) -> None:
    """Only HTTP is spoken by a manifest alone."""
    (folder / "mail.yaml").write_text('name: mail\nversion: "1.0"\ntitle: Mail\nprotocol: smtp\n')

    with pytest.raises(BadManifest, match="protocol smtp needs code; a manifest alone is enough for http"):
        registry.manifest("mail")


def test_any_kind_of_record(folder: Path) -> None:
    """An object that is called any stands for every other name, in an own manifest as in ours."""
    (folder / "acme.yaml").write_text(acme(kind="any"))
    made = registry.class_of("acme")(registry.manifest("acme"), {}, {"access_token": "x"})

    assert made.function("gadget", Operation.ADD).object == "gadget"
    with pytest.raises(UnknownFunction):
        made.function("gadget", Operation.DELETE)
