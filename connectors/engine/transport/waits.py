"""How long a vendor asks to wait, and what its rate headers say. Pure: it is told the time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from connectors.contract import Quota

LONGEST_WAIT: Final = 86_400.0
"""A day: HubSpot's migrations (477) may take that long; anything longer is taken for a wrong clock."""

_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)
_PARAMETER = re.compile(r"\b(q|w|r|t|limit|remaining|reset)\s*=\s*(\d{1,15})", re.ASCII)
_USAGE = re.compile(r"api-usage=(\d{1,15})/(\d{1,15})", re.ASCII)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that ``Retry-After`` asks for, as a number or as a date; None when it is not there or makes no sense.

    A date is compared with the answer's own ``Date``, if it has one (RFC 9110, 10.2.3 and 6.6.1): the vendor's clock
    may differ from ours.
    """
    text = headers.get("Retry-After")
    if text is None:
        return None
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return min(float(text), LONGEST_WAIT)
    try:
        return min(max(parsedate_to_datetime(text).timestamp() - _vendors_now(headers, now), 0.0), LONGEST_WAIT)
    except (ValueError, TypeError, OverflowError):
        return None


def quota(
    headers: Mapping[str, str], now: float, names: tuple[str | None, str, str | None] | None = None
) -> Quota | None:
    """What the rate headers say; None when there are none. ``names``: a connector's own (limit, remaining, reset).

    A reset that is a time is compared with the answer's own ``Date``, as in ``retry_after``.
    """
    if names is not None:
        own = _named(headers, names, now)
        if own is not None:
            return own
    return (
        _structured(headers)
        or _hubspot(headers)
        or _named(headers, ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"), now)
        or _named(headers, ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"), now)
        or _salesforce(headers)
    )


def _vendors_now(headers: Mapping[str, str], now: float) -> float:
    """The vendor's time of the answer; our own time if the answer has none."""
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError):
        return now


def _structured(headers: Mapping[str, str]) -> Quota | None:
    """``RateLimit: "default";r=50;t=30`` (draft 11), and its older ``limit=100, remaining=50, reset=30``.

    Of several policies, the one with the least left counts.
    """
    text = headers.get("RateLimit")
    if text is None:
        return None
    quotas = []
    for part in re.split(r",(?=\s*\")", text):
        found = {name: int(value) for name, value in _PARAMETER.findall(part)}
        remaining = found.get("r", found.get("remaining"))
        if remaining is not None:
            quotas.append((remaining, found))
    if not quotas:
        return None
    remaining, found = min(quotas, key=lambda one: one[0])
    policy = {name: int(value) for name, value in _PARAMETER.findall(headers.get("RateLimit-Policy", ""))}
    reset = found.get("t", found.get("reset"))
    return Quota(found.get("limit", policy.get("q")), remaining, None if reset is None else float(reset))


def _hubspot(headers: Mapping[str, str]) -> Quota | None:
    remaining = _whole(headers.get("X-HubSpot-RateLimit-Remaining"))
    if remaining is None:
        return None
    interval = _whole(headers.get("X-HubSpot-RateLimit-Interval-Milliseconds"))
    return Quota(
        _whole(headers.get("X-HubSpot-RateLimit-Max")), remaining, None if interval is None else interval / 1_000
    )


def _salesforce(headers: Mapping[str, str]) -> Quota | None:
    match = _USAGE.search(headers.get("Sforce-Limit-Info", ""))
    if match is None:
        return None
    used, limit = int(match[1]), int(match[2])
    return Quota(limit, max(limit - used, 0), None)


def _named(headers: Mapping[str, str], names: tuple[str | None, str, str | None], now: float) -> Quota | None:
    limit, remaining, reset = names
    left = _whole(headers.get(remaining))
    if left is None:
        return None
    return Quota(_whole(headers.get(limit)) if limit else None, left, _until(headers, reset, now) if reset else None)


def _until(headers: Mapping[str, str], reset: str, now: float) -> float | None:
    """Seconds until the reset: vendors send seconds, or the time in seconds or milliseconds since 1970."""
    text = headers.get(reset)
    if text is None or not _NUMBER.fullmatch(text.strip()):
        return None
    value = float(text)
    if value > 1e12:
        value /= 1_000
    return max(value - _vendors_now(headers, now), 0.0) if value > 1e9 else value


def _whole(text: str | None) -> int | None:
    return int(float(text)) if text is not None and _NUMBER.fullmatch(text.strip()) else None
