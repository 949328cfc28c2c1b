"""How the workers see their connections, and that they live.

``connections_seen`` had one word for each connection, whoever said it last; nobody reads it any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.drop_table("connections_seen", if_exists=True)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(63), primary_key=True),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("owned", sa.Integer, nullable=False),
        sa.Column("beat", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "connection_states",
        sa.Column("worker", sa.String(63), primary_key=True),
        sa.Column("connection", sa.String(63), primary_key=True),
        sa.Column("state", sa.String(15), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("until", sa.Float(53)),
        if_not_exists=True,
    )
