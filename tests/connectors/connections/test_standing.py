"""How a connection is, from what the store and the workers say of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.connections.standing import LiveWorker, Sighting, Standing, State, standings
from connectors.connections.table import Connection

ACME = Connection(1, "acme", "Acme", "http", "1.0", {}, {}, {}, 1, "active", "", 1)
HERE = LiveWorker("w1", "here:7", owned=1, silent=2.0)


def sighting(state: State, worker: str = "w1", reason: str = "") -> Sighting:
    return Sighting(worker, Standing("acme", state, reason, 7.0))


@pytest.mark.parametrize(
    ("sightings", "workers", "state"),
    [
        ([], [], "no worker"),
        ([sighting("down")], [replace(HERE, silent=60.0)], "no worker"),
        ([sighting("down", "w0")], [HERE], "active"),
        ([], [replace(HERE, owned=0)], "stand-by"),
        ([], [HERE], "active"),
        ([sighting("down")], [HERE], "down"),
        ([sighting("active"), sighting("held", "w2")], [HERE, replace(HERE, id="w2")], "held"),
        ([sighting("held"), sighting("active", "w2")], [HERE, replace(HERE, id="w2")], "held"),
        ([sighting("paused")], [HERE], "waiting"),
    ],
)
def test_the_state_of_an_active_connection(sightings: list[Sighting], workers: list[LiveWorker], state: str) -> None:
    """The worst that a living worker says; without one that nobody has it; what a dead one said counts no more."""
    assert standings([ACME], sightings, workers)["acme"].state == state


def test_what_an_operator_said_goes_before_what_workers_say() -> None:
    """Paused is paused, whether a worker has seen it yet or not."""
    paused = replace(ACME, state="paused", state_reason="lunch")

    assert standings([paused], [sighting("down")], [HERE])["acme"] == Standing("acme", "paused", "lunch")
    assert standings([paused], [sighting("paused")], [HERE])["acme"].since == 7.0


def test_the_dead_worker_is_named() -> None:
    """Who looks for the worker that was there learns which it was, and when it was heard of."""
    told = standings([ACME], [], [replace(HERE, silent=75.0)])["acme"]

    assert told.line == "no worker: none runs; here:7 was last heard of 75 s ago"


@pytest.mark.parametrize(
    ("standing", "line"),
    [
        (Standing("acme", "active", since=1.0), "active"),
        (
            Standing("acme", "throttled", "DAILY", 1.0, 61.0),
            "throttled until 1970-01-01 00:01:01Z: DAILY (since 1970-01-01 00:00:01Z)",
        ),
        (
            Standing("acme", "down", "HTTP 401", 1.0, 61.0),
            "down, next try at 1970-01-01 00:01:01Z: HTTP 401 (since 1970-01-01 00:00:01Z)",
        ),
        (Standing("acme", "paused", "lunch"), "paused: lunch"),
    ],
)
def test_the_line(standing: Standing, line: str) -> None:
    """State, until when, why, since when."""
    assert standing.line == line
