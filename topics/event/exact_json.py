"""JSON whose numbers keep every digit: ``Decimal`` where a double would give back other digits than were written.

Python's ``float`` and pydantic's parser round 12345678901234567.89 in silence. Here a number with a fraction or an
exponent becomes a ``float`` when the float has the same value, else a ``Decimal``; ``dumps`` writes a ``Decimal`` as
plain digits, where pydantic would write a text.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from math import isfinite, isinf
from typing import Any, NoReturn
from uuid import uuid4

from pydantic_core import to_json

MAX_DEPTH = 190
"""Objects and lists inside each other. The parser that workers use stops at 200, and an envelope needs a few."""
MAX_DIGITS = 4_000
"""Of an integer. The parser that workers use stops at 4,300."""
_TOO_LARGE = 10**MAX_DIGITS
PLAIN_EXPONENT = 400
"""Beyond it a number is written with an exponent: further than any double goes, zeros help nobody."""

_NEEDS_CARE = re.compile(rb"[0-9.]{16}|[0-9][eE][-+]?[0-9]{3}")
"""Any number that a double may not give back: more than 15 digits with the point, or an exponent near the limits."""


_MISTAKES = {
    "Expecting value": "a value is missing",
    "Extra data": "something follows the JSON",
    "Expecting property name enclosed in double quotes": "a name in double quotes is missing",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Unterminated string starting at": "a text is not closed that begins",
    "Invalid control character at": "a line break or other control character is not written as \\n or \\u001f",
    "Invalid \\escape": "a backslash is not written as \\\\",
    "Invalid \\uXXXX escape": "four digits are missing behind \\u",
    "Illegal trailing comma before end of object": "nothing follows a comma",
    "Illegal trailing comma before end of array": "nothing follows a comma",
    "Unexpected UTF-8 BOM (decode using utf-8-sig)": "a byte order mark stands",
}
"""What Python's parser says, and what it means."""

_KINDS = {
    dict: "object",
    list: "list",
    str: "string",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
}


def kind(value: Any) -> str:
    """What JSON calls a value that was read: ``a JSON list``, or ``null``."""
    return "null" if value is None else f"a JSON {_KINDS[type(value)]}"


def number(text: str) -> float | Decimal:
    """The number that JSON writes with a fraction or an exponent. Raises ``ValueError`` beyond 1.8e308."""
    nearest = float(text)
    if isinf(nearest):
        raise ValueError(f"the number {_short(text)} is beyond what a double takes (1e308)")
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent of more digits than Decimal counts with
        raise ValueError(f"the number {_short(text)} is too close to zero to be kept") from None
    return nearest if exact == Decimal(repr(nearest)) else exact


def may_round(value: bytes) -> bool:
    """Whether JSON text may hold a number that a double does not give back. Quick; may be wrong on the safe side."""
    return _NEEDS_CARE.search(value) is not None


