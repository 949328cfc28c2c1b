"""Which connectors there are, and how one is made for a connection. The one list of them all.

To those of this project come the user's own: the manifests in the folder that ``WRITEBACK_CONNECTORS`` names. An own
manifest with the name of one of ours is a further version of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from connectors.contract import Connector
from connectors.engine.manifest import Manifest, load
from connectors.engine.manifest.configuration import check as check_configuration
from connectors.engine.manifest.folder import OwnManifest, own_manifests
from connectors.errors import BadConnection, BadManifest
from topics.settings import load_settings

if TYPE_CHECKING:
    from connectors.connections.store import Connections
    from connectors.connections.table import Connection
    from connectors.connections.tokens import ConnectionTokens
    from connectors.engine.manifest.model import ObjectSpec
    from connectors.engine.native import NativeConnector
    from connectors.engine.runner.runner import HttpConnector

NAMES: Final = ("email", "google_sheets", "hubspot", "http", "odoo", "salesforce", "slack", "sql", "xero")
NATIVE: Final = {"email": "EmailConnector", "sql": "SqlConnector"}
"""Connectors that do not speak HTTP: the class in the ``connector.py`` beside the manifest."""
OWN_CLASS: Final = {
    "google_sheets": "GoogleSheetsConnector",
    "hubspot": "HubSpotConnector",
    "http": "RawConnector",
    "odoo": "OdooConnector",
    "salesforce": "SalesforceConnector",
    "slack": "SlackConnector",
    "xero": "XeroConnector",
}
"""The same for connectors that speak HTTP and need more than a manifest."""
FOLDER: Final = Path(__file__).parent / "saas"


def names() -> tuple[str, ...]:
    """Ours, and behind them the user's own that can be used."""
    return (*NAMES, *sorted({one.name for one in own() if one.manifest is not None} - {*NAMES}))


@cache
def own_folder() -> Path | None:
    """Where the user's own manifests are; read from the settings once, like all of them. Raises ``SettingsError``."""
    return load_settings().connectors


def own() -> list[OwnManifest]:
    """The user's own manifests as they are now, and those that cannot be used, with the reason."""
    folder = own_folder()
    return [] if folder is None else [*_usable(own_manifests(folder.expanduser()))]


def _usable(found: Iterator[OwnManifest]) -> Iterator[OwnManifest]:
    """Of one version there is one manifest: ours, else that of the first file."""
    taken: dict[tuple[str, str], str] = {}
    for one in found:
        if one.manifest is None:
            yield one
            continue
        which, mistake = (one.name, one.manifest.version), ""
        if one.name in NAMES and which[1] in _ours(one.name):
            mistake = f"{one.path}: {one.name} {which[1]} is built in; give this one another version, or another name"
        elif which in taken:
            mistake = (
                f"{one.path}: {one.name} {which[1]} is in {taken[which]} already; give one of them another version"
            )
        elif one.manifest.protocol != "http" and one.name not in NATIVE:
            mistake = f"{one.path}: protocol {one.manifest.protocol} needs code; a manifest alone is enough for http"
        taken.setdefault(which, str(one.path))
        yield replace(one, manifest=None, mistake=mistake) if mistake else one


def manifest(name: str, version: str | None = None) -> Manifest:
    """The manifest of a connector, the newest or the one of that version. Raises ``BadConnection``, ``BadManifest``."""
    known = _manifests(name)
    if not version:
        return next(iter(known.values()))
    if version not in known:
        broken = "".join(f"\n{one.mistake}" for one in own() if one.name == name and one.mistake)
        raise BadManifest(
            f"connector {name} {version} is not here; there is {', '.join(known)}: put the manifest of {version} back, "
            f"or run a full resync or `writeback connectors upgrade {name}`, which load the newest{broken}"
        )
    return known[version]


def versions(name: str) -> list[str]:
    """All that there are of a connector, the newest first. Raises ``BadConnection``, ``BadManifest``."""
    return list(_manifests(name))


def check(name: str, version: str | None, settings: Mapping[str, Any], secret_names: Sequence[str]) -> str:
    """The version to pin for a new connection. Raises ``BadConnection`` with every mistake, ``BadManifest``."""
    chosen = manifest(name, version)
    check_configuration(chosen, settings, secret_names)
    return chosen.version


def build(connection: Connection, secrets: Mapping[str, str], *, tokens: ConnectionTokens | None = None) -> Connector:
    """The connector of a connection, at the version it is pinned to. Opens nothing: the first call does.

    ``tokens`` shares access tokens with other processes; without it a refresh token that the vendor replaces is lost.
    Raises ``BadConnection``, ``BadManifest``.
    """
    pinned, newest = manifest(connection.connector, connection.version), manifest(connection.connector)
    given = (pinned, connection.settings, secrets, connection.limits)
    on_unknown = connection.policy.get("on_unknown")
    if connection.connector in NATIVE:
        return _native_class_of(connection.connector)(*given, on_unknown=on_unknown, newest=newest)
    made = class_of(connection.connector)
    return made(*given, on_unknown=on_unknown, newest=newest, tokens=tokens)


def build_to_ask(connections: Connections, connection: Connection) -> Connector:
    """One that says which functions and keys there are: its secrets are not read, and nothing is called with it."""
    return build(connection, dict.fromkeys(connections.secret_names(connection), "unread"))


def _native_class_of(name: str) -> type[NativeConnector]:
    made: type[NativeConnector] = getattr(import_module(f"connectors.saas.{name}.connector"), NATIVE[name])
    return made


def class_of(name: str) -> type[HttpConnector]:
    """The class of a connector that speaks HTTP: its own where a manifest is not enough."""
    # imported here: the HTTP library is not for listings
    if name in OWN_CLASS:
        own_class: type[HttpConnector] = getattr(import_module(f"connectors.saas.{name}.connector"), OWN_CLASS[name])
        return own_class
    from connectors.engine.runner.runner import HttpConnector  # noqa: PLC0415

    return HttpConnector


def kind(connection: Connection, object_name: str) -> tuple[ObjectSpec | None, bool]:
    """What can be done with records of this name, None where there is none of it; and whether their fields have a case.

    Many connectors have any kind of record: a sheet, an sObject, a model, a table.
    """
    name = connection.connector
    made: type[HttpConnector | NativeConnector] = _native_class_of(name) if name in NATIVE else class_of(name)
    return made.kind(manifest(name, connection.version), object_name), not made.any_case


def _manifests(name: str) -> dict[str, Manifest]:
    """All versions of a connector, the newest first."""
    mine = [one for one in own() if one.name == name]
    if name not in NAMES and not mine:
        raise BadConnection(f"there is no connector {name!r}; there are {', '.join(names())}")
    loaded = [*(_ours(name).values() if name in NAMES else ()), *(one.manifest for one in mine if one.manifest)]
    if not loaded:
        raise BadManifest("\n".join(one.mistake for one in mine))
    loaded.sort(key=lambda one: [int(part) for part in one.version.split(".")], reverse=True)
    return {one.version: one for one in loaded}


@cache
def _ours(name: str) -> dict[str, Manifest]:
    """The versions that come with this project: ``manifest.yaml``, and older ones ``manifest-<version>.yaml``."""
    return {one.version: one for one in map(load, (FOLDER / name).glob("manifest*.yaml"))}
