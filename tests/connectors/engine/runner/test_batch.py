"""Whose result is which."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from connectors.contract import Delivered, Rejected, Unknown, Verdict
from connectors.engine.manifest.requests import Attribution
from connectors.engine.runner.batch import Judges, compile_attribution

LOST = Unknown("unsaid")
JUDGES = Judges(
    done=Delivered,
    refused=lambda error: Rejected(str(error)),
    is_record=lambda result: isinstance(result, dict) and result != {},
    lost=lambda: LOST,
)
ITEMS = [{"trace": "t0", "id": "a"}, {"trace": "t1", "id": "b"}, {"trace": "t2", "id": "c"}]
BY_MATCH = {
    "by": "match",
    "results": "results",
    "errors": "errors",
    "match": [
        {"input": "trace", "result": "trace", "error": "context.trace"},
        {"input": "id", "result": "id", "error": "context.ids"},
    ],
}
BY_ORDER = {"by": "order", "results": "@", "failed": "success == `false`"}


def attribute(spec: dict[str, Any], body: Any, items: list[Any] = ITEMS) -> list[Verdict]:
    return compile_attribution(TypeAdapter(Attribution).validate_python(spec))(items, body, JUDGES)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"results": []}, "UUU"),
        ({"results": [{}, {}, {}]}, "UUU"),
        ({"results": [{"x": 1}, {"x": 2}]}, "UUU"),
        ({"results": [{"x": 1}, {"x": 2}, {"x": 3}]}, "DDD"),
        ({"results": [{"x": 1}, {"x": 2}, {"x": 3}, {"x": 4}]}, "UUU"),
        ({"results": [{"trace": "t1"}, {"x": 2}, {"x": 3}]}, "DDD"),
        ({"results": [{"trace": "t1"}, {"trace": "t0"}]}, "DDU"),
        ({"results": [{"trace": "t2"}, {"trace": "t0"}], "errors": [{"context": {"trace": ["t1"]}}]}, "DRD"),
        ({"results": [{"id": "c"}], "errors": [{"context": {"ids": ["a", "b"]}}]}, "RRD"),
        ({"results": [{"x": 1}, {"x": 2}], "errors": [{"context": {"trace": "t1"}}]}, "DRD"),
        ({"results": [{"x": 1}], "errors": [{"context": {"trace": "t1"}}]}, "URU"),
        ({"results": [{"x": 1}, {"x": 2}], "errors": [{"message": "?"}]}, "UUU"),
        ({"results": [], "errors": []}, "UUU"),
        (None, "UUU"),
        ([], "UUU"),
        ({"results": "?", "errors": {"context": 5}}, "UUU"),
        ({"results": [{"trace": "t1"}], "errors": [{"context": {"trace": ["t1"]}}]}, "URU"),
    ],
)
def test_by_match(body: Any, expected: str) -> None:
    """Who is named gets what is said of it; the others are done only when nothing else is possible."""
    assert "".join(type(verdict).__name__[0] for verdict in attribute(BY_MATCH, body)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([{"success": True}, {"success": False}, {"success": True}], "DRD"),
        ([{"success": True}, {}, {"success": True}], "DUD"),
        ([{"success": True}], "UUU"),
        (None, "UUU"),
    ],
)
def test_by_order(body: Any, expected: str) -> None:
    """Where the vendor promises the order, a list of another length says nothing about anybody."""
    assert "".join(type(verdict).__name__[0] for verdict in attribute(BY_ORDER, body)) == expected


def test_all_or_nothing() -> None:
    """A success is everybody's."""
    assert attribute({"by": "all_or_nothing"}, None) == [Delivered(None)] * 3


@given(refused=st.sets(st.integers(0, 19)), order=st.permutations(range(20)))
def test_no_order_of_the_answer_matters(refused: set[int], order: list[int]) -> None:
    """Every event gets its own verdict, whatever the order of results and errors."""
    items = [{"trace": f"t{number}"} for number in range(20)]
    body = {
        "results": [{"trace": f"t{number}"} for number in order if number not in refused],
        "errors": [{"context": {"trace": [f"t{number}"]}} for number in order if number in refused],
    }
    verdicts = attribute(BY_MATCH, body, items)

    assert {number for number, verdict in enumerate(verdicts) if isinstance(verdict, Rejected)} == refused
    assert [verdict.detail for verdict in verdicts if isinstance(verdict, Delivered)] == [
        {"trace": f"t{number}"} for number in range(20) if number not in refused
    ]
