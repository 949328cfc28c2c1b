"""The outcome of an event, as ``writeback.results`` (packed) and ``writeback.replies`` (one each, in full) carry it.

Between the outcomes ``writeback.results`` carries how each connection is: a record whose key is the connection's slug,
with no outcomes in it, so that whoever reads outcomes passes over it without knowing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from pydantic_core import PydanticSerializationError, from_json, to_json

from topics.errors import MalformedEvent

VERSION = 1
MAX_PACKED = 500

Outcome = Literal["delivered", "dead", "superseded"]

ConnectionState = Literal["active", "waiting", "throttled", "half-open", "down", "held", "paused", "quarantined"]
"""Of a connection, as a worker sees it.

``active``: events go out. ``waiting``: it is being opened, or closed after a change. ``throttled``: nothing goes out
until its quota allows it. ``down``: the destination or its credentials are out, the breaker is open; ``half-open``: a
probe was answered, one call at a time is tried. ``held``: it cannot be opened (store, secret, manifest), or a partition
of it cannot be read. ``paused``, ``quarantined``: until an operator resumes it.
"""

_FORMER: Final[Mapping[str, ConnectionState]] = {"open": "active", "unknown": "held"}
"""What earlier releases called them, in ledgers that are still there."""


class Result(NamedTuple):
    """What became of one event. A tuple: one is made for every event, and is a row of the ledger as it stands.

    ``detail``: what the vendor answered (in the ledger only its id). ``possible_duplicate``: an earlier owner may have
    made the same call and the vendor cannot be asked. ``time``: seconds since the epoch.
    """

    id: str
    outcome: Outcome
    connection: str
    object: str
    operation: str
    key: str | None
    topic: str
    partition: int
    offset: int
    attempts: int
    time: float
    detail: Any = None
    reason: str | None = None
    possible_duplicate: bool = False
    letter: str | None = None


@dataclass(frozen=True, slots=True)
class StateChange:
    """A connection is now like this, and why.

    ``time``: when that began, ``until``: when it ends or is tried again, where that is known; seconds since the epoch.
    """

    connection: str
    state: ConnectionState
    reason: str
    time: float
    until: float | None = None


_FIELDS = Result._fields
_STATE_FIELDS = tuple(StateChange.__dataclass_fields__)


def pack(results: Sequence[Result]) -> bytes:
    """At most ``MAX_PACKED`` results as one record's value: column names once, then a row each."""
    try:
        return to_json({"v": VERSION, "columns": _FIELDS, "rows": results}, inf_nan_mode="null")
    except PydanticSerializationError:  # one odd answer of a vendor must not keep 499 other outcomes out of the ledger
        return to_json({"v": VERSION, "columns": _FIELDS, "rows": _plain(results)}, inf_nan_mode="null")


def _plain(value: Any) -> Any:
    """The same in JSON's own types: lone surrogates as question marks, anything else as its text."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_plain(str(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else _plain(str(value))


def unpack(value: bytes | None) -> list[Result]:
    """The results of one record; unknown columns are ignored. Raises ``MalformedEvent``."""
    try:
        body = from_json(value or b"")
        columns = body["columns"]
        return [
            Result(**{name: item for name, item in zip(columns, row, strict=True) if name in _FIELDS})
            for row in body["rows"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise MalformedEvent(f"not a packed result record: {error}") from error


def pack_state(change: StateChange) -> bytes:
    """One record's value; its key is the connection."""
    body = {name: getattr(change, name) for name in _STATE_FIELDS}
    return to_json({"v": VERSION, "columns": (), "rows": (), "states": [_plain(body)]})


def unpack_states(value: bytes | None) -> list[StateChange]:
    """The states of one record of ``writeback.results``, none for a record of outcomes. Raises ``MalformedEvent``."""
    try:
        return [_state(row) for row in from_json(value or b"").get("states", ())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedEvent(f"not a record of states: {error}") from error


def _state(row: Mapping[str, Any]) -> StateChange:
    state = row["state"]
    return StateChange(row["connection"], _FORMER.get(state, state), row["reason"], row["time"], row.get("until"))
