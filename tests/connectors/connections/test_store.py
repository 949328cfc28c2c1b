import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from connectors.connections.standing import Standing
from connectors.connections.store import Connections
from connectors.connections.tokens import Turn
from connectors.errors import BadConnection, BadSecret, UnknownConnection
from topics.store import open_store

KEY = "a long random text for tests"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_store(url)
    yield engine
    engine.dispose()


@pytest.fixture
def connections(engine: Engine) -> Connections:
    return Connections(engine, KEY)


def test_a_connection_is_found_by_name_slug_and_id(connections: Connections) -> None:
    """The seed's ``pq.connect("Hubspot")`` finds it in any case; so do its slug and its id."""
    made = connections.add("HubSpot EU", "hubspot", settings={"prefix": "v3"}, version="1.2")

    found = [connections.get(by) for by in ("hubspot eu", "HUBSPOT EU", "hubspot-eu", made.id, str(made.id))]

    assert found == [made] * 5
    assert (made.slug, made.settings, made.version) == ("hubspot-eu", {"prefix": "v3"}, "1.2")


def test_an_unknown_name_lists_the_others_and_guesses(connections: Connections) -> None:
    """A slip of the pen is answered with all names and the nearest one."""
    connections.add("Hubspot", "hubspot")
    connections.add("Odoo", "http")

    with pytest.raises(UnknownConnection, match=r"Hubspot, Odoo\. Did you mean 'Hubspot'\?"):
        connections.get("hubspt")


def test_without_connections_the_error_says_how_to_add_one(connections: Connections) -> None:
    """The first thing a newcomer meets names the command that helps."""
    with pytest.raises(UnknownConnection, match="writeback connections add"):
        connections.get("hubspot")


@pytest.mark.parametrize("name", ["Hubspot", "HUBSPOT", " hubspot ", "hubspot-2", "!?", "x" * 256])
def test_a_name_that_cannot_be_told_apart_is_refused(connections: Connections, name: str) -> None:
    """A name stands for one connection: no second one in other letters, none that is another's slug, none too long."""
    connections.add("hubspot", "hubspot")
    connections.add("hubspot!", "hubspot")

    with pytest.raises(BadConnection):
        connections.add(name, "hubspot")


def test_slugs_are_unique_and_never_change(connections: Connections) -> None:
    """Names that make the same slug get -2, -3; a new name leaves the slug and so the topic."""
    first, second, third = (connections.add(name, "slack") for name in ("QA!", "qa?", "Q-A"))
    renamed = connections.update("qa?", name="Quality")

    assert [first.slug, second.slug, third.slug, renamed.slug] == ["qa", "qa-2", "q-a", "qa-2"]
    assert connections.get("quality") == renamed


def test_a_long_name_keeps_its_number(connections: Connections) -> None:
    """The slug of a long name stays within 63 characters, the number that makes it unique included."""
    slugs = {connections.add("x" * 70 + end, "http").slug for end in "ab"}

    assert slugs == {"x" * 63, "x" * 61 + "-2"}


def test_every_change_has_a_new_revision(connections: Connections) -> None:
    """Whoever remembers revisions sees each change, also a connection removed and made again under its old slug."""
    seen = [connections.add("Odoo", "http").revision]
    seen.append(connections.update("odoo", settings={"a": 1}).revision)
    seen.append(connections.set_state("odoo", "paused", "maintenance").revision)
    seen.append(connections.set_state("odoo", "paused", "maintenance").revision)
    connections.remove("odoo")
    seen.append(connections.add("Odoo", "http").revision)

    assert seen[2] == seen[3]
    assert len({*seen}) == 4
    assert connections.revisions() == {"odoo": seen[-1]}


def test_an_update_merges(connections: Connections) -> None:
    """Settings, limits, policy and secrets change key by key; None removes a key."""
    connections.add(
        "Odoo", "http", settings={"a": 1, "b": 2}, secrets={"key": "1", "old": "2"}, policy={"on_dead": "park"}
    )
    odoo = connections.update(
        "odoo", settings={"b": None, "c": 3}, secrets={"key": "9", "old": None}, limits={"rate": 5}, policy={"x": 1}
    )

    assert (odoo.settings, odoo.limits, odoo.policy) == ({"a": 1, "c": 3}, {"rate": 5}, {"on_dead": "park", "x": 1})
    assert connections.secrets(odoo) == {"key": "9"}


