"""The commands for whoever writes a manifest: lint, try; and upgrade, when there is a new version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.cli.commands import connectors
from connectors.connections.store import Connections
from tests.connectors.test_own_manifests import acme
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.settings import load_settings
from topics.store import open_store

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """``connectors ...`` with a folder of own manifests: exit code, stdout, stderr."""
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("WRITEBACK_CONNECTORS", str(tmp_path / "own"))
    monkeypatch.setenv("WRITEBACK_LOG", f"sqlite:///{tmp_path}/log.db")
    monkeypatch.setenv("WRITEBACK_STORE", f"sqlite:///{tmp_path}/store.db")
    registry.own_folder.cache_clear()

    def typed(*arguments: str) -> tuple[int, str, str]:
        code = run(connectors, CommandContext(), list(arguments))
        return code, *capsys.readouterr()

    yield typed
    registry.own_folder.cache_clear()


def test_lint(said: Said, tmp_path: Path) -> None:
    """Hints leave the exit code at 0; a mistake is named with its line, and the other files are looked at."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(acme())
    bad.write_text(acme().replace("body:", "bdoy:"))
    code, out, _ = said("lint", str(good), str(bad))

    assert code == 1
    assert f"{good}:12: hint: objects.person: no `example`" in out
    assert f"{good}:15: hint: objects.person.operations.add.request: no `succeeds_when`" in out
    assert f"{good}: acme 1.0 loads: person.add" in out
    assert "line 15, objects.person.operations.add.request.bdoy: there is no such field here; did you mean body?" in out
    assert said("lint", str(good))[0] == 0


def requests(printed: str) -> list[dict[str, Any]]:
    return [request for one in json.loads(printed) for request in one["requests"]]


def test_try_shows_the_request(said: Said, tmp_path: Path) -> None:
    """The request as the worker would send it, with the secret's name where the secret goes."""
    path = tmp_path / "acme.yaml"
    path.write_text(acme())
    code, out, err = said("try", str(path), "add", "person", '{"email": "a@b.c"}')

    assert (code, err) == (0, "Nothing was sent.\n")
    assert out.splitlines() == [
        "# add person",
        "POST https://api.acme.example/things",
        "Accept: application/json",
        "Content-Type: application/json",
        "User-Agent: writeback (acme 1.0)",
        "Authorization: Bearer [access_token]",
        "",
        "{",
        '  "email": "a@b.c"',
        "}",
        "",
    ]


