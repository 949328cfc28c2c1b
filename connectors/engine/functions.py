"""A connector's functions and limits as its manifest describes them, for every protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.contract import Limits, UnknownPolicy
from connectors.engine.manifest.model import LimitsSpec, Manifest
from connectors.engine.manifest.requests import Operation
from topics.event.event import Operation as OperationName

ANY: Final = "any"
"""The name of an object in a manifest that stands for every name."""
IDEMPOTENT: Final = frozenset({OperationName.UPDATE, OperationName.UPSERT, OperationName.DELETE})
_SYNONYMS: Final = {OperationName.ADD: OperationName.MESSAGE, OperationName.MESSAGE: OperationName.ADD}


def is_idempotent(operation: OperationName, one: Operation) -> bool:
    return one.idempotent if one.idempotent is not None else operation in IDEMPOTENT


def on_unknown_of(operation: OperationName, one: Operation, own: Mapping[str, UnknownPolicy]) -> UnknownPolicy:
    """``own``: the connection's own settings, which come first."""
    for name in (operation, _SYNONYMS.get(operation)):
        if name is not None and name in own:
            return own[name]
    return one.on_unknown


def with_synonyms(operations: Mapping[OperationName, Operation]) -> dict[OperationName, Operation]:
    """``message`` and ``add`` stand for one another where there is only one of them."""
    both = dict(operations)
    for one, other in _SYNONYMS.items():
        if one in operations:
            both.setdefault(other, operations[one])
    return both


def limits_of(spec: LimitsSpec, own: Mapping[str, Any]) -> Limits:
    """``own``: the connection's own settings, which come first."""
    return Limits(
        rate=own.get("rate", spec.rate),
        per_seconds=own.get("per_seconds", spec.per_seconds),
        concurrency=own.get("concurrency", spec.concurrency),
        daily=own.get("daily", spec.daily),
    )


def unknown_function(wanted: str, manifest: Manifest, newest: Manifest | None) -> str:
    """The message about an unknown function: lists those there are, and the version that has it."""
    known = ", ".join(manifest.functions())
    message = f"unknown function {wanted}: connector {manifest.name} {manifest.version} has {known}"
    if newest is not None and newest.version != manifest.version and wanted in newest.functions():
        message += f"; {newest.version} has it: run a full resync (or `writeback connectors upgrade {manifest.name}`)"
    return message
