"""Looks at everything a worker needs, and says what is wrong and what to do about it. Delivers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from connectors.cli.probe import probe
from connectors.connections.store import Connection, Connections
from dead_letter.store.archive import catch_up
from dead_letter.store.filters import Filter
from dead_letter.store.store import LetterStore
from topics.cli.context import CommandContext
from topics.errors import WritebackError
from topics.log import Lag, Partition
from topics.names import EVENTS_PREFIX, slug_of

PROBE_S = 15.0

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``said``: what was seen, and for anything but ``ok`` what to do."""

    check: str
    state: State
    said: str


def examine(context: CommandContext) -> Iterator[Finding]:
    """One finding after the other, as they are made; what needs something that is broken is left out."""
    settings = _checked("settings", lambda: f"log {context.settings.log}, group {context.settings.group}")
    yield settings
    if settings.state == "wrong":
        return
    log = _checked("log", lambda: context.log().probe())
    yield log
    known: list[Connection] = []
    store = _checked("store", lambda: _list_into(known, context))
    yield store
    for connection in known:
        yield _connection(_connections(context), connection)
    if log.state == "ok":
        yield from _lags(context, {connection.slug: connection for connection in known})
        if store.state == "ok":
            yield _letters(context)


def _checked(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except WritebackError as error:
        return Finding(name, "wrong", str(error))


def _connections(context: CommandContext) -> Connections:
    return Connections(context.store(), context.settings.secret_key)


def _list_into(known: list[Connection], context: CommandContext) -> str:
    known += _connections(context).list()
    return f"{len(known)} connections" if known else "no connections yet: `writeback connections add`"


def _connection(connections: Connections, connection: Connection) -> Finding:
    name = f"connection {connection.name}"
    if connection.state != "active":
        reason = f" ({connection.state_reason})" if connection.state_reason else ""
        return Finding(
            name,
            "warning",
            f"{connection.state}{reason}; `writeback connections resume {connection.slug}` lets it go on",
        )
    try:
        good, said = asyncio.run(asyncio.wait_for(probe(connection, connections.secrets(connection)), PROBE_S))
    except TimeoutError:
        return Finding(
            name, "wrong", f"no answer within {PROBE_S:.0f} s; is its address right, and reachable from here?"
        )
    except WritebackError as error:
        return Finding(name, "wrong", str(error))
    if good:
        return Finding(name, "ok", said)
    return Finding(
        name, "wrong", f"{said}; its events wait. Correct it with `writeback connections set {connection.slug}`"
    )


def _lags(context: CommandContext, known: dict[str, Connection]) -> Iterator[Finding]:
    for place, lag in sorted(context.log().lag(context.settings.group, EVENTS_PREFIX).items()):
        slug = slug_of(place.topic) or place.topic
        if slug not in known and lag.records:
            yield Finding(
                f"events {slug}",
                "wrong",
                f"{lag.records:,} events wait for a connection that does not exist; "
                "a worker puts them into the dead letters, `writeback connections add` makes it before",
            )
        elif slug in known:
            yield _lag(place, lag)


def _lag(place: Partition, lag: Lag) -> Finding:
    name = f"events {slug_of(place.topic)}" + (f" [{place.number}]" if place.number else "")
    if not lag.records:
        return Finding(name, "ok", "nothing waits")
    if lag.committed is None:
        return Finding(name, "wrong", f"{lag.records:,} wait and no worker has ever read them: start `writeback up`")
    return Finding(
        name,
        "warning",
        f"{lag.records:,} wait; look again: if the number stays, no worker runs or the destination is down",
    )


def _letters(context: CommandContext) -> Finding:
    letters = LetterStore(context.store())
    try:
        catch_up(context.log(), letters)
        count = letters.count(Filter(state="open"))
    except WritebackError as error:
        return Finding("dead letters", "wrong", str(error))
    if not count:
        return Finding("dead letters", "ok", "none open")
    return Finding("dead letters", "warning", f"{count:,} open: `writeback dead-letters list`")
