"""What scripts keep between their runs: pq.get_state and pq.set_state."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "script_states",
        sa.Column("script", sa.String(1_024), primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
        if_not_exists=True,
    )
