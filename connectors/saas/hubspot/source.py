"""A custom object for the warehouse, with whom its records belong to: its schema says which kinds those may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.engine.manifest.read import ColumnType, PagedRequest, Related
from connectors.engine.runner.source import Source

TYPES: Final = {"0-1": "contacts", "0-2": "companies", "0-3": "deals", "0-5": "tickets"}
"""HubSpot's own kinds, as a schema names them."""
DEFINED: Final = PagedRequest(path="{settings.schemas_prefix}/{object.type}", records="associations")


class CustomSource(Source):
    """``related``: how each kind is asked for, as the names of ``TYPES``."""

    def __init__(self, *args: Any, related: Mapping[str, Related]) -> None:
        super().__init__(*args)
        self._askable = related

    async def properties(self) -> dict[str, ColumnType]:
        """Asked first of all: from now on what belongs to the records is known, too."""
        ends: set[str] = set()
        async for defined, _, _ in self._pages(DEFINED, {}, None, f"the associations of {self.name}"):
            ends |= {str(one.get(end)) for one in defined for end in ("fromObjectTypeId", "toObjectTypeId")}
        kinds = [kind for type_id, kind in TYPES.items() if type_id in ends]
        self.spec = self.spec.model_copy(update={"related": {kind: self._askable[kind] for kind in kinds}})
        return await super().properties()
