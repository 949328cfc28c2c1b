"""The destination counts right: everything that the benchmarks say of others rests on it."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.benchmarks.far_end import FarEnd


@pytest.fixture
def far() -> Iterator[FarEnd]:
    with FarEnd() as far:
        yield far


def _ask(far: FarEnd, method: str, path: str, body: Any) -> tuple[int, Any]:
    request = Request(f"{far.url}/{path}", json.dumps(body).encode(), method=method)
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def _event(far: FarEnd, n: int, key: str) -> int:
    return _ask(far, "PATCH", f"records/{key}", {"n": n, "key": key})[0]


def test_what_is_lost_doubled_and_out_of_order_is_counted(far: FarEnd) -> None:
    """Of five events one never comes, one comes twice, and one comes after a later one of its key."""
    far.reset(5, ms=1)

    for n, key in ((0, "a"), (2, "a"), (1, "a"), (3, "b"), (3, "b")):
        assert _event(far, n, key) == 200
    report = far.report()

    assert (report.settled, report.lost, report.doubled, report.disordered) == (4, 1, 1, 1)


def test_a_refused_event_is_settled_and_its_repeats_are_seen(far: FarEnd) -> None:
    """Poison gets a 422 each time; the first settles the event, the others are refusals."""
    far.reset(2, ms=1, poison=2)

    statuses = [_event(far, n, "a") for n in (0, 1, 1)]
    report = far.report()

    assert statuses == [200, 422, 422]
    assert (report.settled, report.refused, report.refusals, report.doubled) == (2, 1, 2, 0)


def test_one_of_ten_requests_is_throttled(far: FarEnd) -> None:
    """Of a hundred requests ten get a 429, and their events count as not arrived."""
    far.reset(100, ms=0, throttle=10)

    statuses = [_event(far, n, f"k{n}") for n in range(100)]

    assert statuses.count(429) == 10
    assert far.report().lost == 10


def test_a_vendor_that_can_be_asked_knows_what_it_has(far: FarEnd) -> None:
    """A batch of contacts is counted one by one, and only those that came are found afterwards."""
    far.reset(2, ms=1)
    inputs = [{"properties": {"n": "0", "email": "a@x.example"}, "objectWriteTraceId": "t0"}]

    _, created = _ask(far, "POST", "crm/contacts/batch/create", {"inputs": inputs})
    sought = {"inputs": [{"id": "a@x.example"}, {"id": "b@x.example"}]}
    _, found = _ask(far, "POST", "crm/contacts/batch/read", sought)

    assert [each["objectWriteTraceId"] for each in created["results"]] == ["t0"]
    assert [each["properties"]["email"] for each in found["results"]] == ["a@x.example"]
    assert far.report().settled == 1


def test_a_rate_counts_until_the_last_answer(far: FarEnd) -> None:
    """One event at a destination that takes 50 ms takes 50 ms, not none."""
    far.reset(1, ms=50)

    _event(far, 0, "a")

    assert far.report().seconds >= 0.05


def test_the_port_with_tls_counts_into_the_same_book() -> None:
    """Records that come by TLS and by plain HTTP are counted together."""
    with FarEnd(tls=True) as far:
        far.reset(2, ms=1)
        asked = Request(f"{far.tls_url}/records/a", json.dumps({"n": 0, "key": "a"}).encode(), method="PATCH")
        with urlopen(asked, timeout=10, context=ssl.create_default_context(cafile=far.pem)) as answer:
            assert answer.status == 200
        assert _event(far, 1, "a") == 200

        assert far.report().settled == 2
