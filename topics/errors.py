"""The root of the error tree, and the branch of the room ``topics``.

WritebackError                  anything a person can do something about; the message says what
├── MalformedEvent              a record that is not an event: it goes to the dead letters with its bytes
├── BadValue                    a value that JSON does not have: the message names its field
├── LogError
│   ├── LogUnavailable          the broker or the file cannot be reached now; worth trying again
│   ├── LogReplaced             the embedded log's file was deleted or replaced while it was in use: end, and say so
│   ├── RecordRefused           the log will never take this record (no such topic, a header that is none)
│   │   └── RecordTooLarge      a smaller one of the same topic it would take
│   ├── CommitFenced            the assignment this commit belongs to has ended; another owner has it
│   └── OffsetOutOfRange        the committed offset is no longer in the log: records were deleted unread
├── StoreUnavailable            the database of connections and letters cannot be reached now
└── SettingsError               every wrong setting in one message; exit code 2
"""

from __future__ import annotations


class WritebackError(Exception):
    """Anything that went wrong and that a person can do something about."""


class MalformedEvent(WritebackError):
    """The record is not an event. The message names what is wrong with it."""


class BadValue(WritebackError, TypeError):
    """A value that JSON does not have, by its field's name."""


class LogError(WritebackError):
    """The log did not do what it was asked."""


class LogUnavailable(LogError):
    """The broker or the file cannot be reached now."""


class LogReplaced(LogError):
    """The file of the embedded log is not the one that this process opened."""


class RecordRefused(LogError):
    """The log will never take this record."""


class RecordTooLarge(RecordRefused):
    """The record has more bytes than its topic, or its producer, takes."""


class CommitFenced(LogError):
    """The assignment that this commit belongs to has ended."""


class OffsetOutOfRange(LogError):
    """The committed offset is no longer in the log."""


class StoreUnavailable(WritebackError):
    """The database cannot be reached, or is locked, full or read-only, now."""


class SettingsError(WritebackError):
    """Every wrong setting, in one message, by its variable's name."""
