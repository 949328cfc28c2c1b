"""Scripts as Streamlit runs them: in a thread that is not the main one, from the top again at every click.

Streamlit itself is half a gigabyte with what it needs, and no part of the set-up: where it is installed
(``pip install 'writeback[streamlit]'``) its own test runner runs the script, too.
"""

from __future__ import annotations

import sys
import threading
import types

import pytest

from pq.testing import recorded

SCRIPT = """
import pq
import streamlit as st

Odoo = pq.connect("Odoo") # use your name of the connection

result = Odoo.update("product", id = 1, name = "New product name")
st.text("Result: %s" % result)
"""
SHOWN = "Result: {'status': 'success', 'detail': {}}"


def test_a_script_in_a_thread_of_its_own_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run sends its write once and shows its result."""
    shown: list[str] = []
    stand_in = types.ModuleType("streamlit")
    stand_in.text = shown.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "streamlit", stand_in)
    code = compile(SCRIPT, "script.py", "exec")
    with recorded() as sent:
        for _ in range(2):
            thread = threading.Thread(target=exec, args=(code, {"__name__": "__main__"}))
            thread.start()
            thread.join(10)

    assert shown == [SHOWN] * 2
    assert [write.fields for write in sent] == [{"id": 1, "name": "New product name"}] * 2


def test_under_streamlit_itself() -> None:
    """``st.text("Result: %s" % result)`` shows the result."""
    testing = pytest.importorskip("streamlit.testing.v1", reason="pip install 'writeback[streamlit]'")
    with recorded() as sent:
        app = testing.AppTest.from_string(SCRIPT).run(timeout=30)
        app = app.run(timeout=30)

    assert not app.exception
    assert [element.value for element in app.text] == [SHOWN]
    assert len(sent) == 2
