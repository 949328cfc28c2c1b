"""Connections: which SaaS accounts there are, under which names, with which settings and secrets."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection as Transaction
from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Engine

import topics.store
from connectors.connections import sightings
from connectors.connections.directory import find, free_slug, named
from connectors.connections.secrets import SecretBox, describe
from connectors.connections.standing import LiveWorker, Standing, standings
from connectors.connections.table import COLUMNS, CONNECTIONS, REVISION, Connection, State, connection_of
from connectors.connections.tokens import ConnectionTokens, Listener, forget
from connectors.errors import BadConnection, BadSecret

__all__ = ["Check", "Connection", "Connections", "State"]

Check = Callable[[str, str | None, Mapping[str, Any], Sequence[str]], str]
"""``check(connector, version, settings, secret names)`` returns the version to pin; raises ``BadConnection``."""


class Connections:
    """The connections in a store. Every method is one transaction; any number of processes may use one store.

    ``check`` looks at what is added and changed (``connectors.registry`` knows the manifests); without it anything is
    taken. Raises ``topics.errors.StoreUnavailable`` when the database cannot be reached.
    """

    def __init__(
        self,
        engine: Engine,
        secret_key: str | None = None,
        *,
        check: Check | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._engine = engine
        self._box = SecretBox(secret_key, environ)
        self._check = check

    def add(
        self,
        name: str,
        connector: str,
        *,
        settings: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        partitions: int = 1,
        limits: Mapping[str, Any] | None = None,
        policy: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> Connection:
        """Raises ``BadConnection`` for a name that is taken and for settings the connector does not accept."""
        sealed = {key: self._seal(name, key, value) for key, value in (secrets or {}).items()}
        pinned = self._check(connector, version, settings or {}, sorted(sealed)) if self._check else version or ""
        if partitions < 1:
            raise BadConnection(f"partitions is {partitions}; a topic has at least one")
        with self._writing() as (transaction, revision):
            row: dict[str, Any] = {
                **named(transaction, name),
                "slug": free_slug(transaction, name),
                "connector": connector,
                "version": pinned,
                "settings": dict(settings or {}),
                "limits": dict(limits or {}),
                "policy": dict(policy or {}),
                "partitions": partitions,
                "state": "active",
                "state_reason": "",
                "revision": revision,
                "secrets": sealed,
            }
            made = transaction.execute(insert(CONNECTIONS).values(row).returning(*COLUMNS)).one()
        return connection_of(made)

    def get(self, reference: str | int) -> Connection:
        """By name (upper or lower case), by slug, or by id. Raises ``UnknownConnection``, which lists the names."""
        with self._reading() as transaction:
            return connection_of(find(transaction, reference, *COLUMNS))

    def list(self) -> list[Connection]:
        """All of them, by name."""
        with self._reading() as transaction:
            return [connection_of(row) for row in transaction.execute(select(*COLUMNS).order_by("folded_name"))]

    def revisions(self) -> dict[str, int]:
        """Slug and revision of each: one query, to see cheaply what has changed since."""
        with self._reading() as transaction:
            rows = transaction.execute(select(CONNECTIONS.c.slug, CONNECTIONS.c.revision)).all()
            return {row.slug: row.revision for row in rows}

    def update(
        self,
        reference: str | int,
        *,
        name: str | None = None,
        settings: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str | None] | None = None,
        limits: Mapping[str, Any] | None = None,
        policy: Mapping[str, Any] | None = None,
        version: str | None = None,
    ) -> Connection:
        """Change what is given. Mappings are merged key by key; a value of None removes its key. The slug stays."""
        with self._writing() as (transaction, revision):
            old = find(transaction, reference, CONNECTIONS)
            given = (secrets or {}).items()
            sealed = {key: None if value is None else self._seal(old.name, key, value) for key, value in given}
            row: dict[str, Any] = {
                "settings": _merged(old.settings, settings),
                "secrets": _merged(old.secrets, sealed),
                "limits": _merged(old.limits, limits),
                "policy": _merged(old.policy, policy),
                "version": version or old.version,
                "revision": revision,
            }
            if name is not None:
                row |= named(transaction, name, own_id=old.id)
            if self._check:
                row["version"] = self._check(old.connector, row["version"], row["settings"], sorted(row["secrets"]))
            if settings or secrets:
                forget(transaction, old.id)
            return _changed(transaction, old.id, row)

    def tokens(
        self, connection: Connection, secrets: dict[str, str], listener: Listener | None = None
    ) -> ConnectionTokens:
        """What shares the connection's access tokens with other processes, and keeps what the vendor replaces.

        That is no change of the connection, and its revision stays: those who use it would open it anew, ask for a
        token, be given another refresh token, and so on for ever. ``secrets`` is kept up to date in place.
        """
        return ConnectionTokens(self._engine, self._box, connection, secrets, listener)

    def set_state(self, reference: str | int, state: State, reason: str = "") -> Connection:
        """Pause, quarantine or resume; saying the same again changes nothing."""
        with self._writing() as (transaction, revision):
            old = find(transaction, reference, *COLUMNS)
            if (old.state, old.state_reason) == (state, reason):
                return connection_of(old)
            return _changed(transaction, old.id, {"state": state, "state_reason": reason, "revision": revision})

    def remove(self, reference: str | int) -> Connection:
        """Forget it and its secrets. Its topic is the caller's business, and goes last."""
        with self._writing() as (transaction, _):
            old = find(transaction, reference, *COLUMNS)
            transaction.execute(delete(CONNECTIONS).where(CONNECTIONS.c.id == old.id))
            sightings.forget(transaction, old.slug)
            forget(transaction, old.id, for_ever=True)
        return connection_of(old)

    def resume(self, reference: str | int) -> Connection:
        """End a pause or a quarantine; and whatever its workers wait for now, they try again at once."""
        with self._writing() as (transaction, revision):
            old = find(transaction, reference, *COLUMNS)
            return _changed(transaction, old.id, {"state": "active", "state_reason": "", "revision": revision})

    def saw(
        self, worker: str, name: str, owned: int, standings: Iterable[Standing] = (), gone: Iterable[str] = ()
    ) -> None:
        """A worker lives, has so many partitions, and sees these connections like this; ``gone``: not its any more."""
        with self._engine.begin() as transaction:
            sightings.beat(transaction, worker, name, owned)
            sightings.write(transaction, worker, standings, gone)

    def left(self, worker: str) -> None:
        """A worker has ended in good order."""
        with self._engine.begin() as transaction:
            sightings.leave(transaction, worker)

    def workers(self) -> Sequence[LiveWorker]:
        """Those that run, and those that died a short while ago."""
        with self._reading() as transaction:
            return sightings.workers(transaction)

    def standings(self) -> dict[str, Standing]:
        """How each connection is, by slug; also slugs that are in no connection and whose events a worker holds."""
        with self._reading() as transaction:
            known = [connection_of(row) for row in transaction.execute(select(*COLUMNS))]
            return standings(known, sightings.read(transaction), sightings.workers(transaction))

    def secrets(self, connection: Connection, only: Collection[str] | None = None) -> dict[str, str]:
        """The secrets, decrypted, references followed now. Raises ``BadSecret`` naming connection and secret.

        ``only``: of these names, and no other is opened.
        """
        return {
            key: self._open(connection.name, key, sealed)
            for key, sealed in self._sealed(connection).items()
            if only is None or key in only
        }

    def secret_names(self, connection: Connection) -> dict[str, str]:
        """What may be shown: each secret's name with ``encrypted`` or its reference."""
        return {key: describe(sealed) for key, sealed in self._sealed(connection).items()}

    def rotate_secrets(self) -> int:
        """Encrypt every secret anew with the first key of ``WRITEBACK_SECRET_KEY``; returns how many connections."""
        with self._writing() as (transaction, _):
            rows = transaction.execute(select(CONNECTIONS.c.id, CONNECTIONS.c.name, CONNECTIONS.c.secrets)).all()
            for row in rows:
                fresh = {key: self._box.reseal(sealed) for key, sealed in row.secrets.items()}
                transaction.execute(update(CONNECTIONS).where(CONNECTIONS.c.id == row.id).values(secrets=fresh))
        return len(rows)

    def _sealed(self, connection: Connection) -> dict[str, str]:
        with self._reading() as transaction:
            sealed: dict[str, str] = find(transaction, connection.id, CONNECTIONS.c.secrets).secrets
            return sealed

    def _seal(self, name: str, key: str, value: str) -> str:
        try:
            return self._box.seal(value)
        except BadSecret as error:
            raise BadSecret(f"the secret {key!r} of the connection {name!r}: {error}") from None

    def _open(self, name: str, key: str, sealed: str) -> str:
        try:
            return self._box.open(sealed)
        except BadSecret as error:
            raise BadSecret(f"the secret {key!r} of the connection {name!r}: {error}") from None

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        with topics.store.reading(self._engine) as transaction:
            yield transaction

    @contextmanager
    def _writing(self) -> Iterator[tuple[Transaction, int]]:
        """A transaction, and the revision of its change; the counter's row keeps writers one behind the other."""
        with self._engine.begin() as transaction:
            revision = transaction.scalars(update(REVISION).values(n=REVISION.c.n + 1).returning(REVISION.c.n)).one()
            yield transaction, revision or 0


def _changed(transaction: Transaction, own_id: int, row: dict[str, Any]) -> Connection:
    changing = update(CONNECTIONS).where(CONNECTIONS.c.id == own_id).values(row).returning(*COLUMNS)
    return connection_of(transaction.execute(changing).one())


def _merged(old: Mapping[str, Any], new: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in {**old, **(new or {})}.items() if value is not None}