def loads(text: str | bytes) -> Any:
    """Read JSON that a person or a program handed in, strictly.

    Raises ``ValueError`` with a reason that names the field: for what is no JSON (NaN, a name given twice), and for
    what no worker could read (half a surrogate pair, too deep, integers of thousands of digits).
    """
    try:
        value = json.loads(
            text,
            parse_float=number,
            parse_int=_integer,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError as error:
        raise ValueError(_mistake(error)) from error
    check(value)
    return value


def loads_checked(value: bytes) -> Any:
    """The same digits from text that has been read as JSON once already; nothing else is judged again."""
    return json.loads(value, parse_float=number)


def check(value: Any) -> None:
    """Raises ``ValueError``, naming the field, for what a worker could not read.

    That is half a surrogate pair, what is nested too deep, and an integer of too many digits.
    """
    stack: list[tuple[str, Any, int]] = [("", value, 1)]
    while stack:
        path, item, depth = stack.pop()
        if isinstance(item, str):
            if not item.isascii() and not _encodable(item):
                raise ValueError(f"{path or 'the text'} holds half a surrogate pair, which is no character")
            continue
        if isinstance(item, int) and abs(item) >= _TOO_LARGE:
            raise ValueError(f"{path or 'the number'} is an integer of more than {MAX_DIGITS:,} digits")
        if not isinstance(item, (Mapping, list, tuple)):
            continue
        if depth > MAX_DEPTH:
            raise ValueError(f"{path.partition('.')[0].partition('[')[0]} is nested deeper than {MAX_DEPTH} levels")
        if isinstance(item, Mapping):
            for name, inner in item.items():
                if not _encodable(name):
                    raise ValueError(f"the name {name!a} holds half a surrogate pair, which is no character")
                stack.append((f"{path}.{name}" if path else name, inner, depth + 1))
        else:
            stack.extend((f"{path}[{index}]", inner, depth + 1) for index, inner in enumerate(item))


def dumps(value: Any) -> bytes:
    """JSON as pydantic writes it, with each ``Decimal`` as a number of the same digits.

    Raises ``ValueError`` for what JSON does not have; ``NaN`` and infinity among floats are not looked for.
    """
    return _written(value) if _has_decimal(value) else to_json(value)


def shown(value: Any, *, indent: int | None = None) -> str:
    """JSON for readers, people and machines: a ``Decimal`` is a number, what JSON does not know is its text."""
    return _text(value, str, indent=indent, ensure_ascii=False)


def stored(value: Any) -> str:
    """JSON in ASCII for a column of a database; half a surrogate pair, which somebody's letter may hold, is escaped.

    Raises ``TypeError`` for what JSON does not know.
    """
    return _text(value, _unknown)


def plain(value: Decimal) -> str:
    """The digits of a finite decimal without an exponent: 0.00001 and not 1E-5."""
    return f"{value:f}" if abs(value.adjusted()) <= PLAIN_EXPONENT else str(value)


def overflowing(value: dict[str, Any] | list[Any]) -> str | None:
    """The path of a number that was read as infinity."""
    for name, item in value.items() if isinstance(value, dict) else enumerate(value):
        kind = type(item)
        if kind is float:
            if not isfinite(item):
                return str(name)
        elif (kind is dict or kind is list) and (inner := overflowing(item)) is not None:
            return f"{name}.{inner}"
    return None


def _mistake(error: json.JSONDecodeError) -> str:
    """In the words of whoever wrote it, with the place."""
    if not error.doc.strip():
        return "it is empty"
    said = _MISTAKES.get(error.msg.removesuffix(": "), error.msg)  # one of them ends with a colon of its own
    if error.pos >= len(error.doc.rstrip()):
        return f"{said} at its end"
    line = f"line {error.lineno}, " if "\n" in error.doc.strip() else ""
    return f"{said} at {line}character {error.colno}"


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(text):,} digits; it may have {MAX_DIGITS:,}")
    return int(text)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON: send null for a missing value, or leave the field out")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{_short(twice)} is given twice in one object")
    return value


def _has_decimal(value: Any) -> bool:
    kind = type(value)
    if kind is str or kind is int or kind is float:  # nearly everything is, and this is asked for every event
        return False
    if kind is Decimal:
        return True
    if isinstance(value, Mapping):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    for item in value:
        kind = type(item)
        if kind is not str and kind is not int and kind is not float and _has_decimal(item):
            return True
    return False


def _written(value: Any) -> bytes:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is no number that JSON has")
        return plain(value).encode()
    if isinstance(value, Mapping):
        return b"{" + b",".join(to_json(name) + b":" + _written(item) for name, item in value.items()) + b"}"
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(_written(item) for item in value) + b"]"
    return to_json(value)


def _text(value: Any, other: Callable[[object], str], **options: Any) -> str:
    """As ``json.dumps``, which has no way to write a ``Decimal``: each is a mark first, then its digits."""
    mark, numbers = uuid4().hex, deque[str]()

    def told(unknown: object) -> str:
        if not isinstance(unknown, Decimal):
            return other(unknown)
        numbers.append(plain(unknown))
        return mark

    text = json.dumps(value, default=told, **options)
    return re.sub(f'"{mark}"', lambda _: numbers.popleft(), text) if numbers else text


def _unknown(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is no JSON")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _short(text: str) -> str:
    return ascii(text)[1:-1] if len(text) <= 40 else ascii(text[:40])[1:-1] + "..."
