"""HubSpot's search: filters, sorting, paging, and a lag behind the writes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.portal import Portal, Refused, Stored

MAX_PAGE = 200
MAX_RESULTS = 10_000


def search(portal: Portal, kind: str, asked: dict[str, Any], *, seen_until: float) -> dict[str, Any]:
    """The body of the answer; a record written after ``seen_until`` is not in the index yet. Raises ``Refused``."""
    limit = int(asked.get("limit") or 10)
    start = int(asked.get("after") or 0)
    if limit > MAX_PAGE or start + limit > MAX_RESULTS:
        raise Refused(400, "VALIDATION_ERROR", f"A page has at most {MAX_PAGE} results, a search {MAX_RESULTS} in all")
    matches = _filter(asked)
    records = portal.records[kind].values()
    found = [r for r in records if not r.archived and r.changed <= seen_until and matches(r)]
    _sort(found, asked.get("sorts") or [])
    names = asked.get("properties") or []
    page = found[start : start + limit]
    body: dict[str, Any] = {"total": len(found), "results": [portal.shown(kind, record, names) for record in page]}
    if start + limit < len(found):
        body["paging"] = {"next": {"after": str(start + limit)}}
    return body


def _filter(asked: dict[str, Any]) -> Callable[[Stored], bool]:
    groups = [[_test(item) for item in group.get("filters", [])] for group in asked.get("filterGroups") or []]
    query = str(asked.get("query") or "").lower()

    def matches(record: Stored) -> bool:
        if query and not any(query in value.lower() for value in record.properties.values()):
            return False
        return not groups or any(all(test(record) for test in group) for group in groups)

    return matches


def _test(item: dict[str, Any]) -> Callable[[Stored], bool]:
    name, operator = str(item.get("propertyName")), str(item.get("operator"))
    wanted = str(item.get("value") or "").lower()
    several = {str(value).lower() for value in item.get("values") or []}
    tests: dict[str, Callable[[str], bool]] = {
        "EQ": lambda value: value == wanted,
        "NEQ": lambda value: value != wanted,
        "IN": lambda value: value in several,
        "NOT_IN": lambda value: value not in several,
        "HAS_PROPERTY": bool,
        "NOT_HAS_PROPERTY": lambda value: not value,
        "CONTAINS_TOKEN": lambda value: wanted.strip("*") in value,
        "LT": lambda value: _order(value) < _order(wanted),
        "LTE": lambda value: _order(value) <= _order(wanted),
        "GT": lambda value: _order(value) > _order(wanted),
        "GTE": lambda value: _order(value) >= _order(wanted),
    }
    if operator not in tests:
        raise Refused(400, "VALIDATION_ERROR", f"The operator {operator} is none of {', '.join(tests)}")
    test = tests[operator]
    return lambda record: test(record.properties.get(name, "").lower())


def _order(value: str) -> tuple[int, float, str]:
    """Numbers before text; a time counts as its milliseconds, which is how filters write it."""
    try:
        return (0, float(value), "")
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(value.upper())
        return (0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000, "")
    except ValueError:
        return (1, 0.0, value)


def _sort(found: list[Stored], sorts: list[Any]) -> None:
    for sort in reversed(sorts):
        name = sort.get("propertyName", "") if isinstance(sort, dict) else str(sort)
        descending = name.startswith("-") or (isinstance(sort, dict) and sort.get("direction") == "DESCENDING")
        name = name.lstrip("-")
        found.sort(key=lambda record: _order(record.properties.get(name, "")), reverse=descending)
