"""What a script keeps from one run to the next, and waiting for many outcomes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import pq
from pq._session import Session
from pq.testing import Write, recorded
from topics.event.event import Event

ROOT = Path(__file__).parents[2]


def test_a_state_is_there_in_the_next_run(session: Session, tmp_path: Path) -> None:
    """A script finds what it kept, in another process; another script finds nothing."""
    text = "import pq; print(pq.get_state()); pq.set_state({'since': 7, 'ids': ['a']})"
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(text)

    said = [
        subprocess.run(
            [sys.executable, name], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for name in ("one.py", "one.py", "two.py")
    ]  # fmt: skip

    assert said == ["None", "{'since': 7, 'ids': ['a']}", "None"]


def test_any_json_value(session: Session) -> None:
    """Replaced as a whole; a time is kept as its text, and what JSON does not have is refused by its place."""
    pq.set_state([1, None, 2.5], script="nightly")
    pq.set_state(datetime(2026, 11, 29, tzinfo=UTC), script="nightly")

    assert pq.get_state(script="nightly") == "2026-11-29T00:00:00+00:00"
    with pytest.raises(pq.BadField, match="the state"):
        pq.set_state({"x": object()}, script="nightly")
    pq.set_state(None, script="nightly")
    assert pq.get_state(script="nightly") is None


def test_a_script_without_a_file_says_its_name(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interactive session has no state of its own."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)

    with pytest.raises(pq.ScriptError, match='script="name"'):
        pq.get_state()


def test_wait_sorts_the_outcomes(
    session: Session,
    emitted: Callable[[str], list[Event]],
    answer: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Delivered, failed and pending, each receipt in its list; with a bar on stderr where one is asked for."""
    hubspot = pq.connect("Hubspot")
    receipts = [hubspot.update("contact", id=number, phone="1") for number in range(3)]
    pq.flush()
    first, second, _ = emitted("hubspot")
    answer(first, detail={})
    answer(second, "dead", reason="HTTP 400", letter="abc")

    outcomes = pq.wait(receipts, timeout=2.0, progress=True)

    assert outcomes == ([receipts[0]], [receipts[1]], [receipts[2]])
    assert str(outcomes) == "1 delivered, 1 failed, 1 pending"
    assert "waiting for outcomes" in capfd.readouterr().err


def test_scripts_under_test_have_a_state_of_their_own() -> None:
    """``recorded`` keeps it for its block."""
    with recorded(answer=lambda write: {"status": "error" if write.fields["id"] else "success", "detail": ""}) as sent:
        pq.set_state(3, script="x")
        outcomes = pq.wait(pq.connect("CRM").add("contact", id=number) for number in (0, 1))

        assert (pq.get_state(script="x"), len(outcomes.failed)) == (3, 1)
    assert sent == [Write("CRM", "add", "contact", {"id": number}) for number in (0, 1)]
