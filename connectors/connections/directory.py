"""Finding a connection by what people call it, and names and slugs for new ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection as Transaction
from sqlalchemy import select
from sqlalchemy.engine import Row

from connectors.connections.table import COLUMNS, CONNECTIONS
from connectors.errors import BadConnection, UnknownConnection
from topics.names import slugify


def find(transaction: Transaction, reference: str | int, *columns: Any) -> Row[Any]:
    for condition in _conditions(reference):
        row = transaction.execute(select(*columns).where(condition)).one_or_none()
        if row is not None:
            return row
    raise _unknown(transaction, reference)


def _conditions(reference: str | int) -> Iterator[Any]:
    if isinstance(reference, str):
        yield CONNECTIONS.c.folded_name == reference.strip().casefold()
        yield CONNECTIONS.c.slug == reference
        if not (reference.isascii() and reference.isdigit() and len(reference) < 10):
            return
    yield CONNECTIONS.c.id == int(reference)


def _unknown(transaction: Transaction, reference: str | int) -> UnknownConnection:
    names = list(transaction.scalars(select(CONNECTIONS.c.name).order_by("folded_name")))
    if not names:
        return UnknownConnection(f"no connection {reference!r}: there are none yet (`writeback connections add`)")
    folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(str(reference).casefold(), folded, n=1)
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    return UnknownConnection(f"no connection {reference!r}; there are: {', '.join(names)}.{hint}")


def named(transaction: Transaction, name: str, own_id: int | None = None) -> dict[str, str]:
    name = name.strip()
    folded = name.casefold()
    try:
        slugify(name)
    except ValueError as error:
        raise BadConnection(str(error)) from None
    if len(folded) > 255:
        raise BadConnection(f"a connection's name has at most 255 characters; this one has {len(folded)}")
    taken = (CONNECTIONS.c.folded_name == folded) | (CONNECTIONS.c.slug == folded)
    other = transaction.execute(select(*COLUMNS).where(taken, CONNECTIONS.c.id != (own_id or 0))).first()
    if other is not None:
        raise BadConnection(f"there is a connection {other.name!r} already (slug {other.slug}); take another name")
    return {"name": name, "folded_name": folded}


def free_slug(transaction: Transaction, name: str) -> str:
    """The name as a slug; ``-2``, ``-3`` ... behind it when that is another's slug or another's name."""
    wanted = slugify(name)
    taken = {word for row in transaction.execute(select(CONNECTIONS.c.slug, CONNECTIONS.c.folded_name)) for word in row}
    slug, number = wanted, 1
    while slug in taken:
        number += 1
        slug = f"{wanted[: 63 - len(str(number)) - 1].rstrip('-')}-{number}"
    return slug
