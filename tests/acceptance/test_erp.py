"""The far end is real: parties from a CSV, through topics and worker, into an ERP that has rules of its own."""

from __future__ import annotations

import pytest

from tests.acceptance.tryton import PARTIES, Erp, erp

__all__ = ["erp"]

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def test_the_erp_creates_changes_and_deletes(erp: Erp) -> None:
    """The ERP answers 200, 200 and 204 to POST, PUT and DELETE, and holds what they said."""
    created = erp.call("POST", PARTIES, {"code": "P1", "name": "Acme"})
    number = created.json()["id"]
    changed = erp.call("PUT", f"{PARTIES}/{number}", {"name": "Acme Ltd"})
    held = erp.parties()
    deleted = erp.call("DELETE", f"{PARTIES}/{number}")

    assert (created.status_code, changed.status_code, deleted.status_code) == (200, 200, 204)
    assert held == {"P1": "Acme Ltd"}
    assert erp.parties() == {}


def test_the_erp_refuses_a_second_party_of_the_same_code(erp: Erp) -> None:
    """A duplicate code is refused with 400 and a sentence that a person understands."""
    erp.call("POST", PARTIES, {"code": "P1", "name": "Acme"})
    refused = erp.call("POST", PARTIES, {"code": "P1", "name": "Other"})

    assert refused.status_code == 400
    assert refused.json()["message"] == "The code on party must be unique."
    assert erp.parties() == {"P1": "Acme"}


def test_the_erp_says_what_is_gone_and_who_may_not(erp: Erp) -> None:
    """Changing what is not there is 404; a wrong key is 401."""
    gone = erp.call("DELETE", f"{PARTIES}/4711")
    erp.key = "wrong"
    stranger = erp.call("GET", PARTIES)

    assert (gone.status_code, stranger.status_code) == (404, 401)
