"""What scripts and the worker ask Salesforce, as SOQL. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors.engine.runner.calls import Call, Prepared, with_params
from connectors.engine.runner.expected import Expected
from connectors.engine.template.paths import Look
from connectors.engine.template.template import Scope
from connectors.saas.salesforce import soql

TAKES: Final = frozenset({"id", "searchfield", "searchterm", "fields", "where", "limit"})
"""The names that a query may have."""


def question(sobject: str, query: Mapping[str, Any], bookmark: str | None) -> tuple[str, int]:
    """The SOQL of a read, and how many records fill its page. Raises ``ValueError``."""
    if unknown := sorted(set(query) - TAKES):
        raise ValueError(f"this read does not take {', '.join(unknown)}; it takes {', '.join(sorted(TAKES))}")
    where = query.get("where")
    if where is not None and not isinstance(where, str):
        raise ValueError(f'where is {where!r}, not a condition in SOQL such as "Email != null"')
    fields = _fields(query.get("fields"))
    size = soql.page_size(query.get("limit"), every_field=fields == [soql.EVERY_FIELD])
    conditions = [where or ""]
    if query.get("id") is not None:
        conditions.append(f"Id = {soql.literal(str(query['id']))}")
    if query.get("searchfield") is not None:
        if query.get("searchterm") is None:
            raise ValueError(f"a search by {query['searchfield']} needs a searchterm")
        conditions.append(f"{soql.field(query['searchfield'])} = {soql.literal(query['searchterm'])}")
    if bookmark is not None:
        conditions.append(f"Id > {soql.literal(bookmark)}")
    return soql.select(sobject, fields, conditions, "Id", size), size


def _fields(wanted: Any) -> list[str]:
    if wanted is None:
        return [soql.EVERY_FIELD]
    if not isinstance(wanted, list | tuple) or not wanted:
        raise ValueError(f'fields is {wanted!r}, not a list of names such as ["Name", "Email"]')
    return list(dict.fromkeys(["Id", *(soql.field(one) for one in wanted)]))


@dataclass(frozen=True, slots=True)
class SoqlFind:
    """Which of these external ids are there? The values to find come as the items of the scope."""

    call: Call
    sobject: str
    unique: str

    @property
    def expected(self) -> Expected:
        return self.call.expected

    @property
    def id_at(self) -> Look | None:
        return self.call.id_at

    @property
    def detail_at(self) -> Look:
        return self.call.detail_at

    def prepare(self, scope: Scope) -> Prepared:
        unique = soql.field(self.unique)
        values = ",".join(soql.literal(value) for value in scope.items)
        asked = soql.select(self.sobject, ["Id", unique, "CreatedDate"], [f"{unique} IN ({values})"])
        prepared = self.call.prepare(replace(scope, items=[]))
        return prepared._replace(url=with_params(str(prepared.url), {"q": asked}))
