"""``get_state`` and ``set_state``: what a script keeps from one run to the next."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pq import _current
from pq._values import to_json_value
from pq.errors import ScriptError


def get_state(script: str | None = None) -> Any:
    """What ``set_state`` kept last, None before that.

    A script is known by the path of its file; ``script`` names another one, or one that has no file.
    """
    return _current.session().get_state(script or _this_script())


def set_state(value: Any, script: str | None = None) -> None:
    """Keep any JSON value until the next run, in the store; it is there when this returns.

    Times and dates are kept as their ISO text. Raises ``BadField`` for what JSON does not have.
    """
    _current.session().set_state(script or _this_script(), to_json_value(value, "the state"))


def _this_script() -> str:
    """Where Streamlit or a notebook runs the script, that is the script and not the program that runs it."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if not file:
        raise ScriptError('this runs outside of any script file: say whose state it is, script="name"')
    return str(Path(file).resolve())
