"""Which connectors there are, and how one is made for a connection. The one list of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connectors.contract import Connector
from connectors.engine.manifest import Manifest, load
from connectors.engine.manifest.configuration import check as check_configuration
from connectors.errors import BadConnection, BadManifest

if TYPE_CHECKING:
    from connectors.connections.table import Connection
    from connectors.engine.native import NativeConnector
    from connectors.engine.runner.credentials import SaveSecret
    from connectors.engine.runner.runner import HttpConnector

NAMES: Final = ("email", "hubspot", "http", "odoo", "slack", "sql")
NATIVE: Final = {"email": "EmailConnector", "sql": "SqlConnector"}
"""Connectors that do not speak HTTP: the class in the ``connector.py`` beside the manifest."""
FOLDER: Final = Path(__file__).parent / "saas"


def names() -> tuple[str, ...]:
    return NAMES


def manifest(name: str, version: str | None = None) -> Manifest:
    """The manifest of a connector, the newest or the one of that version. Raises ``BadConnection``, ``BadManifest``."""
    known = _manifests(name)
    if not version:
        return next(iter(known.values()))
    if version not in known:
        raise BadManifest(
            f"connector {name} {version} is not here; there is {', '.join(known)}: "
            "run a full resync (or `writeback connectors upgrade`)"
        )
    return known[version]


def check(name: str, version: str | None, settings: Mapping[str, Any], secret_names: Sequence[str]) -> str:
    """The version to pin for a new connection. Raises ``BadConnection`` with every mistake, ``BadManifest``."""
    chosen = manifest(name, version)
    check_configuration(chosen, settings, secret_names)
    return chosen.version


def build(connection: Connection, secrets: Mapping[str, str], *, save_secret: SaveSecret | None = None) -> Connector:
    """The connector of a connection, at the version it is pinned to. Opens nothing: the first call does.

    ``save_secret(name, value)`` is told when the vendor replaces a refresh token.
    Raises ``BadConnection``, ``BadManifest``.
    """
    pinned, newest = manifest(connection.connector, connection.version), manifest(connection.connector)
    given = (pinned, connection.settings, secrets, connection.limits)
    on_unknown = connection.policy.get("on_unknown")
    if connection.connector in NATIVE:
        return _native_class_of(connection.connector)(*given, on_unknown=on_unknown, newest=newest)
    made = _class_of(connection.connector)
    return made(*given, on_unknown=on_unknown, newest=newest, save_secret=save_secret)


def _native_class_of(name: str) -> type[NativeConnector]:
    made: type[NativeConnector] = getattr(import_module(f"connectors.saas.{name}.connector"), NATIVE[name])
    return made


def _class_of(name: str) -> type[HttpConnector]:
    """The class of a connector: its own where a manifest is not enough."""
    # imported here: the HTTP library is not for listings
    match name:
        case "http":
            from connectors.saas.http.connector import RawConnector  # noqa: PLC0415

            return RawConnector
        case "odoo":
            from connectors.saas.odoo.connector import OdooConnector  # noqa: PLC0415

            return OdooConnector
        case _:
            from connectors.engine.runner.runner import HttpConnector  # noqa: PLC0415

            return HttpConnector


def needed(connection: Connection, object_name: str, operation: str) -> list[str]:
    """The fields without which an event of this connection cannot be delivered, as far as its manifest says."""
    from connectors.engine.manifest.needs import needed as needed_of  # noqa: PLC0415 - for catalogues, not for workers

    chosen = manifest(connection.connector, connection.version)
    spec = chosen.objects.get(object_name)
    how = next((one for name, one in spec.operations.items() if name == operation), None) if spec else None
    unique = connection.settings.get(chosen.unique_setting or "")
    own = unique.get(object_name) if isinstance(unique, dict) else None
    return needed_of(spec, how, own) if spec is not None and how is not None else []


@cache
def _manifests(name: str) -> dict[str, Manifest]:
    """All versions of a connector, the newest first: ``manifest.yaml``, and older ones ``manifest-<version>.yaml``."""
    if name not in NAMES:
        raise BadConnection(f"there is no connector {name!r}; there are {', '.join(NAMES)}")
    loaded = [load(path) for path in (FOLDER / name).glob("manifest*.yaml")]
    loaded.sort(key=lambda one: [int(part) for part in one.version.split(".")], reverse=True)
    return {one.version: one for one in loaded}
