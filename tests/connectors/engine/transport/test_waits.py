"""Retry-After and the rate headers of many vendors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from connectors.contract import Quota
from connectors.engine.transport.waits import LONGEST_WAIT, quota, retry_after

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120),
        (" 1.5 ", 1.5),
        ("Mon, 21 Sep 2026 14:14:30 GMT", 70),
        ("Mon, 21 Sep 2020 14:14:30 GMT", 0),
        ("Mon, 21 Sep 2099 14:14:30 GMT", LONGEST_WAIT),
        ("1e9", None),
        ("-5", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("\u0661", None),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    """A number or a date becomes seconds, at most a day; nonsense is no answer."""
    assert retry_after({} if text is None else {"Retry-After": text}, NOW) == seconds


SKEWED = "Mon, 21 Sep 2026 15:13:20 GMT"
"""An hour after NOW."""


def test_a_date_is_read_by_the_vendors_clock() -> None:
    """A clock that is an hour off does not make a wait of three seconds an hour."""
    dated = {"Date": SKEWED, "Retry-After": "Mon, 21 Sep 2026 15:13:23 GMT"}
    reset = {"Date": SKEWED, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW) + 3_603)}

    assert retry_after(dated, NOW) == 3
    assert quota(reset, NOW) == Quota(None, 0, 3)
    assert retry_after({**dated, "Date": "yesterday"}, NOW) == 3_603


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"RateLimit": '"default";r=50;t=30', "RateLimit-Policy": '"default";q=100;w=60'}, Quota(100, 50, 30)),
        ({"RateLimit": '"day";r=900;t=86000, "second";r=2;t=1'}, Quota(None, 2, 1)),
        ({"RateLimit": "limit=100, remaining=7, reset=30"}, Quota(100, 7, 30)),
        ({"RateLimit-Limit": "100", "RateLimit-Remaining": "3", "RateLimit-Reset": "9"}, Quota(100, 3, 9)),
        ({"X-RateLimit-Remaining": "3"}, Quota(None, 3, None)),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": str(int(NOW) + 40)}, Quota(None, 3, 40)),
        ({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": str(int(NOW + 40) * 1_000)}, Quota(None, 3, 40)),
        (
            {
                "X-HubSpot-RateLimit-Max": "190",
                "X-HubSpot-RateLimit-Remaining": "12",
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            },
            Quota(190, 12, 10),
        ),
        ({"Sforce-Limit-Info": "api-usage=18/5000"}, Quota(5_000, 4_982, None)),
        ({"X-RateLimit-Remaining": "many"}, None),
        ({"RateLimit": "garbage"}, None),
    ],
)
def test_quota(headers: dict[str, str], expected: Quota | None) -> None:
    """Every vendor's way of saying what is left is read, in whatever case its headers come."""
    assert quota(CIMultiDict({name.lower(): value for name, value in headers.items()}), NOW) == expected


def test_own_names() -> None:
    """A connector can name headers of its own; the usual ones still count where those are missing."""
    names = (None, "X-MinLimit-Remaining", None)

    assert quota({"X-MinLimit-Remaining": "4"}, NOW, names) == Quota(None, 4, None)
    assert quota({"X-RateLimit-Remaining": "5"}, NOW, names) == Quota(None, 5, None)


@given(
    st.sampled_from(["RateLimit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Sforce-Limit-Info", "Retry-After"]),
    st.text(),
)
def test_hostile_headers(name: str, value: str) -> None:
    """No header value makes either of them fail."""
    retry_after({name: value}, NOW)
    quota({name: value, "X-RateLimit-Remaining": "1"}, NOW)
