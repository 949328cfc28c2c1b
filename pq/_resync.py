"""A connection's data in the warehouse, loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pq import _current
from pq.errors import BadField
from pq.receipt import LONGEST_WAIT_S, Receipt


def refresh_connection(
    connection_name: str | None = None,
    connection_id: int | None = None,
    is_async: bool = True,
    timeout: float | None = None,
    objects: Sequence[str] | None = None,
) -> Receipt:
    """Load a connection's data into the warehouse again: all of it, or these ``objects``.

    It finds what this script has written on that connection before. In a loop it costs one run and not one a turn: a
    run starts when nobody has asked for 5 s, or 60 s after the first who did. Returns at once; what it returns reads
    ``{"status": "pending", "detail": why}`` until the run has ended, then ``"success"`` (``detail``: the run, its rows
    and seconds) or ``"error"``. With ``is_async=False`` waits for the end, ``timeout`` seconds (default: half an hour)
    at the longest. Raises ``UnknownConnection``, which lists the names.
    """
    return _ask(connection_name, connection_id, objects, full=False, is_async=is_async, timeout=timeout)


def full_resync(
    connection_name: str | None = None,
    connection_id: int | None = None,
    is_async: bool = True,
    timeout: float | None = None,
    objects: Sequence[str] | None = None,
) -> Receipt:
    """The same from the beginning: everything is read anew, with the newest version of the connector."""
    return _ask(connection_name, connection_id, objects, full=True, is_async=is_async, timeout=timeout)


def update_connector(connection_name: str | None = None, connection_id: int | None = None) -> dict[str, Any]:
    """Use the newest version of the connection's connector: ``{"status": "success", "detail": which}``.

    Raises ``BadConnection`` when the newest does not take the connection's settings.
    """
    name = _reference(connection_name, connection_id)
    return {"status": "success", "detail": _current.session().update_connector(name)}


def _ask(
    name: str | None,
    number: int | None,
    objects: Sequence[str] | None,
    *,
    full: bool,
    is_async: bool,
    timeout: float | None,
) -> Receipt:
    if isinstance(objects, str):
        objects = [objects]
    wait_s = 0.0 if is_async else LONGEST_WAIT_S if timeout is None else timeout
    receipt = _current.session().refresh(_reference(name, number), objects, full=full, wait_s=wait_s)
    if not is_async:
        receipt.wait()
    return receipt


def _reference(name: str | None, number: int | None) -> str | int:
    if name is not None and number is None:
        return name
    if number is not None and name is None:
        return number
    raise BadField("name the connection: connection_name= or connection_id=, one of the two")
