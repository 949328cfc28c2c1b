"""dbt: finds the table of ``ref('customers')`` in dbt's manifest, and writes syncs as dbt's exposures."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from topics.outbox.definition import TableName
from worker.syncs.definition.model import MODEL, Sync
from worker.syncs.errors import BadSync

_TABLES = ("model", "seed", "snapshot")


def table_of(sync: Sync, folder: Path) -> TableName:
    """The table of a sync's model. Raises ``BadSync`` when there is no manifest, or no such model in it."""
    said = MODEL.fullmatch(sync.model or "")
    assert said is not None
    package, name = (said[1], said[2]) if said[2] else (None, said[1])
    path = _manifest(folder, sync.manifest)
    try:
        nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"].values()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BadSync(f"sync {sync.name}: {path} is no manifest of dbt: {error}") from error
    models = [node for node in nodes if node.get("resource_type") in _TABLES]
    found = [node for node in models if node["name"] == name and package in {None, node.get("package_name")}]
    if not found:
        near = difflib.get_close_matches(name, [node["name"] for node in models], n=1)
        hint = f"; did you mean ref({near[0]!r})?" if near else ""
        raise BadSync(f"sync {sync.name}: {path} has no model {name!r}{hint} (`dbt compile` writes the manifest)")
    if len(found) > 1:
        packages = ", ".join(sorted(node["package_name"] for node in found))
        raise BadSync(f"sync {sync.name}: {name!r} is in several packages: write ref('package', {name!r}) ({packages})")
    if found[0].get("config", {}).get("materialized") == "ephemeral":
        raise BadSync(f"sync {sync.name}: the model {name!r} is ephemeral, there is no table of it")
    return TableName(name=found[0].get("alias") or name, schema_name=found[0].get("schema") or None)


def exposures(syncs: Iterable[Sync], owner: str) -> str:
    """The syncs as YAML for dbt: exposures of its models, which `dbt docs` and `dbt ls` show."""
    listed: list[dict[str, Any]] = [
        {
            "name": sync.name.replace("-", "_"),
            "type": "application",
            "owner": {"name": owner},
            "description": sync.description or f"{sync.object} of {sync.connection}, by Writeback",
            "depends_on": [(sync.model or "").strip()],
        }
        for sync in syncs
        if sync.model
    ]
    return yaml.safe_dump({"version": 2, "exposures": listed}, sort_keys=False)


def _manifest(folder: Path, said: str) -> Path:
    """The manifest, sought in the definitions' folder and those above it: syncs may stand inside a dbt project."""
    place = Path(said).expanduser()
    tried = [base / place for base in (folder, *folder.resolve().parents)]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise BadSync(f"there is no {said} of dbt in {folder} or above it: `dbt compile` writes it")
    return found
