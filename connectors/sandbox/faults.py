"""What goes wrong, how often, and to whom; decided by seed and request, so that a run can be repeated.

The fate of a request follows from the seed, its method, path and body, and how often the same was asked before: it does
not depend on the order in which concurrent requests arrive.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from typing import Any, Literal

from connectors.sandbox.call import Call

Kind = Literal["throttled", "unavailable", "hung", "dropped", "answered"]


@dataclass(frozen=True, slots=True)
class Fate:
    """``performed``: the write is carried out all the same. ``answered`` with status, body and headers: that answer.

    ``path``: a forced fate waits for a request whose path has this in it.
    """

    kind: Kind
    performed: bool = False
    retry_after: float | None = None
    status: int = 503
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    path: str = ""


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares between 0 and 1 of one vendor's requests, tried in the order of the fields.

    ``throttled``: 429 with ``retry_after`` seconds (None: no such header). ``unavailable``: 503. ``hung``: never an
    answer. ``dropped``: the connection is reset. The ``..._performed`` ones carry the write out first. ``reads``: reads
    and searches suffer as well. ``refused_domains``: emails there are never accepted. ``refused_marker``: neither is a
    value that contains it.
    """

    throttled: float = 0.0
    unavailable: float = 0.0
    unavailable_performed: float = 0.0
    hung: float = 0.0
    hung_performed: float = 0.0
    dropped: float = 0.0
    dropped_performed: float = 0.0
    retry_after: float | None = 1.0
    reads: bool = False
    refused_domains: tuple[str, ...] = ("refused.example",)
    refused_marker: str = "!refused!"

    def changed(self, **values: Any) -> Faults:
        """With these values; raises ``ValueError`` naming a fault that does not exist or is no share."""
        known = {field.name: field for field in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no fault {name!r}; there are {', '.join(known)}")
            if name in _SHARES and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise ValueError(f"{name} is {value!r}; it is a share between 0 and 1")
        if "refused_domains" in values:
            domains = values["refused_domains"]
            values["refused_domains"] = tuple(domains.split(",") if isinstance(domains, str) else domains)
        return replace(self, **values)


_SHARES: dict[str, Fate] = {
    "throttled": Fate("throttled"),
    "unavailable": Fate("unavailable"),
    "unavailable_performed": Fate("unavailable", performed=True),
    "hung": Fate("hung"),
    "hung_performed": Fate("hung", performed=True),
    "dropped": Fate("dropped"),
    "dropped_performed": Fate("dropped", performed=True),
}


class Dice:
    """Decides the fate of one vendor's requests. ``forced`` fates come first, one request each, in their order."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.faults = faults
        self.forced: deque[Fate] = deque()
        self._seed = seed
        self._seen: dict[bytes, int] = {}

    def fate(self, call: Call, *, reads: bool) -> Fate | None:
        """None: nothing goes wrong."""
        for forced in self.forced:
            if forced.path in call.path:
                self.forced.remove(forced)
                return forced
        shares = [(name, getattr(self.faults, name)) for name in _SHARES]
        if not any(share for _, share in shares) or (reads and not self.faults.reads):
            return None
        roll = self._roll(call)
        for name, share in shares:
            if roll < share:
                return replace(_SHARES[name], retry_after=self.faults.retry_after)
            roll -= share
        return None

    def _roll(self, call: Call) -> float:
        asked = blake2b(f"{self._seed} {call.method} {call.path} ".encode() + call.body, digest_size=8).digest()
        times = self._seen[asked] = self._seen.get(asked, 0) + 1
        again = blake2b(asked + times.to_bytes(4, "big"), digest_size=8).digest()
        return int.from_bytes(again, "big") / 2**64
