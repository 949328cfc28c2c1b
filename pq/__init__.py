"""The one-line client for scripts: ``pq.connect("Hubspot").add("contact", {"email": "john@acme.com"})``."""

from pq._current import flush
from pq._handle import Handle, connect, list_connections
from pq._resync import full_resync, refresh_connection, update_connector
from pq._state import get_state, set_state
from pq._wait import Outcomes, wait
from pq.errors import (
    Ambiguous,
    BadField,
    NotFound,
    NotSent,
    ScriptError,
    UnknownColumn,
    UnknownTable,
    UnknownWarehouse,
    WarehouseError,
    WarehouseUnavailable,
)
from pq.receipt import Receipt
from pq.warehouse import DW_NAME, dbconnect

__all__ = [
    "DW_NAME",
    "Ambiguous",
    "BadField",
    "Handle",
    "NotFound",
    "NotSent",
    "Outcomes",
    "Receipt",
    "ScriptError",
    "UnknownColumn",
    "UnknownTable",
    "UnknownWarehouse",
    "WarehouseError",
    "WarehouseUnavailable",
    "connect",
    "dbconnect",
    "flush",
    "full_resync",
    "get_state",
    "list_connections",
    "refresh_connection",
    "set_state",
    "update_connector",
    "wait",
]
