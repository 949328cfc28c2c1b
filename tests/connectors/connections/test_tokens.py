"""Whose turn it is to fetch a token, and what the others get of it; on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.connections.store import Connection, Connections
from connectors.connections.tokens import AccessToken, ConnectionTokens, Held, Turn
from connectors.errors import BadSecret
from tests.connectors.connections.test_store import KEY, connections, engine
from topics.store import open_store

__all__ = ["connections", "engine"]
on_both = pytest.mark.parametrize(
    "url", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)
SECRETS = {"refresh_token": "r-0", "client_secret": "s"}


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def made(connections: Connections) -> Connection:
    return connections.add("Books", "http", secrets=SECRETS)


def worker(connections: Connections, made: Connection) -> ConnectionTokens:
    return connections.tokens(made, connections.secrets(made))


def turn(tokens: ConnectionTokens, refused: str = "", dead: Held | None = None) -> Turn:
    taken = tokens.take(refused, dead)
    assert isinstance(taken, Turn)
    return taken


def held(tokens: ConnectionTokens, refused: str = "") -> Held:
    other = tokens.take(refused)
    assert isinstance(other, Held)
    return other


@on_both
def test_one_fetches_for_all(connections: Connections, made: Connection) -> None:
    """While one has the turn the other waits; then it has the same token, and both have the new refresh token."""
    one, other = worker(connections, made), worker(connections, made)
    first = turn(one)
    held(other)

    one.keep(first, "access-1", 600.0, {"refresh_token": "r-1"})
    taken = other.take()

    assert isinstance(taken, AccessToken)
    assert taken.value == "access-1"
    assert 590 < taken.seconds <= 600
    assert other._secrets == connections.secrets(made) == {"refresh_token": "r-1", "client_secret": "s"}


@pytest.mark.parametrize("seconds", [600.0, 0.5], ids=["refused", "about to end"])
def test_a_token_that_is_no_good_is_not_taken_over(connections: Connections, made: Connection, seconds: float) -> None:
    """A 401 to it, or its end: it is the next one's turn, with the newest refresh token."""
    one, other = worker(connections, made), worker(connections, made)
    one.keep(turn(one), "access-1", seconds, {"refresh_token": "r-1"})

    assert turn(other, "access-1" if seconds > 1 else "").secrets["refresh_token"] == "r-1"


@on_both
def test_the_turn_of_a_dead_worker_is_taken(connections: Connections, made: Connection) -> None:
    """It looked the same for too long; whoever took it is not shut out by those who saw the old turn."""
    one, two, three = (worker(connections, made) for _ in range(3))
    turn(one)
    seen = held(two)
    assert held(three) == seen

    turn(two, dead=seen)

    assert isinstance(three.take("", seen), Held)


@on_both
def test_a_late_answer_counts_when_it_is_the_newest(connections: Connections, made: Connection) -> None:
    """A worker that was silent for long has used the refresh token all the same: what it got is what is left."""
    slow, other = worker(connections, made), worker(connections, made)
    first = turn(slow)
    second = turn(other, dead=held(other))

    slow.keep(first, "access-1", 600.0, {"refresh_token": "r-1"})
    other.keep(second, "access-2", 600.0, {"refresh_token": "r-2"})  # from a refresh token that was not its to use

    assert connections.secrets(made)["refresh_token"] == "r-1"
    assert other.take() == AccessToken("access-1", pytest.approx(600.0, abs=5))  # type: ignore[arg-type]


def test_what_an_operator_changes_wins(connections: Connections, made: Connection) -> None:
    """A token under way belongs to the account before; so does the one that was shared."""
    one = worker(connections, made)
    one.keep(turn(one), "access-1", 600.0, {})
    late = turn(one, "access-1")
    connections.update(made.id, secrets={"refresh_token": "given"})

    one.keep(late, "access-2", 600.0, {"refresh_token": "r-1"})

    assert connections.secrets(made)["refresh_token"] == "given"
    assert turn(worker(connections, made)).secrets["refresh_token"] == "given"


def test_a_turn_that_brought_nothing_is_free_at_once(connections: Connections, made: Connection) -> None:
    """The vendor refused: another may try."""
    one, other = worker(connections, made), worker(connections, made)
    one.release(turn(one))

    turn(other)


def test_without_a_key_nothing_is_written_in_clear(url: str) -> None:
    """The token is not shared; the turns are."""
    engine = open_store(url)
    keyless = Connections(engine, environ={"TOKEN": "r-0"})
    made = keyless.add("Books", "http", secrets={"refresh_token": "env:TOKEN"})
    one, other = worker(keyless, made), worker(keyless, made)
    first = turn(one)
    held(other)
    one.keep(first, "access-1", 600.0, {})

    assert turn(other).secrets == {"refresh_token": "r-0"}
    engine.dispose()


def test_what_cannot_be_kept_is_gone_on_with(url: str) -> None:
    """Without a key a refresh token that was replaced is not stored; the process that has it uses it from then on."""
    engine = open_store(url)
    keyless = Connections(engine, environ={"TOKEN": "r-0"})
    one = worker(keyless, keyless.add("Books", "http", secrets={"refresh_token": "env:TOKEN"}))
    first = turn(one)
    with pytest.raises(BadSecret) as refused:
        one.keep(first, "access-1", 600.0, {"refresh_token": "r-1"})
    one.not_kept({"refresh_token": "r-1"}, refused.value)
    one.release(first)

    assert turn(one).secrets == {"refresh_token": "r-1"}
    engine.dispose()


def test_a_removed_connection_leaves_nothing(connections: Connections, made: Connection) -> None:
    """Its token goes with it."""
    one = worker(connections, made)
    one.keep(turn(one), "access-1", 600.0, {})
    connections.remove(made.id)
    with connections._engine.connect() as transaction:
        assert transaction.exec_driver_sql("select count(*) from connection_tokens").scalar() == 0


def test_a_rotated_key_is_no_other_secret(connections: Connections, made: Connection) -> None:
    """`rotate-secrets` during a fetch: the refresh token is the same, under another key."""
    one = worker(connections, made)
    first = turn(one)
    again = Connections(connections._engine, f"another long random text,{KEY}")
    again.rotate_secrets()

    again.tokens(made, {}).keep(first, "access-1", 600.0, {"refresh_token": "r-1"})

    assert again.secrets(made)["refresh_token"] == "r-1"
