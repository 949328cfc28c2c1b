"""Spans of time and bounds as people write them in a definition: ``15m``, ``20%``, ``500``, ``off``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

_UNITS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN = re.compile(r"(?:every +)?(\d+(?:\.\d+)?) *([smhdw])")


class Bound(NamedTuple):
    """Exceeded by a run that touches more than ``share`` (0 to 1) of the rows and also more than ``rows`` of them."""

    share: float
    rows: int

    def exceeded(self, count: int, of: int) -> bool:
        return count > self.rows and count > self.share * of

    def __str__(self) -> str:
        return f"more than {self.share:.0%} and more than {self.rows:,}" if self.share else f"more than {self.rows:,}"


def seconds(said: str) -> float:
    """A span such as ``90s``, ``15m``, ``every 2h``, ``1d`` or ``1w``, in seconds. Raises ``ValueError``."""
    span = _SPAN.fullmatch(said.strip().lower())
    if span is None or not float(span[1]):
        raise ValueError(f"{said!r} is no span of time: write 90s, 15m, 2h, 1d or 1w")
    return float(span[1]) * _UNITS[span[2]]


def bound(said: Any, default: Bound) -> Bound | None:
    """The bound, or None for ``off``. A part that is left out is taken from the default. Raises ``ValueError``."""
    if said is None or isinstance(said, Bound):
        return said
    if said is False or said == "off":  # YAML reads ``off`` without quotes as false
        return None
    if isinstance(said, Mapping):
        if unknown := set(said) - {"share", "rows"}:
            raise ValueError(f"{', '.join(sorted(map(str, unknown)))}: a bound has share and rows")
        return Bound(_share(said.get("share", default.share)), _rows(said.get("rows", default.rows)))
    if isinstance(said, str) and said.strip().endswith("%"):
        return Bound(_share(said), default.rows)
    return Bound(0.0, _rows(said))


def _share(said: Any) -> float:
    text = str(said).strip()
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{said!r} is no share: write 20%") from None
    if not 0 <= share <= 1:
        raise ValueError(f"{said!r} is no share: it is 0% to 100%")
    return share


def _rows(said: Any) -> int:
    text = str(said).replace("_", "").strip()
    if isinstance(said, bool) or not text.isdigit():
        raise ValueError(f"{said!r} is no bound: write 20%, a number of rows, {{share: 20%, rows: 100}}, or off")
    return int(text)
