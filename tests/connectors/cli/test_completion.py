"""What the shell completes when Tab is pressed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from connectors.connections.store import Connections
from topics.cli.context import CommandContext
from topics.settings import load_settings
from topics.store import open_store
from writeback import cli


@pytest.fixture(autouse=True)
def _one_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRITEBACK_STORE", f"sqlite:///{tmp_path}/store.db")
    engine = open_store(load_settings().store)
    Connections(engine).add("My Hub", "hubspot", secrets={"access_token": "env:X"}, version="1.0")
    engine.dispose()


@pytest.mark.parametrize(
    ("typed", "begun", "offered"),
    [
        (["emit"], "", ["My Hub"]),
        (["emit", "My Hub"], "up", ["update", "upsert"]),
        (["emit", "My Hub", "upsert"], "c", ["contact", "company"]),
        (["connections", "test"], "my", ["My Hub"]),
        (["connections", "add", "x", "--connector"], "sl", ["slack"]),
        (["connectors", "show"], "hub", ["hubspot"]),
        (["connectors", "snippet"], "", ["My Hub", "email"]),
        (["connectors", "snippet", "slack", "update"], "", ["message"]),
        (["import", "x.csv", "--connection", "My Hub", "--object"], "de", ["deal"]),
        (["refresh"], "M", ["My Hub"]),
        (["emit", "nobody"], "", []),
    ],
)
def test_names_are_completed(typed: list[str], begun: str, offered: list[str]) -> None:
    """Connections, connectors, and of what was typed before its operations and objects."""
    completing = ShellComplete(cli, {"obj": CommandContext()}, "writeback", "_WRITEBACK_COMPLETE")
    found = [item.value for item in completing.get_completions(typed, begun)]

    assert [name for name in found if name in offered] == offered
    assert found == offered or not begun


def test_settings_that_are_wrong_complete_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tab is no place for an error."""
    monkeypatch.setenv("WRITEBACK_STORE", "nowhere")
    completing = ShellComplete(cli, {"obj": CommandContext()}, "writeback", "_WRITEBACK_COMPLETE")

    assert completing.get_completions(["emit"], "") == []
