"""Never faster than the destination's quota, never slower because of us. Per connection; told the time.

A token bucket holds the rate, a limit the calls at once, a count the day's budget (24 hours from the first call of a
worker's life; what an earlier one spent the vendor's refusal tells). The vendor's own words (429, Retry-After, rate
headers) override them: multiplicative decrease on a throttled answer, additive increase while it stays quiet.
"""

from __future__ import annotations

from connectors.contract import Limits, Quota
from worker.engine.destination.slowdown import SlowdownEvidence

HEADROOM = 0.97
"""Share of the quota that the bucket refills; the rest is its burst, so that no sliding window ever sees more than
rate x window + burst = the quota."""
DECREASE = 0.7
STEADY = DECREASE**2
"""About half: down to here a refusal is believed without further evidence; and a trial's step."""
KEPT_SECONDS = 30.0
"""How long a pace is kept that slowing down from did not help; then it is tried again."""
CLEAN_SECONDS = 1.0
INCREASE = 0.1
ROUNDING = 1e-9
"""Of a call: what floating point may be short of it after a wait that was long enough."""
DAY = 86_400.0
TOLD_SECONDS = 3.0
"""A wait that takes longer than this is told to operators and to whoever waits for an outcome."""
LEAST_RATE = 0.05
"""Calls per second that are tried even at a vendor which keeps saying no: one every 20 s."""


class Throttle:
    """``share``: our part of the connection's quota (partitions owned / partitions of the connection)."""

    def __init__(self, limits: Limits, share: float = 1.0) -> None:
        self._limits = limits
        self._top_rate: float | None = None
        self._rate: float | None = None
        self._burst = 1.0
        self._tokens = 1.0
        self._filled_at: float | None = None
        self._blocked_until = 0.0
        self._told_until = 0.0
        self._told_reason = ""
        self._clean_since: float | None = None
        self._kept_until = 0.0
        self._evidence = SlowdownEvidence()
        self._today = 0
        self._day_ends = 0.0
        self._daily = limits.daily
        self._pace = 1.0
        self._at_once = limits.concurrency
        self.concurrency = float(limits.concurrency)
        self.share(share)

    def share(self, share: float, of_rate: float = 1.0) -> None:
        """Our part of the quota changed: a rebalance, or a refresh that needs a part of the rate (``of_rate`` is left).

        A larger share is used at once.

        Calls at once and calls a day are rounded down, so that all owners together keep the limit; each has one.
        """
        limits = self._limits
        self._at_once = max(1, int(limits.concurrency * share + ROUNDING))
        if limits.daily is not None:
            self._daily = max(1, int(limits.daily * share + ROUNDING))
        if limits.rate is not None:
            quota = limits.rate * share * of_rate
            self._top_rate = quota * HEADROOM / limits.per_seconds
            self._burst = max(1.0, quota * (1 - HEADROOM))
            self._tokens = min(self._tokens, self._burst)
        self._move(self._pace)

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

    def long_wait(self, now: float) -> tuple[float, str] | None:
        """Until when nothing goes out, and why, when that takes more than a few seconds; None otherwise."""
        if now < self._told_until:
            return self._told_until, self._told_reason
        wait = self.wait(now)
        if self._daily is not None and self._today >= self._daily and now < self._day_ends:
            return self._day_ends, f"its own limit of {self._limits.daily:,} calls a day is used up"
        if wait > TOLD_SECONDS and self._rate is not None:
            return now + wait, f"its own limit lets a call through every {1 / self._rate:,.0f} s"
        return None

    def spend(self, now: float) -> None:
        if self._daily is not None:
            if now >= self._day_ends:
                self._today, self._day_ends = 0, now + DAY
            self._today += 1
        if self._rate is not None:
            self._fill(now)
            self._tokens -= 1.0

    def refused(self, out: int) -> None:
        """A call came back with the vendor's no, while ``out`` more are under way; ``throttled`` says for how long."""
        self._evidence.count(refused=True, out=out)

    def throttled(self, now: float, after: float, reason: str = "") -> None:
        """The vendor said no: wait as long as it asked, then come back with less, if less helps."""
        first_of_burst = now >= self._blocked_until
        self._block(now, after, f"the vendor asks to wait: {reason}" if reason else "the vendor asks to wait")
        self._clean_since = self._blocked_until
        if first_of_burst:  # the others were on their way already: one decrease a burst
            self._slow_down(now)

    def answered(self, now: float, out: int = 0) -> None:
        """The vendor took a call: after a clean second, a tenth of the way back."""
        if self._clean_since is None:
            return
        self._evidence.count(refused=False, out=out)
        if now - self._clean_since < CLEAN_SECONDS:
            return
        self._clean_since = now
        self._move(min(1.0, self._pace + INCREASE))
        self._evidence.changed()
        if self._pace == 1.0:
            self._clean_since = None

    def observe(self, quota: Quota, now: float, out: int) -> None:
        """The vendor's rate headers: what is left must cover what is out; else wait for the reset."""
        if quota.remaining is not None and quota.reset_after is not None and quota.remaining <= out:
            self._block(now, quota.reset_after, "the vendor's quota is used up, by its own rate headers")

    def _block(self, now: float, seconds: float, reason: str) -> None:
        until = now + seconds
        if until <= self._blocked_until:
            return
        self._blocked_until = until
        if seconds > TOLD_SECONDS:
            self._told_until, self._told_reason = until, reason

    # -- the pace: the part of what is allowed that is used ----------------------------------------------------------

    def _slow_down(self, now: float) -> None:
        evidence = self._evidence
        if evidence.hopeless:
            self._move(self._pace * DECREASE)
            evidence.changed()
        elif self._pace > STEADY:
            self._move(max(STEADY, self._pace * DECREASE))
            evidence.changed()
        elif now < self._kept_until or self._slowest or not evidence.complete:
            return
        elif evidence.in_vain:
            self._kept_until = now + KEPT_SECONDS
            self._move(
                min(STEADY, self._pace / STEADY**2)
            )  # a step above where the trial began: it may be in vain, too
            evidence.changed()
        else:
            self._move(self._pace * STEADY)
            evidence.slowed_on_trial()

    @property
    def _slowest(self) -> bool:
        return self.concurrency == 1.0 and (self._rate is None or self._rate <= LEAST_RATE)

    def _move(self, pace: float) -> None:
        self._pace = pace
        self.concurrency = max(1.0, self._at_once * pace)
        if self._top_rate is not None:
            self._rate = max(min(LEAST_RATE, self._top_rate), self._top_rate * pace)

    def _fill(self, now: float) -> None:
        if self._filled_at is not None and self._rate is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
