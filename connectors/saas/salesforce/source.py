"""One sObject for the warehouse: every field that its description names, in SOQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from connectors.engine.manifest.read import ColumnType, Sync
from connectors.engine.runner.source import Asking, Kind, Row, Source
from connectors.engine.template.template import Static
from connectors.errors import CallFailed
from connectors.saas.salesforce import soql

LONGEST: Final = 12_000
"""Characters of a question: an address has at most 16,384 bytes, and commas take three."""


class SalesforceSource(Source):
    """``fields``: the ones to read, where not all."""

    def __init__(
        self, name: str, spec: Sync, static: Static, asking: Asking, *, sobject: str, fields: Sequence[str] | None
    ) -> None:
        super().__init__(name, spec, static, asking)
        self._sobject = sobject
        self._wanted = None if fields is None else {str(one) for one in fields}

    async def properties(self) -> dict[str, ColumnType]:
        """Raises ``CallFailed`` for a field of the setting that the object does not have."""
        known = await super().properties()
        if self._wanted is None:
            return known
        if unknown := sorted(self._wanted - {"Id"} - set(known)):
            raise CallFailed(f"refresh_fields of {self.name}: {self._sobject} has no field {', '.join(unknown)}")
        return {name: kind for name, kind in known.items() if name in self._wanted | {"SystemModstamp"}}

    def asked(self, kind: Kind, names: Sequence[str], since: datetime | None) -> Mapping[str, Any]:
        fields = ["Id", *(name for name in names if name != "Id")]
        known = super().asked(kind, names, since)
        where = [f"SystemModstamp >= {known['since']}"] if known["since"] is not None else []
        if kind == "deleted":
            fields, where = ["Id"], ["IsDeleted = true", *where]
        text = soql.select(self._sobject, fields, where, "Id" if kind == "all" else None)
        if len(text) > LONGEST:
            raise CallFailed(
                f"{self._sobject} has {len(names)} fields, more than fit into one question: name those that you "
                f"need in the connection's setting refresh_fields, as in {{'{self.name}': ['Name']}}"
            )
        return {**known, "soql": text}

    def _rows(self, records: Sequence[Any]) -> list[Row]:
        """``Id`` is the column ``id``; ``attributes`` says only what kind of record it is."""
        return [
            {"id" if name == "Id" else name: value for name, value in row.items() if name != "attributes"}
            for row in super()._rows(records)
        ]
