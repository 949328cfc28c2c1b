"""From the figures of a run to the chart in ``docs/bench.svg`` and the tables in ``docs/explanation/performance.md``.

python -m tests.benchmarks.picture .cache/bench/<run>.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.benchmarks.figures import number
from tests.benchmarks.table import markdown
from tests.kafka_broker import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance.md"
CHART = ROOT / "docs" / "bench.svg"
RATIO = "x httpx loop"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
LEFT, RIGHT, ROW, TOP = 330, 900, 34, 74

FONT = "font-family=\"-apple-system, 'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif\" font-size=\"14\""
LIMIT = "a bare asyncio loop with an httpx client, which has no log, no order, no retries"
LEGEND = "green: Writeback; blue: keeps the order per key and delivers at least once, too; grey: does not"
STYLE = """
    .head { fill: #1f2328; font-weight: 600; }
    .text { fill: #59636e; font-size: 12.5px; }
    .name { fill: #1f2328; font-size: 13px; }
    .ours { fill: #1f883d; }
    .kept { fill: #54aeff; }
    .broken { fill: #d0d7de; }
    .limit { stroke: #59636e; stroke-dasharray: 4 4; }
    @media (prefers-color-scheme: dark) {
      .head, .name { fill: #f0f6fc; }
      .text { fill: #9198a1; }
      .ours { fill: #2ea043; }
      .kept { fill: #388bfd; }
      .broken { fill: #3d444d; }
      .limit { stroke: #9198a1; }
    }
"""


def chart(kept: dict[str, Any]) -> str:
    """One bar for everybody in the peers' case: how many times the bare loop's rate."""
    figures = [figure for figure in kept["figures"] if figure["case"].startswith("peers")]
    promises = {figure["who"]: figure["note"].endswith("yes") for figure in figures if figure["what"] == "rate"}
    bars = sorted(
        ((figure["value"], figure["who"]) for figure in figures if figure["what"] == RATIO and figure["value"]),
        reverse=True,
    )
    scale = (RIGHT - LEFT - 60) / max([1.0, *(value for value, _ in bars)])
    bottom = TOP + ROW * len(bars)
    lines = [
        line for row, (value, who) in enumerate(bars) for line in _bar(row, value, who, scale, order=promises[who])
    ]
    limit = LEFT + scale
    machine = kept["machine"]
    about = f"{machine['cores']} cores ({machine['cpu']}), Kafka {machine['kafka']}, Python {machine['python']}"
    told = "; ".join(f"{who}: {number(value)} times the loop" for value, who in bars)
    rule = f'x1="{limit:.0f}" y1="{TOP - 8}" x2="{limit:.0f}" y2="{bottom}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 {bottom + 66}" {FONT} role="img"
  aria-labelledby="t d">
  <title id="t">Single calls to a 50 ms API, compared with a bare asyncio loop</title>
  <desc id="d">{escape(told)}</desc>
  <style>{STYLE}  </style>
  {_text("head", 28, "Events per second, one call each, to an API that answers in 50 ms")}
  {_text("text", 50, f"1,000 keys, 8 partitions, at most 256 calls at once; 1 = {LIMIT}")}
{chr(10).join(lines)}
  <line class="limit" {rule}/>
  {_text("text", bottom + 26, LEGEND)}
  {_text("text", bottom + 48, about)}
</svg>
"""


def _text(kind: str, y: int, text: str) -> str:
    return f'<text class="{kind}" x="20" y="{y}">{escape(text)}</text>'


def _bar(row: int, value: float, who: str, scale: float, *, order: bool) -> Iterator[str]:
    y = TOP + row * ROW
    colour = "ours" if who.startswith("writeback") else "kept" if order else "broken"
    yield f'  <text class="name" x="{LEFT - 12}" y="{y + 16}" text-anchor="end">{escape(who)}</text>'
    yield f'  <rect class="{colour}" x="{LEFT}" y="{y}" width="{max(2.0, value * scale):.0f}" height="22" rx="3"/>'
    yield f'  <text class="text" x="{LEFT + value * scale + 8:.0f}" y="{y + 16}">{value:.2f}</text>'


def main(path: Path) -> None:
    kept = json.loads(path.read_text(encoding="utf-8"))
    CHART.write_text(chart(kept), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    inner = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
    PAGE.write_text(inner.sub(lambda _: f"{BEGIN}\n{markdown(kept)}\n{END}", page), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
