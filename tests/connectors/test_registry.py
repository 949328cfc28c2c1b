"""The list of connectors, and making one for a connection."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from connectors.connections.table import Connection
from connectors.contract import Connector
from connectors.engine.runner.runner import HttpConnector
from connectors.errors import BadConnection, BadManifest, UnknownFunction
from connectors.registry import FOLDER, build, check, manifest, names
from tests.conformance.connectors import ConnectorContract
from tests.conformance.native import NativeContract
from topics.event.event import Operation


def connection(connector: str = "hubspot", **changed: Any) -> Connection:
    values: dict[str, Any] = {
        "id": 1,
        "slug": "acme",
        "name": "Acme",
        "connector": connector,
        "version": "1.0",
        "settings": {},
        "limits": {},
        "policy": {},
        "partitions": 1,
        "state": "active",
        "state_reason": "",
        "revision": 1,
    }
    return Connection(**{**values, **changed})


@pytest.mark.parametrize("name", names())
def test_every_connector_keeps_the_contract(name: str) -> None:
    """Every name in the registry has a conformance class of its own in tests/connectors/saas/test_<name>.py."""
    module = importlib.import_module(f"tests.connectors.saas.test_{name}")
    contract: type = ConnectorContract if manifest(name).protocol == "http" else NativeContract
    classes: list[Any] = [one for _, one in inspect.getmembers(module, inspect.isclass) if issubclass(one, contract)]

    assert [one for one in classes if one is not contract and one.name == name]


def test_every_folder_is_registered() -> None:
    """A folder with a manifest is in the list."""
    assert {path.parent.name for path in FOLDER.glob("*/manifest.yaml")} == set(names())


def test_build() -> None:
    """A connection's limits and policy are its connector's; what it does not say is the manifest's."""
    made: Connector = build(
        connection(limits={"rate": 10}, policy={"on_unknown": {"add": "retry"}}), {"access_token": "x"}
    )

    assert (made.name, made.version) == ("hubspot", "1.0")
    assert (made.limits.rate, made.limits.concurrency) == (10, 32)
    assert made.function("contact", Operation.ADD).on_unknown == "retry"
    assert made.function("contact", Operation.UPDATE).on_unknown == "dead_letter"


def test_check() -> None:
    """A new connection is pinned to the newest version, and its settings are looked at."""
    assert check("slack", None, {}, ["access_token"]) == "1.0"
    with pytest.raises(BadConnection, match="bearer needs access_token or webhook needs webhook_url"):
        check("slack", None, {}, [])
    with pytest.raises(BadConnection, match=f"there are {', '.join(names())}"):
        check("zendesk", None, {}, [])
    with pytest.raises(BadManifest, match=r"slack 0\.9 is not here; there is 1\.0"):
        check("slack", "0.9", {}, ["access_token"])


def test_a_function_that_only_a_newer_version_has() -> None:
    """The message says which version has it and how to get there."""
    newest = manifest("hubspot")
    objects = {name: spec for name, spec in newest.objects.items() if name != "ticket"}
    old = newest.model_copy(update={"version": "0.9", "objects": objects})
    made = HttpConnector(old, {}, {"access_token": "x"}, newest=newest)

    with pytest.raises(
        UnknownFunction, match=r"unknown function ticket\.add.*hubspot 0\.9 has .*1\.0 has it: run a full"
    ):
        made.function("ticket", Operation.ADD)
