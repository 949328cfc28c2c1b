"""What operators ordered about topics that are held: for the worker that has them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "topic_orders",
        sa.Column("topic", sa.String(255), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(15), nullable=False),
        sa.Column("below", sa.BigInteger, nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("time", sa.Float(53), nullable=False),
        sa.Column("answer", sa.Text),
        if_not_exists=True,
    )
