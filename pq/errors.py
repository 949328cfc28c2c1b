"""The branch of the error tree of the room ``pq`` (root: ``topics/errors.py``).

WritebackError
└── ScriptError
    ├── BadField        a value that JSON does not have, or an argument that is no dict; the message names it
    ├── NotFound        ``get`` found no record
    ├── Ambiguous       ``findone`` or ``get`` found several
    ├── NotSent         what was emitted could not be handed to the log in time
    └── WarehouseError  the warehouse refused; its own words, with the table
        ├── UnknownWarehouse      no warehouse of that name; the message lists the names
        ├── UnknownTable          no such schema or table; the message lists what there is
        ├── UnknownColumn         the table has no such column; the message lists its columns
        └── WarehouseUnavailable  it cannot be reached, or is locked, now; worth trying again
"""

from __future__ import annotations

from topics.errors import WritebackError


class ScriptError(WritebackError):
    """Something about a script's call."""


class BadField(ScriptError, TypeError):
    """A value that cannot be sent."""


class NotFound(ScriptError, LookupError):
    """No such record."""


class Ambiguous(ScriptError, LookupError):
    """Several records where one was asked for."""


class NotSent(ScriptError):
    """The log did not take what was emitted."""


class WarehouseError(ScriptError):
    """The warehouse refused a statement."""


class UnknownWarehouse(WarehouseError, LookupError):
    """No warehouse of that name."""


class UnknownTable(WarehouseError, LookupError):
    """No such schema or table."""


class UnknownColumn(WarehouseError, LookupError):
    """The table has no such column."""


class WarehouseUnavailable(WarehouseError):
    """The warehouse cannot be reached now."""
