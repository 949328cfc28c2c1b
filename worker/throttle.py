"""Never faster than the destination's quota, never slower because of us. Per connection; told the time.

A token bucket holds the rate, a limit the calls at once, a count the day's budget (24 hours from the first call of a
worker's life; what an earlier one spent the vendor's refusal tells). The vendor's own words (429, Retry-After, rate
headers) override them: multiplicative decrease on a throttled answer, additive increase while it stays quiet.
"""

from __future__ import annotations

from connectors.contract import Limits, Quota

HEADROOM = 0.97
"""Share of the quota that the bucket refills; the rest is its burst, so that no sliding window ever sees more than
rate x window + burst = the quota."""
DECREASE = 0.7
CLEAN_SECONDS = 1.0
INCREASE = 0.1
ROUNDING = 1e-9
"""Of a call: what floating point may be short of it after a wait that was long enough."""
DAY = 86_400.0
LEAST_RATE = 0.05
"""Calls per second that are tried even at a vendor which keeps saying no: one every 20 s."""


class Throttle:
    """``share``: our part of the connection's quota (partitions owned / partitions of the connection)."""

    def __init__(self, limits: Limits, share: float = 1.0) -> None:
        self._ceiling = limits.concurrency
        self.concurrency = float(limits.concurrency)
        self._top_rate: float | None = None
        self._rate: float | None = None
        self._burst = 1.0
        self._tokens = 1.0
        self._filled_at: float | None = None
        self._blocked_until = 0.0
        self._clean_since: float | None = None
        self._limits = limits
        self._today = 0
        self._day_ends = 0.0
        self._daily = limits.daily
        self.share(share)

    def share(self, share: float) -> None:
        """Our part of the quota changed: a rebalance."""
        limits = self._limits
        if limits.daily is not None:
            self._daily = max(1, int(limits.daily * share))
        if limits.rate is None:
            return
        quota = limits.rate * share
        top = quota * HEADROOM / limits.per_seconds
        slowed = self._rate / self._top_rate if self._rate and self._top_rate else 1.0  # a larger share is used at once
        self._top_rate, self._rate = top, top * slowed
        self._burst = max(1.0, quota * (1 - HEADROOM))
        self._tokens = min(self._tokens, self._burst)

    @property
    def rate(self) -> float | None:
        """Calls per second now; None: unlimited."""
        return self._rate

    def wait(self, now: float) -> float:
        """Seconds until a call may go out; 0: now."""
        if now < self._blocked_until:
            return self._blocked_until - now
        if self._daily is not None and self._today >= self._daily and now < self._day_ends:
            return self._day_ends - now
        if self._rate is None:
            return 0.0
        self._fill(now)
        missing = 1.0 - self._tokens
        return 0.0 if missing < ROUNDING else missing / self._rate

    def spend(self, now: float) -> None:
        if self._daily is not None:
            if now >= self._day_ends:
                self._today, self._day_ends = 0, now + DAY
            self._today += 1
        if self._rate is not None:
            self._fill(now)
            self._tokens -= 1.0

    def throttled(self, now: float, after: float) -> None:
        """The vendor said no: wait as long as it asked, then come back with less."""
        first_of_burst = now >= self._blocked_until
        self._blocked_until = max(self._blocked_until, now + after)
        self._clean_since = self._blocked_until
        if first_of_burst:  # the others were on their way already: one decrease a burst
            self.concurrency = max(1.0, self.concurrency * DECREASE)
            if self._rate is not None and self._top_rate is not None:
                self._rate = max(min(LEAST_RATE, self._top_rate), self._rate * DECREASE)

    def answered(self, now: float) -> None:
        """The vendor took a call: after a clean second, a tenth of the way back."""
        if self._clean_since is None:
            return
        if now - self._clean_since < CLEAN_SECONDS:
            return
        self._clean_since = now
        self.concurrency = min(self._ceiling, self.concurrency + max(1.0, self._ceiling * INCREASE))
        if self._rate is not None and self._top_rate is not None:
            self._rate = min(self._top_rate, self._rate + self._top_rate * INCREASE)
        if self.concurrency >= self._ceiling and self._rate == self._top_rate:
            self._clean_since = None

    def observe(self, quota: Quota, now: float, out: int) -> None:
        """The vendor's rate headers: what is left must cover what is out; else wait for the reset."""
        if quota.remaining is not None and quota.reset_after is not None and quota.remaining <= out:
            self._blocked_until = max(self._blocked_until, now + quota.reset_after)

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and self._rate is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
