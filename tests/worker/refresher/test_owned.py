from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from topics.event.refresh import RefreshRequest
from topics.log import Partition, Record
from worker.refresher.debounce import Scope
from worker.refresher.owned import Asked, OwnedPartition, fewest

PLACE = Partition("writeback.refresh", 0)


def asked(*wanted: tuple[str, ...] | None) -> list[Asked]:
    owned = OwnedPartition(PLACE, None)
    return [
        Asked(owned, Record(PLACE, offset, 0, b"odoo", b""), RefreshRequest(connection="odoo", objects=objects))
        for offset, objects in enumerate(wanted)
    ]


def offsets(requests: list[Asked]) -> list[int]:
    return [one.record.offset for one in requests]


def test_the_latest_that_asks_for_everything() -> None:
    """One request that asks for all of it is enough, and the latest such."""
    assert offsets(fewest(asked(("contact",), None, ("deal",), None, ("deal",)))) == [3]


def test_the_same_object() -> None:
    """A hundred requests for one object are one."""
    assert offsets(fewest(asked(*[("contact",)] * 100))) == [99]


@given(st.lists(st.none() | st.lists(st.sampled_from("abcd"), min_size=1).map(tuple), min_size=1, max_size=12))
def test_together_they_ask_for_all(wanted: list[tuple[str, ...] | None]) -> None:
    """What is left asks for all that was asked for, in the order of the log, and none of it is superfluous."""

    def union(requests: list[Asked]) -> Scope:
        scope = requests[0].scope
        for one in requests:
            scope |= one.scope
        return scope

    requests = asked(*wanted)
    left = fewest(requests)
    assert union(left) == union(requests)
    assert offsets(left) == sorted(offsets(left))
    for superfluous in left if len(left) > 1 else []:
        assert union([one for one in left if one is not superfluous]) != union(requests)
