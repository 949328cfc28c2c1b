"""What a connection cannot do, said before the first event: an upsert without a unique property, a missing field.

One answer for all ways in: a script's line, ``writeback emit``, an import, a trigger.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection
from dataclasses import dataclass

from connectors import registry
from connectors.connections.table import Connection
from connectors.engine.functions import with_synonyms
from connectors.engine.manifest.auth import Webhook
from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.manifest.needs import UNIQUE, needed, reads
from connectors.engine.manifest.requests import Operation
from connectors.engine.template.placeholders import fields_named
from topics.event.event import Operation as OperationName

SEARCH = frozenset({"searchfield", "searchterm"})
"""What a script says instead of a unique property's name."""
SELECTS = ("properties", "fields")


@dataclass(frozen=True, slots=True)
class Identity:
    """``by_unique``: the function finds its record by a unique property; ``name``: which, where it is known.

    ``instead``: a field that an event may have in its place.
    """

    by_unique: bool = False
    name: str | None = None
    instead: str | None = None


def identity(connection: Connection, object_name: str, operation: str) -> Identity:
    """How a function of the connection finds its record."""
    manifest, spec, how, _ = _function(connection, object_name, operation)
    if spec is None or how is None or UNIQUE not in needed(spec.model_copy(update={"unique": None}), how):
        return Identity()
    name = _own_unique(connection, manifest, object_name) or spec.unique
    return Identity(by_unique=True, name=name, instead=how.instead_of_unique)


def lacking(connection: Connection, object_name: str, operation: str, sent: Collection[str]) -> str | None:
    """Why no event with these fields can be delivered; None when one can, as far as the manifest says."""
    manifest, spec, how, cased = _function(connection, object_name, operation)
    if spec is None or how is None:
        return None
    unique = _own_unique(connection, manifest, object_name)
    names = set(sent)
    for alias in names & spec.aliases.keys():
        meant = spec.aliases[alias]
        names |= {meant} if isinstance(meant, str) else {*meant}
    known = identity(connection, object_name, operation)
    found = known.by_unique and (names >= SEARCH or known.instead in names)
    spell = str if cased else str.casefold
    there = {spell(name) for name in names}
    stood_for = _stood_for(connection, manifest)
    missing = [
        name
        for name in needed(spec, how, unique)
        if name not in stood_for and spell(name) not in there and not (found and name in {UNIQUE, known.name})
    ]
    if UNIQUE in missing:
        return no_unique(connection, object_name, operation)
    return f"{operation} {object_name} needs {', '.join(missing)}" if missing else None


@dataclass(frozen=True, slots=True)
class Reading:
    """``kinds``: those of get, list and findone that there are, by what they are asked with.

    ``selects``: the name under which a read is told which fields to bring, where it does not bring all.
    """

    kinds: frozenset[str]
    selects: str | None = None


def reading(connection: Connection, object_name: str) -> Reading:
    """How one record of a kind is read; no kinds: it cannot be read."""
    spec, _ = registry.kind(connection, object_name)
    if spec is None:
        return Reading(frozenset())
    one = spec.read.get or spec.read.find_unique or spec.read.find if spec.read is not None else None
    takes = frozenset() if one is None else fields_named(one.params, one.body)
    return Reading(frozenset(reads(spec)), next((name for name in SELECTS if name in takes), None))


def no_unique(connection: Connection, object_name: str, operation: str) -> str:
    """What to say where a unique property is needed and nobody has named one."""
    manifest = registry.manifest(connection.connector, connection.version)
    reason = (
        f"{operation} {object_name} needs a property whose values no two records share, and {manifest.title} has none "
        "of its own for it"
    )
    if manifest.unique_setting is None:
        return f"{reason}: give searchfield and searchterm"
    example = shlex.quote(json.dumps({object_name: "external_id"}))
    command = f"writeback connections set {shlex.quote(connection.name)} --set {manifest.unique_setting}={example}"
    return f"{reason}: `{command}` names one, or give searchfield and searchterm"


def _function(
    connection: Connection, object_name: str, operation: str
) -> tuple[Manifest, ObjectSpec | None, Operation | None, bool]:
    """The last one: do the names of its fields have a case?"""
    manifest = registry.manifest(connection.connector, connection.version)
    spec, cased = registry.kind(connection, object_name)
    known = with_synonyms(spec.operations) if spec is not None else {}
    return manifest, spec, known.get(OperationName(operation)), cased


def _stood_for(connection: Connection, manifest: Manifest) -> Collection[str]:
    """Fields that the connection's way in says already: a webhook has one channel."""
    ways = (way for way in manifest.auth if way.type == connection.settings.get("auth"))
    return next((way.instead_of for way in ways if isinstance(way, Webhook)), ())


def _own_unique(connection: Connection, manifest: Manifest, object_name: str) -> str | None:
    configured = connection.settings.get(manifest.unique_setting or "")
    own = configured.get(object_name) if isinstance(configured, dict) else None
    return str(own) if own is not None else None
