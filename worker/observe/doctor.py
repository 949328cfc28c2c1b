"""Looks at everything a worker needs, and says what is wrong and what to do about it. Delivers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from connectors.cli.probe import probe
from connectors.connections.standing import LiveWorker, Standing
from connectors.connections.store import Connection, Connections
from dead_letter.store.archive import catch_up
from dead_letter.store.filters import Filter
from dead_letter.store.store import LetterStore
from topics.cli.context import CommandContext
from topics.errors import LogError, WritebackError
from topics.log import Lag, Log, Partition, UnreadableRecords
from topics.log.backlog import partitions_of, read_to_end
from topics.log.waiting import count_waiting
from topics.names import slug_of

PROBE_S = 15.0
DAY_S = 86_400.0
LEAST_COMMITS_S = 7 * DAY_S
"""What Kafka has by default, and what a holiday may take."""

Level = Literal["ok", "warning", "wrong"]

_NOTHING_AGAINST = frozenset({"active", "no worker", "stand-by"})
"""No worker has anything to say against the connection."""
_WRONG = frozenset({"down", "held", "no worker"})
"""It does not pass by itself, or not before somebody does something."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``said``: what was seen, and for anything but ``ok`` what to do."""

    check: str
    state: Level
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
    standings: dict[str, Standing] = {}
    if store.state == "ok":
        workers = [worker for worker in _connections(context).workers() if worker.alive]
        standings = _connections(context).standings()
        yield _workers(workers)
    for connection in known:
        yield from _status(connection, standings[connection.slug])
        if connection.state == "active":
            yield _connection(_connections(context), connection)
    if log.state == "ok":
        yield from _commits(context.log())
        slugs = {connection.slug for connection in known}
        if store.state == "ok":
            yield from _topics_of_others(context, slugs)
        yield from _lags(context, standings, slugs)
        yield from _requests(context)
        if store.state == "ok":
            yield from _letters(context)


def _checked(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", look())
    except WritebackError as error:
        return Finding(name, "wrong", str(error))


def _commits(log: Log) -> Iterator[Finding]:
    """Commits that expire while no worker runs are progress that is forgotten."""
    try:
        kept = log.commits_kept()
    except LogError as error:
        yield Finding("commits", "ok", f"how long the broker keeps them cannot be read ({error})")
        return
    if kept is None:
        return
    days = f"{kept / DAY_S:.3g} days"
    if kept >= LEAST_COMMITS_S:
        yield Finding("commits", "ok", f"kept for {days} after the last worker has stopped")
        return
    yield Finding(
        "commits",
        "warning",
        f"the broker forgets how far the workers are {days} after the last one has stopped: "
        "set its offsets.retention.minutes to 10080 (7 days) or more",
    )


def _connections(context: CommandContext) -> Connections:
    return Connections(context.store(), context.settings.secret_key)


def _list_into(known: list[Connection], context: CommandContext) -> str:
    known += _connections(context).list()
    return f"{len(known)} connections" if known else "no connections yet: `writeback connections add`"


def _topics_of_others(context: CommandContext, known: Container[str]) -> Iterator[Finding]:
    slugs = [
        slug
        for topic in context.log().topics(context.log().names.events_prefix)
        if (slug := slug_of(topic)) and slug not in known
    ]
    if slugs:
        said = f"of connections that this store does not have: {', '.join(slugs)}; a worker holds what waits in them"
        yield Finding("topics of others", "warning", said)


def _workers(workers: Sequence[LiveWorker]) -> Finding:
    if not workers:
        return Finding("workers", "warning", "none runs: `writeback up` (or `writeback worker`) starts one")
    shown = ", ".join(f"{worker.name} ({_owned(worker)})" for worker in workers)
    return Finding("workers", "ok", f"running: {shown}")


def _owned(worker: LiveWorker) -> str:
    return f"{worker.owned:,} partition{'s' * (worker.owned != 1)}" if worker.owned else "stands by"


def _status(connection: Connection, standing: Standing) -> Iterator[Finding]:
    """What the workers and operators say of it; that none runs is said once, and where events wait."""
    if standing.state not in _NOTHING_AGAINST:
        yield Finding(f"status {connection.name}", _level(standing), str(standing))


def _level(standing: Standing) -> Level:
    return "wrong" if standing.state in _WRONG else "warning"


def _connection(connections: Connections, connection: Connection) -> Finding:
    """What the destination says now."""
    name = f"connection {connection.name}"
    try:
        secrets = connections.secrets(connection)
        asked = probe(connection, secrets, connections.tokens(connection, secrets))
        good, said = asyncio.run(asyncio.wait_for(asked, PROBE_S))
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


def _lags(context: CommandContext, standings: Mapping[str, Standing], known: Container[str]) -> Iterator[Finding]:
    log = context.log()
    for place, lag in sorted(count_waiting(log, context.settings.group, log.names.events_prefix).items()):
        slug = slug_of(place.topic) or place.topic
        if slug in known:
            yield _lag(place, lag, standings[slug])
        elif lag.records:
            yield Finding(
                f"events {slug}",
                "wrong",
                f"{lag.shown} events wait, and this store has no connection {slug}: is it the right one? A worker "
                f"holds them; `writeback connections add` makes one, `writeback topics bury {slug}` dead-letters them",
            )


def _lag(place: Partition, lag: Lag, standing: Standing) -> Finding:
    name = f"events {slug_of(place.topic)}" + (f" [{place.number}]" if place.number else "")
    if not lag.records:
        return Finding(name, "ok", "nothing waits")
    if standing.goes_on:
        return Finding(name, "ok", f"{lag.shown} wait, and a worker is at work on them")
    said = (
        str(standing)
        if standing.state in _NOTHING_AGAINST
        else f"the connection is {standing.state} (its status is above)"
    )
    return Finding(name, _level(standing), f"{lag.shown} wait: {said}")


def _requests(context: CommandContext) -> Iterator[Finding]:
    """Requests for a refresh that nobody can read: whatever lies behind them waits."""
    log = context.log()
    places = partitions_of(log, log.names.refresh)
    commits = log.committed(log.names.refresher_group, places) if places else {}
    first = log.start_offsets(places) if places else {}
    starts = {place: commit.offset if (commit := commits.get(place)) else first[place] for place in places}
    try:
        for _ in read_to_end(log, starts, strict=True):
            pass
    except UnreadableRecords as error:
        skip = f"`writeback topics skip {log.names.refresh}` goes on behind it"
        yield Finding("refresh requests", "wrong", f"{error}; what lies behind it waits: {skip}")
    except WritebackError as error:
        yield Finding("refresh requests", "wrong", str(error))


def _letters(context: CommandContext) -> Iterator[Finding]:
    letters = LetterStore(context.store(), context.known_slugs)
    try:
        catch_up(context.log(), letters)
        count, others = letters.count(Filter(state="open")), letters.strangers()
    except WritebackError as error:
        yield Finding("dead letters", "wrong", str(error))
        return
    said = f"{count:,} open: `writeback dead-letters list`" if count else "none open"
    yield Finding("dead letters", "warning" if count else "ok", said)
    if others:
        yield Finding(
            "dead letters of others",
            "warning",
            f"of connections that this store does not have: {', '.join(others)}. They are left to the store that has "
            "them; `writeback connections add` with such a name takes them in",
        )
