"""Why a run failed, in words."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from connectors.errors import CallFailed, Unreachable
from worker.refresher.sync.failures import expected, explain


@pytest.mark.parametrize(
    ("error", "said", "retry"),
    [
        (CallFailed("HTTP 404"), "HTTP 404", False),
        (Unreachable("HTTP 503 (5 times)"), "HTTP 503 (5 times)", True),
        (sqlite3.OperationalError("database or disk is full"), "the warehouse wh is full: database or disk", True),
        (sqlite3.OperationalError("database is locked"), "the warehouse wh does not answer: database is locked", True),
        (
            sqlite3.IntegrityError("NOT NULL constraint failed"),
            "the warehouse wh refused what was read: NOT NULL",
            False,
        ),
        (PermissionError(13, "Permission denied"), "cannot be written to by this user", False),
        (KeyError("id"), "a bug: KeyError: 'id'; please report it", False),
    ],
)
def test_the_root_of_a_failure_is_what_is_said(error: Exception, said: str, retry: bool) -> None:
    """However deep the loader has wrapped it."""
    wrapped = RuntimeError("Pipeline execution failed at step=load")
    wrapped.__cause__ = RuntimeError("load job failed")
    wrapped.__cause__.__cause__ = error

    detail, again = explain(wrapped, "wh")

    assert said in detail
    assert again is retry
    assert expected(wrapped) is not isinstance(error, KeyError)


def test_values_are_not_repeated() -> None:
    """The statement and what was in it stay out of the message."""
    error = OperationalError("INSERT INTO t VALUES (:a)", {"a": "secret"}, sqlite3.OperationalError("no such table: t"))

    assert "secret" not in explain(error, "wh")[0]
