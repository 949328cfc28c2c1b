"""What a connection can do, with its own word on limits and policies over its manifest's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from connectors.connections.store import Connection
from connectors.contract import Connector, Function, Limits, UnknownPolicy
from connectors.errors import BadConnection, UnknownFunction
from topics.event.event import Event, Operation
from topics.log import Record
from worker.engine.lane.assignment import Assignment
from worker.log_events import logger


class Functions:
    """Each function once: lanes tell them apart by identity. Raises ``BadConnection``."""

    def __init__(self, connection: Connection, connector: Connector) -> None:
        self._connection = connection
        self._connector = connector
        self._on_unknown = _on_unknown(connection.policy)
        self._known: dict[tuple[str, Operation], Function] = {}

    def of(self, event: Event) -> Function:
        """Raises ``connectors.errors.UnknownFunction``."""
        name = (event.object, event.operation)
        known = self._known.get(name)
        if known is None:
            known = self._look_up(*name)
            policy = self._on_unknown.get(event.operation.value)
            if policy is not None:
                known = replace(known, on_unknown=policy)
            self._known[name] = known
        return known

    def _look_up(self, object_name: str, operation: Operation) -> Function:
        try:
            return self._connector.function(object_name, operation)
        except UnknownFunction:
            raise
        except Exception as bug:
            logger().exception("delivery.bug", connection=self._connection.slug, error=repr(bug))
            raise UnknownFunction(
                f"the connector failed when asked for {operation} of {object_name!r}: {bug!r}"
            ) from bug


def suspected(record: Record, function: Function, assignment: Assignment) -> bool:
    """May a call that must not be repeated have been made for this record?"""
    return not function.idempotent and assignment.progress.suspected(record.offset)


def counts(function: Function) -> bool:
    """A repeated call would do harm, and the vendor could not be asked whether the first one happened."""
    return not function.idempotent and not function.findable


def limits_of(connection: Connection, connector: Connector) -> Limits:
    """The connection's own limits over the manifest's; ``rate: null`` means unlimited. Raises ``BadConnection``."""
    manifest, own = connector.limits, connection.limits
    limits = Limits(
        rate=own.get("rate", manifest.rate),
        per_seconds=own.get("per_seconds", manifest.per_seconds),
        concurrency=own.get("concurrency", manifest.concurrency),
        daily=own.get("daily", manifest.daily),
    )
    for name in ("rate", "per_seconds", "concurrency", "daily"):
        value = getattr(limits, name)
        least = 1 if name in {"concurrency", "daily"} else 0
        fits = isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and value >= least
        if not fits and not (name in {"rate", "daily"} and value is None):
            raise BadConnection(f"the limit {name} is {value!r}; it is a number above 0, and {least} at the least")
    return limits


def _on_unknown(policy: Mapping[str, Any]) -> Mapping[str, UnknownPolicy]:
    """The connection's own word on what to do when a call may have happened, per operation."""
    chosen = policy.get("on_unknown") or {}
    if not isinstance(chosen, Mapping) or any(word not in ("retry", "dead_letter") for word in chosen.values()):
        raise BadConnection(
            f'the policy on_unknown is {chosen!r}; it is like {{"add": "retry", "message": "dead_letter"}}'
        )
    return chosen