def test_secrets_are_nowhere_in_the_clear(connections: Connections, engine: Engine) -> None:
    """A secret is handed out on request, and neither stored nor shown otherwise; a reference is shown as it is."""
    made = connections.add("Odoo", "http", secrets={"key": "hunter2", "token": "env:HOME"})
    with engine.connect() as connection:
        rows = str(connection.execute(text("SELECT * FROM connections")).all())

    assert connections.secrets(made)["key"] == "hunter2"
    assert connections.secret_names(made) == {"key": "encrypted", "token": "env:HOME"}
    assert "hunter2" not in rows + repr(made) + repr(connections.list()) + repr(connections)


def test_a_secret_that_does_not_decrypt_is_named(connections: Connections, engine: Engine) -> None:
    """With another key the error names the connection and the secret."""
    made = connections.add("Odoo", "http", secrets={"api_key": "hunter2"})

    with pytest.raises(BadSecret, match=r"'api_key' of the connection 'Odoo'.*not the key"):
        Connections(engine, "some other long random text").secrets(made)


def test_secrets_move_to_a_new_key(connections: Connections, engine: Engine) -> None:
    """After a rotation the old key is not needed any more."""
    made = connections.add("Odoo", "http", secrets={"key": "hunter2"})
    Connections(engine, f"the new long random text,{KEY}").rotate_secrets()

    assert Connections(engine, "the new long random text").secrets(made) == {"key": "hunter2"}


def test_settings_are_checked_and_the_version_pinned(engine: Engine) -> None:
    """The check sees connector, version, settings and the secrets' names, and what it returns is pinned."""
    seen: list[Any] = []

    def check(connector: str, version: str | None, settings: Mapping[str, Any], secrets: Sequence[str]) -> str:
        seen.append((connector, version, dict(settings), list(secrets)))
        if "bad" in settings:
            raise BadConnection("no setting 'bad'")
        return version or "1.4"

    connections = Connections(engine, KEY, check=check)
    made = connections.add("Odoo", "http", settings={"a": 1}, secrets={"key": "x"})
    with pytest.raises(BadConnection):
        connections.update("odoo", settings={"bad": 1})

    assert made.version == "1.4"
    assert seen == [("http", None, {"a": 1}, ["key"]), ("http", "1.4", {"a": 1, "bad": 1}, ["key"])]
    assert connections.get("odoo") == made


def _add_ten(url: str, number: int) -> None:
    engine = open_store(url)
    connections = Connections(engine)
    for index in range(10):
        connections.add(f"{'!' * (number + 1)}c{'?' * index}", "http")
    engine.dispose()


def test_processes_add_at_once(url: str, engine: Engine) -> None:
    """Four processes that start on an empty store and add at the same moment lose nothing and share no slug."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_ten, args=(url, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    revisions = Connections(engine).revisions()

    assert [process.exitcode for process in processes] == [0] * 4
    assert sorted(revisions.values()) == list(range(1, 41))


def test_a_secret_that_the_vendor_replaced_is_no_change(connections: Connections) -> None:
    """It is kept encrypted beside the others, and the revision stays: nobody opens the connection anew for it."""
    made = connections.add("Hubspot", "hubspot", secrets={"refresh_token": "env:TOKEN", "client_secret": "s"})

    tokens = connections.tokens(made, {"refresh_token": "first", "client_secret": "s"})
    turn = tokens.take()
    assert isinstance(turn, Turn)
    tokens.keep(turn, "access", 60.0, {"refresh_token": "next"})

    assert connections.secrets(made) == {"refresh_token": "next", "client_secret": "s"}
    assert connections.secret_names(made)["refresh_token"] == "encrypted"
    assert connections.get("hubspot") == made


def test_a_worker_in_the_store(connections: Connections) -> None:
    """It says how it sees connections, that one is its no longer, and that it has ended: then nobody has them."""
    for name in ("Acme", "Brine"):
        connections.add(name, "http")
    down, held = Standing("acme", "down", "401", 5.0, 9.0), Standing("brine", "held", "no key", 6.0)
    seen = []
    for standing, gone in (((down, held), ()), ((), ("brine",)), ((Standing("acme", "active"),), ())):
        connections.saw("w1", "here:7", 2, standing, gone)
        seen.append(connections.standings())
    (worker,) = connections.workers()
    connections.left("w1")

    assert seen[0] == {"acme": down, "brine": held}
    assert [seen[1][slug].state for slug in ("acme", "brine")] == ["down", "active"]
    assert seen[2]["acme"].state == "active"
    assert (worker.name, worker.owned, worker.alive) == ("here:7", 2, True)
    assert connections.workers() == []
    assert {one.state for one in connections.standings().values()} == {"no worker"}


def test_resume_is_a_change_even_of_what_is_active(connections: Connections) -> None:
    """Its workers see another revision, and try at once."""
    before = connections.add("Acme", "http")
    after = connections.resume("Acme")

    assert after.state == "active"
    assert after.revision > before.revision
