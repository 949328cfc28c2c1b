"""Outcomes, packed and unpacked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topics.errors import MalformedEvent
from topics.event.result import MAX_PACKED, Result, StateChange, pack, pack_state, unpack, unpack_states

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
details = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
results = st.builds(
    Result,
    id=texts,
    outcome=st.sampled_from(["delivered", "dead", "superseded"]),
    connection=texts,
    object=texts,
    operation=texts,
    key=st.none() | texts,
    topic=texts,
    partition=st.integers(0, 100),
    offset=st.integers(0, 2**63),
    attempts=st.integers(0, 100),
    time=st.floats(0, 2e9),
    detail=details,
    reason=st.none() | texts,
    possible_duplicate=st.booleans(),
    letter=st.none() | texts,
)


def result(**given: Any) -> Result:
    base = Result("1", "delivered", "hubspot", "contact", "add", "7", "writeback.events.hubspot", 0, 5, 1, 1.5)
    return base._replace(**given)


@settings(deadline=None)
@given(st.lists(results, max_size=5))
def test_round_trip(packed: list[Result]) -> None:
    """Results come back as they were, in their order."""
    assert unpack(pack(packed)) == packed


def test_the_names_are_written_once() -> None:
    """A full record costs less than half of its results one by one."""
    together = len(pack([result()] * MAX_PACKED))

    assert together < MAX_PACKED * len(pack([result()])) / 2


def test_columns_of_later_releases_are_ignored() -> None:
    """A reader takes what it knows and leaves the rest."""
    body = json.loads(pack([result()]))
    body |= {"v": 2, "more": 1, "columns": [*body["columns"], "colour"], "rows": [[*body["rows"][0], "blue"]]}

    assert unpack(json.dumps(body).encode()) == [result()]


def test_columns_with_a_default_may_be_missing() -> None:
    """A record of an earlier release, without a column that came later, is read."""
    body = json.loads(pack([result()]))
    at = body["columns"].index("letter")
    del body["columns"][at], body["rows"][0][at]

    assert unpack(json.dumps(body).encode()) == [result(letter=None)]


@pytest.mark.parametrize(
    ("detail", "read"),
    [
        ({"a": float("nan"), "b": float("inf")}, {"a": None, "b": None}),
        ("half a \ud83d smile", "half a ? smile"),
        ({"\ud800": ["\udfff"]}, {"?": ["?"]}),
        ({"a": ValueError("odd")}, {"a": "odd"}),
        (b"\xff", "b'\\xff'"),
    ],
)
def test_odd_details_do_not_keep_the_others_out(detail: Any, read: Any) -> None:
    """Whatever a vendor answered, it is written, as near as JSON comes to it, and so are its neighbours."""
    assert unpack(pack([result(id="a"), result(detail=detail), result(id="b")])) == [
        result(id="a"),
        result(detail=read),
        result(id="b"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"{}",
        b"[]",
        b"7",
        b'"columns"',
        b'{"columns": 7, "rows": [[1]]}',
        b'{"columns": ["id"], "rows": 7}',
        b'{"columns": ["id"], "rows": [7]}',
        b'{"columns": ["id"], "rows": [["1"]]}',
        b'{"columns": ["id"], "rows": [["1", "2"]]}',
        b'{"columns": [["id"]], "rows": [["1"]]}',
        b"[" * 10_000,
    ],
)
def test_malformed(value: bytes | None) -> None:
    """What is not a packed record is said to be none."""
    with pytest.raises(MalformedEvent, match="not a packed result record"):
        unpack(value)


def test_a_state_comes_back() -> None:
    """What is told of a connection reads back, half a surrogate pair in a vendor's words included."""
    change = StateChange("hubspot", "down", "HTTP 401 \ud800", 1_700_000_000.5)

    assert unpack_states(pack_state(change)) == [StateChange("hubspot", "down", "HTTP 401 ?", 1_700_000_000.5)]


def test_readers_of_outcomes_pass_over_states() -> None:
    """A record of states holds no outcome, and a record of outcomes no state."""
    assert unpack(pack_state(StateChange("hubspot", "active", "", 1.0))) == []
    assert unpack_states(pack([])) == []


@pytest.mark.parametrize("value", [None, b"", b"[]", b'{"states": [{"connection": "x"}]}', b'{"states": 5}'])
def test_what_is_no_state_is_told(value: bytes | None) -> None:
    """A reader is told by one kind of error."""
    with pytest.raises(MalformedEvent):
        unpack_states(value)
