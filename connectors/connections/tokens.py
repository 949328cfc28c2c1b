"""Access tokens that all workers of a connection share, and whose turn it is to fetch the next one.

A vendor may end a refresh token with its use (Xero does), and two workers that use one at the same time may lose the
account for both. So one fetches, for all; the others wait and take over what it got. The new access token, the new
refresh token and the end of the turn are written in one transaction.

Nobody's time of day counts: when a token ends is told by the database's clock, and a worker that died in its turn is
one whose turn has looked the same for long on the clock of whoever waits.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import uuid4

from sqlalchemy import Column, Engine, Float, Integer, String, Table, Text, delete, func, select, update
from sqlalchemy import Connection as Transaction
from sqlalchemy.engine import Row

from connectors.connections.directory import find
from connectors.connections.references import is_reference
from connectors.connections.secrets import SecretBox
from connectors.connections.table import CONNECTIONS, METADATA, REVISION, Connection
from connectors.errors import BadSecret
from topics.store import inserting

TOKENS = Table(
    "connection_tokens",
    METADATA,
    Column("connection", Integer, primary_key=True, autoincrement=False),  # its id
    Column("epoch", Integer, nullable=False),  # grows with every turn, and when the connection is changed
    Column("holder", String(63), nullable=False),  # whose turn it is; empty: nobody's
    Column("sealed", Text, nullable=False),  # the access token, encrypted; empty: there is none
    Column("ends_at", Float(53), nullable=False),  # seconds since the epoch, by the database's clock
)
LEAST_SECONDS: Final = 1.0
"""A token that ends sooner is not worth taking over."""
_LOGGER = logging.getLogger("writeback.connections")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """One that another worker has fetched; good for ``seconds`` more."""

    value: str = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class Turn:
    """It is the caller's turn to fetch. ``secrets``: the connection's, as they are now."""

    epoch: int
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """It is another's turn; the same a while later means that nobody is there."""

    holder: str
    epoch: int


class Listener(Protocol):
    """Hears what becomes of secrets that the vendor replaced."""

    def kept(self, connection: Connection, secret: str) -> None: ...
    def not_kept(self, connection: Connection, secret: str, error: Exception, retry_in: float | None) -> None: ...


class Warnings:
    """For scripts and commands: only what goes wrong is said."""

    def kept(self, connection: Connection, secret: str) -> None:
        """Nothing to say."""

    def not_kept(self, connection: Connection, secret: str, error: Exception, retry_in: float | None) -> None:
        again = "" if retry_in is None else f"; tried again in {retry_in:g} s"
        _LOGGER.warning("the new %s of %s is not kept: %s%s", secret, connection.name, error, again)


