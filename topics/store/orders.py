"""What an operator ordered about a topic whose events a worker holds, in the store: for the worker that has it.

A worker holds what it must not decide alone: events of a connection that its store does not know, a partition whose
commits are gone, one that cannot be read. The order waits in the store until a worker that has the partition carries
it out and answers; it outlives a crash of that worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
)
from sqlalchemy import update as change

from topics.log import Partition
from topics.names import slug_of
from topics.store.engine import reading

OrderKind = Literal["ledger", "start", "end", "skip", "bury"]
"""``ledger``, ``start``, ``end``: from where to go on when the commits are gone. ``skip``: go past what cannot be
read. ``bury``: dead-letter what waits for a connection that the store does not know."""

METADATA = MetaData()
ORDERS = Table(
    "topic_orders",
    METADATA,
    Column("topic", String(255), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(15), nullable=False),
    Column("below", BigInteger, nullable=False),  # where the partition ended when the order was given
    Column("who", String(255), nullable=False),
    Column("time", Float(53), nullable=False),
    Column("answer", Text),  # NULL: not carried out yet
)


@dataclass(frozen=True, slots=True)
class Order:
    """``below``: where the partition ended when it was given: what came later is not meant. ``time``: epoch seconds.

    ``answer``: what the worker made of it, None until then.
    """

    partition: Partition
    kind: OrderKind
    below: int
    who: str
    time: float
    answer: str | None = None


class Orders:
    """Synchronous and thread-safe. Raises ``StoreUnavailable`` while the database cannot be reached."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def give(self, orders: Sequence[Order]) -> None:
        """In the place of any earlier order for the same partition."""
        with self._engine.begin() as transaction:
            for order in orders:
                transaction.execute(delete(ORDERS).where(_at(order.partition)))
                transaction.execute(
                    insert(ORDERS).values(
                        topic=order.partition.topic,
                        partition=order.partition.number,
                        kind=order.kind,
                        below=order.below,
                        who=order.who,
                        time=order.time,
                        answer=None,
                    )
                )

    def cancel(self, partitions: Iterable[Partition]) -> int:
        """Take back what was not carried out; how many orders those were."""
        waiting = [order for order in self.of(partitions) if order.answer is None]
        with self._engine.begin() as transaction:
            return sum(
                transaction.execute(delete(ORDERS).where(_at(order.partition) & ORDERS.c.answer.is_(None))).rowcount
                for order in waiting
            )

    def answer(self, order: Order, text: str) -> None:
        """It is carried out, or cannot be. An order that was given meanwhile in its place is another."""
        with self._engine.begin() as transaction:
            same = _at(order.partition) & (ORDERS.c.time == order.time)
            transaction.execute(change(ORDERS).where(same).values(answer=text))

    def waiting(self) -> dict[Partition, Order]:
        """Those that no worker has answered."""
        return {order.partition: order for order in self._read() if order.answer is None}

    def of(self, partitions: Iterable[Partition]) -> list[Order]:
        """The last order for each of these, answered or not."""
        wanted = set(partitions)
        return [order for order in self._read() if order.partition in wanted]

    def buried(self) -> set[str]:
        """The slugs whose events were ordered into the dead letters: their letters are this store's."""
        return {slug for order in self._read() if order.kind == "bury" and (slug := slug_of(order.partition.topic))}

    def _read(self) -> list[Order]:
        with reading(self._engine) as transaction:
            return [
                Order(Partition(row.topic, row.partition), row.kind, row.below, row.who, row.time, row.answer)
                for row in transaction.execute(select(ORDERS).order_by(ORDERS.c.topic, ORDERS.c.partition))
            ]


def _at(partition: Partition) -> ColumnElement[bool]:
    return (ORDERS.c.topic == partition.topic) & (ORDERS.c.partition == partition.number)
