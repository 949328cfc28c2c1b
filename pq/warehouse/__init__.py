"""The warehouse in single lines: ``pq.dbconnect(pq.DW_NAME).fetch(pq.DW_NAME, "hubspot", "contact")``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pq.warehouse.database import Database

DW_NAME: Final = "dw"
"""The warehouse that WRITEBACK_WAREHOUSE names, which refreshes fill."""


def dbconnect(name: str = DW_NAME) -> Database:
    """A warehouse, by its name: ``pq.DW_NAME``, or ``finance`` for WRITEBACK_WAREHOUSE_FINANCE.

    Connects when it is first used. Raises ``UnknownWarehouse``, which lists the names, and ``SettingsError``.
    """
    from pq.warehouse.database import connect  # noqa: PLC0415 - `import pq` is quick; SQL comes with the first use

    return connect(name)
