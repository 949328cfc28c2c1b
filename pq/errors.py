"""The branch of the error tree of the room ``pq`` (root: ``topics/errors.py``).

WritebackError
└── ScriptError
    ├── BadField        a value that JSON does not have, or an argument that is no dict; the message names it
    ├── NotFound        ``get`` found no record
    ├── Ambiguous       ``findone`` or ``get`` found several
    └── NotSent         what was emitted could not be handed to the log in time
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
