"""What each column of a row is: part of the key, a field of the event, the cursor."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from topics.errors import BadValue
from topics.event import exact_json
from topics.event.values import to_json_fields, to_json_value
from worker.syncs.definition.model import Sync
from worker.syncs.errors import BadSync
from worker.syncs.source.ordering import Key, Row, digest_text

Fields = dict[str, Any]
_QUICK = ({int}, {str})


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that no event can be made of."""

    key: Any
    reason: str


@dataclass(frozen=True)
class Shape:
    """``columns``: those read, in this order. ``fields``: field → index in the row. ``constants``: field → value."""

    columns: tuple[str, ...]
    key: tuple[int, ...]
    fields: Mapping[str, int]
    constants: Mapping[str, Any]
    cursor: int | None = None

    @cached_property
    def fingerprint(self) -> bytes:
        """Differs when other columns are read, or when the same columns become other fields."""
        told = [self.columns, self.key, sorted(self.fields.items()), sorted(self.constants.items())]
        return blake2b(exact_json.dumps(told), digest_size=32).digest()

    def digest(self, rows: Sequence[Row]) -> bytes:
        return blake2b(digest_text(rows), digest_size=16, key=self.fingerprint).digest()

    def keys(self, rows: Sequence[Row]) -> list[Key]:
        """The key of each row. Raises ``BadValue`` for one that has none."""
        if len(self.key) == 1:
            place = self.key[0]
            keys = [row[place] for row in rows]
            return keys if set(map(type, keys)) in _QUICK else [self.key_of(row) for row in rows]
        return [self.key_of(row) for row in rows]

    def key_of(self, row: Row) -> Key:
        """Raises ``BadValue``."""
        parts = []
        for place in self.key:
            value = to_json_value(row[place], self.columns[place])
            if value is None or isinstance(value, list | dict):
                raise BadValue(f"the key {self.columns[place]} is {'NULL' if value is None else 'no single value'}")
            parts.append(value)
        return parts[0] if len(parts) == 1 else tuple(parts)

    def with_key(self, chunk: Sequence[Row], refuse: Callable[[Refused], None]) -> tuple[Sequence[Row], Sequence[Key]]:
        """The rows that have a key, and their keys; ``refuse`` is called for each of the others."""
        try:
            return chunk, self.keys(chunk)
        except BadValue:  # some row has no key: find it, row by row
            rows: list[Row] = []
            keys: list[Key] = []
            for row in chunk:
                try:
                    keys.append(self.key_of(row))
                except BadValue as error:
                    refuse(Refused(None, str(error)))
                else:
                    rows.append(row)
            return rows, keys

    def fields_of(self, row: Row) -> Fields:
        """The fields of the event. Raises ``BadValue``."""
        return to_json_fields({**{field: row[place] for field, place in self.fields.items()}, **self.constants})

    @property
    def key_fields(self) -> dict[str, int]:
        """The fields that hold columns of the key; a column that no field holds is missing."""
        return {field: place for field, place in self.fields.items() if place in self.key}


def shape_of(sync: Sync, known: Sequence[str]) -> Shape:
    """``known``: the columns of the query. Raises ``BadSync`` for a column that is not there; it names the nearest."""
    mapped = {name: (name,) for name in known} if sync.map is None else sync.map
    wanted = [*sync.key, *mapped, *([sync.cursor] if sync.cursor else [])]
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or [one for one in known if one.lower() == name.lower()]
            hint = f" Did you mean {near[0]!r}?" if near else ""
            if sync.map is not None and name in sync.map:
                hint += " A line of map is `column: field`."
            raise BadSync(f"sync {sync.name}: the rows have no column {name!r}; they have {', '.join(known)}.{hint}")
    if twice := {name for name in known if list(known).count(name) > 1}:
        raise BadSync(f"sync {sync.name}: the query has two columns named {', '.join(sorted(twice))}: name them apart")
    columns = tuple(dict.fromkeys(wanted))
    place = {name: number for number, name in enumerate(columns)}
    if clash := set(sync.constants) & {field for names in mapped.values() for field in names}:
        raise BadSync(f"sync {sync.name}: set: {', '.join(sorted(clash))} has a column, too")
    return Shape(
        columns=columns,
        key=tuple(place[name] for name in sync.key),
        fields={field: place[name] for name, names in mapped.items() for field in names},
        constants=sync.constants,
        cursor=place[sync.cursor] if sync.cursor else None,
    )
