"""What scripts keep between their runs: one JSON value each, in the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Engine, Float, MetaData, String, Table, select

from topics.store import inserting, reading

METADATA = MetaData()
SCRIPT_STATES = Table(
    "script_states",
    METADATA,
    Column("script", String(1_024), primary_key=True),
    Column("value", JSON, nullable=False),
    Column("changed", Float(53), nullable=False),
)


class ScriptStates:
    """Raises ``StoreUnavailable``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, script: str) -> Any:
        """None for a script that has kept nothing."""
        with reading(self._engine) as transaction:
            return transaction.scalar(select(SCRIPT_STATES.c.value).where(SCRIPT_STATES.c.script == script))

    def set(self, script: str, value: Any, now: float) -> None:
        keeping = inserting(self._engine, SCRIPT_STATES).values(script=script, value=value, changed=now)
        keeping = keeping.on_conflict_do_update(
            index_elements=["script"], set_={"value": keeping.excluded.value, "changed": keeping.excluded.changed}
        )
        with self._engine.begin() as transaction:
            transaction.execute(keeping)
