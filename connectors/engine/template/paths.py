"""Looks into a JSON value by JMESPath; a plain ``a.b.c``, the usual case, is done by dictionary look-ups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

Look = Callable[[Any], Any]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_COMPARED_WITH_A_NAME = re.compile(r"""(?:==|!=)\s*("[^"]*")""")
_CONSTANTS: Final = frozenset({"true", "false", "null"})


@lru_cache(maxsize=2_048)
def compile_path(expression: str) -> Look:
    """A function from a JSON value to the value at the path; None when there is nothing.

    Raises ``ValueError`` when the expression is not JMESPath.
    """
    if expression == "@":
        return _itself
    if _PLAIN.fullmatch(expression):
        return _plain(tuple(expression.split(".")))
    try:
        compiled = jmespath.compile(expression)
    except JMESPathError as error:
        words = str(error).partition("\n")[0].rstrip(":").removesuffix(", for expression")
        raise ValueError(f"{expression!r} is not JMESPath: {words}") from error
    for mistake in _mistakes(expression, compiled.parsed):
        raise ValueError(f"{expression!r}: {mistake}")
    return lambda value: _search(compiled, value)


def _mistakes(expression: str, node: Any) -> Iterator[str]:
    """Mistakes that JMESPath accepts silently, and that are never true."""
    if (match := _COMPARED_WITH_A_NAME.search(expression)) is not None:
        yield f"{match[1]} is a field's name in JMESPath; the text is written '{match[1][1:-1]}'"
    for part in _nodes(node):
        name, given = part.get("value"), len(part.get("children", ()))
        if part["type"] == "comparator":
            for side in part["children"]:
                if side["type"] == "field" and side["value"] in _CONSTANTS:
                    yield f"{side['value']} is a field's name in JMESPath; the value is written `{side['value']}`"
        if part["type"] == "function_expression":
            known = Functions.FUNCTION_TABLE.get(name)
            if known is None:
                yield f"JMESPath has no function {name}; it has {', '.join(sorted(Functions.FUNCTION_TABLE))}"
            elif given != len(known["signature"]) and not known["signature"][-1].get("variadic"):
                yield f"{name} takes {len(known['signature'])} arguments, not {given}"


def _nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):  # the children of a slice are bare numbers
        yield node
        for child in node.get("children", ()):
            yield from _nodes(child)


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
        return None  # a function was applied to a value that the vendor did not send
