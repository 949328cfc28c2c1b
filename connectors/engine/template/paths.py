"""Looking into a JSON value: JMESPath; the plain ``a.b.c`` that is nearly all of it is done by dictionary look-ups."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

Look = Callable[[Any], Any]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def compile_path(expression: str) -> Look:
    """A function from a JSON value to what is at the path, None where there is nothing.

    Raises ``ValueError`` when the expression is not JMESPath.
    """
    if expression == "@":
        return _itself
    if _PLAIN.fullmatch(expression):
        return _plain(tuple(expression.split(".")))
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        raise ValueError(f"{expression!r} is not JMESPath: {error}") from error
    return lambda value: _search(compiled, value)


def _itself(value: Any) -> Any:
    return value


def _plain(names: tuple[str, ...]) -> Look:
    def look(value: Any) -> Any:
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return look


def _search(compiled: Any, value: Any) -> Any:
    try:
        return compiled.search(value)
    except JMESPathError:
        return None  # a function applied to what the vendor did not send: there is nothing at this path