def test_try_with_what_is_built_in(said: Said) -> None:
    """A connector by its name: a batch of several, a read, a way in with a token that is fetched, and a refusal."""
    batch = requests(said("try", "hubspot", "delete", "contact", '{"id": 1}', '{"id": 2}', "--json")[1])
    read = requests(said("try", "hubspot", "findone", "contact", '{"email": "a@b.c"}', "--json")[1])
    fetched = requests(said("try", "hubspot", "get", "contact", '{"id": 1}', "--set", "auth=oauth2", "--json")[1])
    code, out, _ = said("try", "hubspot", "update", "contact", '{"phone": "1"}')

    assert [(one["method"], one["body"]) for one in batch] == [("POST", {"inputs": [{"id": "1"}, {"id": "2"}]})]
    assert read[0]["url"].endswith("/contacts/a%40b.c?idProperty=email")
    assert fetched[0]["headers"]["Authorization"] == "Bearer [a token that is fetched]"
    assert (code, out.splitlines()[1]) == (
        1,
        "refused: update contact needs the field id, and the event does not have it",
    )


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (
            ("xero", "add", "item", '{"Code": "CHAIR"}'),
            ["GET /connections", "PUT /api.xro/2.0/Items?summarizeErrors=true"],
        ),
        (
            ("slack", "update", "message", '{"channel": "#QA", "ts": "1.2", "text": "done"}'),
            ["POST /api/conversations.list", "POST /api/chat.update"],
        ),
        (
            ("slack", "add", "file", '{"channel": "C0123456789", "filename": "a.txt", "content": "a"}'),
            [
                "POST /api/files.getUploadURLExternal",
                "POST /upload/v1/[upload]",
                "POST /api/files.completeUploadExternal",
            ],
        ),
        (
            ("hubspot", "add", "note", '{"body": "hi", "associations": {"contact": {"id": 7, "label": "Boss"}}}'),
            ["GET /crm/associations/2026-03/notes/contacts/labels", "POST /crm/objects/2026-03/notes"],
        ),
        (
            ("hubspot", "upsert", "p1_car", '{"searchfield": "vin", "searchterm": "1"}'),
            ["GET /crm-object-schemas/2026-03/schemas/p1_car", "POST /crm/objects/2026-03/p1_car/batch/upsert"],
        ),
        (
            ("odoo", "add", "invoice", '{"customer_id": 7, "invoice_line_ids": [{"name": "x", "quantity": 2}]}'),
            [
                "GET /web/version",
                "POST /json/2/account.move/fields_get",
                "POST /json/2/account.move.line/fields_get",
                "POST /json/2/account.move/create",
            ],
        ),
        (
            ("odoo", "delete", "contact", '{"id": 7}', "--set", "api=jsonrpc"),
            ["POST /jsonrpc", "POST /jsonrpc"],
        ),
        (
            ("google_sheets", "update", "Leads", '{"searchfield": "email", "searchterm": "a@b.c", "name": "A"}'),
            ["GET", "POST", "POST", "POST /v4/spreadsheets/S:batchUpdate"],
        ),
    ],
)
def test_try_shows_what_is_asked_first_and_then_the_write(said: Said, asked: tuple[str, ...], shown: list[str]) -> None:
    """Questions are answered in the vendor's shape, so that the last request is the one that carries the record."""
    needed = {
        "odoo": ("base_url=https://x.odoo.com", "database=x", "username=u"),
        "google_sheets": ("spreadsheet_id=S",),
    }
    given = [part for one in needed.get(asked[0], ()) for part in ("--set", one)]
    code, out, err = said("try", *asked, *given, "--json")

    assert code == 0, err
    made = requests(out)
    lines = [f"{one['method']} /{one['url'].split('/', 3)[3]}" for one in made]
    assert len(lines) == len(shown)
    assert all(line.startswith(start) for line, start in zip(lines, shown, strict=True)), lines
    assert all(one["answer"] for one in made[:-1])
    assert made[-1]["answer"] is None


def test_try_says_why_nothing_would_be_written(said: Said) -> None:
    """What was asked before is shown, and the reason after it."""
    code, out, _ = said("try", "google_sheets", "update", "Leads", '{"email": "a@b.c"}', "--set", "spreadsheet_id=S")
    assert code == 1
    assert "# suppose it answers" in out
    assert out.rstrip().splitlines()[-1].startswith("refused: update needs a key column")


def test_upgrade(said: Said, tmp_path: Path) -> None:
    """Connections of a connector move to its newest version; who cannot is named, and stays as it is."""
    own, store = (
        tmp_path / "own",
        Connections(open_store(load_settings().store), "a-key-for-the-tests", check=registry.check),
    )
    (own / "acme-1.yaml").write_text(acme("1.0"))
    for name in ("one", "two"):
        store.add(name, "acme", secrets={"access_token": "t"})
    store.update("two", settings={"base_url": "https://other.example"})
    newer = acme("2.0", "ticket").replace(
        "settings:\n  base_url: {default: https://api.acme.example}", "settings:\n  host: {default: https://x.example}"
    )
    (own / "acme-2.yaml").write_text(newer.replace("settings.base_url", "settings.host"))

    assert said("upgrade", "acme", "--dry-run")[0] == 3
    assert store.get("one").version == "1.0"
    code, out, _ = said("upgrade", "acme")

    assert code == 3
    assert "one\tacme\t1.0\t2.0\tupgraded" in out
    assert "two\tacme\t1.0\t1.0\ta acme connection: there is no setting 'base_url'" in out
    assert (store.get("one").version, store.get("two").version) == ("2.0", "1.0")
    assert registry.build(store.get("two"), {"access_token": "t"}).version == "1.0"
