"""Connections to the database: where it may be, how long it may take, and what its tables have."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from connectors.engine.transport.addresses import AddressGuard
from connectors.errors import BadConnection

DEFAULT_PORT = 5_432
LONGEST_CONNECT_S = 30
KEPT_S = 300
"""A connection that is older is made anew: what stands between us and a database forgets idle ones."""


def open_database(
    text: str, password: str | None, guard: AddressGuard, *, timeout_seconds: float, connections: int
) -> sa.Engine:
    """Opens nothing yet. Raises ``BadConnection`` for a URL that is none of ours."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise BadConnection("a sql connection: url is no URL such as postgresql://user@host/database") from None
    if url.password:
        raise BadConnection("a sql connection: the url holds a password; give it as the secret `password`")
    if url.get_backend_name() == "sqlite":
        return sa.create_engine("sqlite://", creator=_sqlite(url, timeout_seconds), poolclass=sa.NullPool)
    if url.get_backend_name() != "postgresql" or not url.host or not url.database:
        raise BadConnection(f"a sql connection: {text!r} is none of postgresql://user@host/database, sqlite:////path")
    return sa.create_engine(
        "postgresql+psycopg://",
        creator=_postgresql(url, password, guard, timeout_seconds),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        pool_recycle=KEPT_S,
        pool_pre_ping=True,
    )


def _sqlite(url: URL, timeout_seconds: float) -> Callable[[], sqlite3.Connection]:
    if not url.database or url.database == ":memory:":
        raise BadConnection("a sql connection: sqlite needs the path of a file, sqlite:////path/to/file.db")
    path = f"file:{quote(url.database)}?mode=rw"

    def connect() -> sqlite3.Connection:
        # mode=rw: a file that is not there is a mistake, and no new database
        return sqlite3.connect(path, uri=True, timeout=timeout_seconds, check_same_thread=False)

    return connect


def _postgresql(url: URL, password: str | None, guard: AddressGuard, timeout_seconds: float) -> Callable[[], Any]:
    try:
        import psycopg  # noqa: PLC0415 - an extra: not everybody has it
    except ImportError:
        raise BadConnection(
            "a sql connection to PostgreSQL needs its driver: pip install 'writeback[postgres]'"
        ) from None
    host, port = str(url.host), url.port or DEFAULT_PORT
    milliseconds = int(timeout_seconds * 1_000)

    given: dict[str, Any] = {name: str(value) for name, value in url.query.items()} | {
        "host": host,  # for the certificate's name; the address is looked up below
        "port": port,
        "dbname": url.database,
        "user": url.username,
        "password": password,
        "connect_timeout": max(2, min(int(timeout_seconds), LONGEST_CONNECT_S)),
        "tcp_user_timeout": milliseconds,
        "options": f"-c statement_timeout={milliseconds}",
        "application_name": "writeback",
    }
    return lambda: psycopg.connect(**given, hostaddr=_allowed(host, port, guard))


def _allowed(host: str, port: int, guard: AddressGuard) -> str:
    """The address to connect to: the guard looks at it after DNS, so that no name gets around it."""
    refused: OSError | None = None
    for address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            guard(address).close()
        except OSError as error:
            refused = error
        else:
            return str(address[4][0])
    raise refused or OSError(f"{host} has no address")
