"""From a row's cells to an event's fields: which column is which field, and of which type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from pq.csv.rows import BadFile
from topics.event import exact_json

Empty = Literal["skip", "null", "text"]

_HARDLY_A_NAME = re.compile(r"#|//|[-+]?[0-9][-+0-9.,:/ T]*$|[^\s@]+@[^\s@]+\.")
"""A comment, a number, a date or an address."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})\.[0-9]{1,15}")
_WHOLE = re.compile(r"\s*[+-]?[0-9]+\s*")
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _boolean(cell: str) -> bool:
    try:
        return _TRUTH[cell.strip().lower()]
    except KeyError:
        raise ValueError("neither true nor false") from None


def _whole(cell: str) -> int:
    """Python reads 1_000 and the digits of other scripts, too: nobody's export has them for numbers."""
    if not _WHOLE.fullmatch(cell):
        raise ValueError("not a whole number such as 42")
    return int(cell)


def _number(cell: str) -> float | Decimal:
    if not _NUMBER.fullmatch(cell):
        raise ValueError("not a number such as 1234.5")
    return exact_json.number(cell.strip())


def _json(cell: str) -> Any:
    try:
        return exact_json.loads(cell)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error


def guess(cell: str) -> Any:
    """A number or true/false where a cell can be nothing else, and the number written is the cell again.

    ``007``, ``1.10``, ``-0`` and ``+32 2 555`` stay what they are: text.
    """
    if _INTEGER.fullmatch(cell):
        return int(cell) if cell != "-0" else cell
    if _DECIMAL.fullmatch(cell):
        number = float(cell)
        return number if repr(number) == cell else cell
    return {"true": True, "false": False}.get(cell.lower(), cell)


TYPES: dict[str, Callable[[str], Any]] = {
    "str": str, "int": _whole, "float": _number, "bool": _boolean, "json": _json,
}  # fmt: skip


class Fields:
    """Made once per file. ``key``: the field that must not be empty, and gives the key where the connector has none.

    Raises ``BadFile`` for a name that is not in the file's header: a slip there would be one in every event.
    """

    def __init__(
        self,
        columns: Sequence[str],
        *,
        renamed: Mapping[str, str],
        types: Mapping[str, str],
        key: str | None = None,
        infer: bool = False,
        empty: Empty = "skip",
    ) -> None:
        self._names = [renamed.get(column, column) for column in columns]
        self.names = [name for name in self._names if name]
        """What the events can have."""
        self._empty = empty
        for name in renamed:
            _known(name, columns, "--map")
        for name in types:
            _known(name, list(dict.fromkeys([*columns, *self._names])), "--types")
        if two := [name for name in self._names if name and self._names.count(name) > 1]:
            raise BadFile(f"--map makes two columns {two[0]}: leave one of them out, --map COLUMN=")
        for kind in types.values():
            if kind not in TYPES:
                raise BadFile(f"--types says {kind!r}; it is one of {', '.join(TYPES)}")
        self.key = renamed.get(key, key) if key is not None else None
        if self.key is not None:
            _known(self.key, self._names, "--key")
        default = guess if infer else str
        self._casts = [
            TYPES[types[name]] if name in types else TYPES[types[column]] if column in types else default
            for name, column in zip(self._names, columns, strict=True)
        ]

    def of(self, cells: Sequence[str]) -> dict[str, Any]:
        """The fields of a good row. Raises ``ValueError`` that names the field."""
        fields: dict[str, Any] = {}
        for name, cast, cell in zip(self._names, self._casts, cells, strict=True):
            if not name:
                continue
            if cell or self._empty == "text":
                fields[name] = self._cast(name, cast, cell)
            elif self._empty == "null":
                fields[name] = None
        if self.key is not None and fields.get(self.key) in (None, ""):
            raise ValueError(f"{self.key} is empty, and it is the key")
        return fields

    @staticmethod
    def _cast(name: str, cast: Callable[[str], Any], cell: str) -> Any:
        try:
            return cast(cell)
        except ValueError as error:
            raise ValueError(f"{name} is {cell[:60]!r}: {error}") from error


def _known(name: str, names: Sequence[str], option: str) -> None:
    if name not in names:
        there = [one for one in names if one]
        alone = "; if that is several columns, --delimiter names what is between them" if len(there) == 1 else ""
        raise BadFile(
            f"{option} names {name!r}, and the file has no such column; it has {', '.join(there)}"
            f"{missing_header(there) or alone}"
        )


def missing_header(columns: Sequence[str]) -> str:
    """What to add about columns whose names are somebody's data, or a comment; nothing where they may be names."""
    hardly = next((name for name in columns if _HARDLY_A_NAME.match(name)), None)
    if hardly is None:
        return ""
    return (
        f". {hardly[:60]!r} is hardly the name of one: the file's first line is to name the columns; write it above "
        "the rows, or delete what stands above it"
    )
