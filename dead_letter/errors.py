"""The branch of the error tree of the room ``dead_letter`` (root: ``topics/errors.py``).

WritebackError
└── DeadLetterError
    ├── UnknownLetter          no letter of that id, or the prefix fits several; the message lists them
    ├── LetterRefused          the database does not take the letter; it is stored raw, or the command ends
    ├── BadEdit                the edit cannot be made: the letter holds no event, or the field is not there
    ├── LettersUnreadable      something in their topic cannot be read; what lies behind it is not in the store
    └── LetterChanged          somebody else has changed the letter meanwhile, or is replaying it
"""

from __future__ import annotations

from topics.errors import WritebackError


class DeadLetterError(WritebackError):
    """Something about the dead letters."""


class UnknownLetter(DeadLetterError):
    """No letter of that id, or its prefix fits several."""


class LetterRefused(DeadLetterError):
    """The database does not take this letter."""


class LettersUnreadable(DeadLetterError):
    """Something in the topic of letters cannot be read; the letters behind it are not in the store."""


class BadEdit(DeadLetterError):
    """The edit cannot be made on this letter."""


class LetterChanged(DeadLetterError):
    """Somebody else has changed the letter since it was looked at, or is replaying it."""