class ConnectionTokens:
    """One connection's, for one process. ``secrets`` are those it was opened with; they are kept up to date in place.

    Every method is one transaction. Raises ``StoreUnavailable``, ``UnknownConnection``, ``BadSecret``.
    """

    def __init__(
        self,
        engine: Engine,
        box: SecretBox,
        connection: Connection,
        secrets: dict[str, str],
        listener: Listener | None = None,
    ) -> None:
        self.name = connection.name
        self._engine = engine
        self._box = box
        self._connection = connection
        self._secrets = secrets
        self._listener = listener or Warnings()
        self._holder = uuid4().hex

    def take(self, refused: str = "", dead: Held | None = None) -> AccessToken | Turn | Held:
        """A token that is not ``refused``; or the turn, when it is nobody's or still looks like ``dead``."""
        own = TOKENS.c.connection == self._connection.id
        with self._engine.begin() as transaction:
            row = transaction.execute(select(TOKENS).where(own)).one_or_none()
            self._secrets.update(self._encrypted(transaction))
            if row is None:
                return self._first_turn(transaction)
            if (token := self._fresh(row, _now(transaction))) is not None and token.value != refused:
                return token
            held = Held(row.holder, row.epoch)
            if row.holder and held != dead:
                return held
            taken = update(TOKENS).where(own, TOKENS.c.epoch == row.epoch, TOKENS.c.holder == row.holder)
            if transaction.execute(taken.values(epoch=row.epoch + 1, holder=self._holder)).rowcount:
                return Turn(row.epoch + 1, dict(self._secrets))
            return held  # another was quicker: look again

    def keep(self, turn: Turn, token: str, seconds: float, renewed: Mapping[str, str]) -> None:
        """The turn's tokens, for all. ``renewed``: secrets that the vendor has replaced.

        They are dropped when somebody has others by now: an operator, or a worker that took over a turn which had
        been silent for too long. But a refresh token that follows the one in the store is always the newest.
        """
        with self._engine.begin() as transaction:
            if renewed:
                transaction.execute(update(REVISION).values(n=REVISION.c.n))  # no change of the connection meanwhile
            own = select(TOKENS).where(TOKENS.c.connection == self._connection.id).with_for_update()
            row = transaction.execute(own).one_or_none()
            stored = self._sealed(transaction)
            follows = bool(renewed) and all(
                self._opened(name, stored.get(name, "")) == turn.secrets.get(name) for name in renewed
            )
            if row is None or (row.epoch != turn.epoch and not follows):
                return
            fresh = {name: self._seal(name, value) for name, value in renewed.items()}
            if fresh:
                connection = CONNECTIONS.c.id == self._connection.id
                transaction.execute(update(CONNECTIONS).where(connection).values(secrets={**stored, **fresh}))
            values = {"sealed": self._sealed_token(token), "ends_at": _now(transaction) + seconds, "holder": ""}
            if row.epoch != turn.epoch:
                values["epoch"] = row.epoch + 1  # whoever has the turn has it with an older refresh token
            transaction.execute(update(TOKENS).where(TOKENS.c.connection == row.connection).values(values))
        self._secrets.update(renewed)
        for name in renewed:
            self._listener.kept(self._connection, name)

    def release(self, turn: Turn) -> None:
        """The turn has brought nothing; the next one may try."""
        mine = (TOKENS.c.connection == self._connection.id, TOKENS.c.epoch == turn.epoch)
        with self._engine.begin() as transaction:
            transaction.execute(update(TOKENS).where(*mine).values(holder=""))

    def not_kept(self, renewed: Mapping[str, str], error: Exception, retry_in: float | None = None) -> None:
        """The store does not take what the vendor replaced; ``retry_in`` None: it never will."""
        if retry_in is None:
            self._secrets.update(renewed)  # what was replaced has ended: this process at least goes on with the new one
        for name in renewed:
            self._listener.not_kept(self._connection, name, error, retry_in)

    def _first_turn(self, transaction: Transaction) -> Turn | Held:
        row = {"connection": self._connection.id, "epoch": 1, "holder": self._holder, "sealed": "", "ends_at": 0.0}
        made = inserting(transaction, TOKENS).values(row).on_conflict_do_nothing().returning(TOKENS.c.epoch)
        return Held("", 0) if transaction.scalar(made) is None else Turn(1, dict(self._secrets))

    def _fresh(self, row: Row[tuple[int, int, str, str, float]], now: float) -> AccessToken | None:
        seconds = row.ends_at - now
        if not row.sealed or seconds < LEAST_SECONDS:
            return None
        try:
            return AccessToken(self._box.open(row.sealed), seconds)
        except BadSecret:
            return None  # of a key that is gone: another is fetched

    def _sealed(self, transaction: Transaction) -> dict[str, str]:
        sealed: dict[str, str] = find(transaction, self._connection.id, CONNECTIONS.c.secrets).secrets
        return sealed

    def _encrypted(self, transaction: Transaction) -> dict[str, str]:
        """The secrets that are in the store; what a reference leads to is not a matter of the store."""
        sealed = self._sealed(transaction).items()
        return {name: self._opened(name, value) for name, value in sealed if not is_reference(value)}

    def _opened(self, name: str, sealed: str) -> str:
        if not sealed or is_reference(sealed):
            return self._secrets.get(name, "")
        try:
            return self._box.open(sealed)
        except BadSecret as error:
            raise self._named(name, error) from None

    def _seal(self, name: str, value: str) -> str:
        try:
            return self._box.encrypt(value)
        except BadSecret as error:
            raise self._named(name, error) from None

    def _sealed_token(self, token: str) -> str:
        try:
            return self._box.encrypt(token)
        except BadSecret:
            return ""  # nothing to encrypt it with: every worker fetches its own, one after the other

    def _named(self, name: str, error: BadSecret) -> BadSecret:
        return BadSecret(f"the secret {name!r} of the connection {self.name!r}: {error}")


def forget(transaction: Transaction, connection: int, *, for_ever: bool = False) -> None:
    """The connection is changed, or removed: its token may be another account's, and whose turn it was is void."""
    own = TOKENS.c.connection == connection
    if for_ever:
        transaction.execute(delete(TOKENS).where(own))
    else:
        transaction.execute(update(TOKENS).where(own).values(epoch=TOKENS.c.epoch + 1, holder="", sealed=""))


def _now(transaction: Transaction) -> float:
    moment: datetime = transaction.execute(select(func.current_timestamp())).scalar_one()
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
