"""What was measured: figures with what they must reach, as one table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured value: the median of its ``rounds``. ``bound``: what it must reach, or stay under."""

    case: str
    who: str
    what: str
    unit: str
    rounds: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def value(self) -> float:
        return median(self.rounds)

    @property
    def reached(self) -> bool | None:
        """None when nothing is asked of it."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return None if self.at_most is None else self.value <= self.at_most

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": self.value, "reached": self.reached}


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(figures: Sequence[Figure], machine: dict[str, Any]) -> None:
    table = Table(
        title=f"{machine['cores']} cores, {machine['cpu']}, Kafka {machine['kafka']}, Python {machine['python']}"
    )
    for name in ("case", "who", "figure", "value", "rounds", "must be", "", "note"):
        table.add_column(name, justify="right" if name in {"value", "must be"} else "left", overflow="fold")
    case = ""
    for figure in figures:
        if figure.case != case:
            table.add_section()
        bound = f">= {number(figure.at_least)}" if figure.at_least is not None else ""
        bound = f"<= {number(figure.at_most)}" if figure.at_most is not None else bound
        mark = {None: "", True: "[green]yes[/green]", False: "[red]NO[/red]"}[figure.reached]
        rounds = " ".join(number(value) for value in figure.rounds) if 1 < len(figure.rounds) <= 6 else ""
        table.add_row(
            figure.case if figure.case != case else "", figure.who, figure.what,
            f"{number(figure.value)} {figure.unit}".strip(), rounds, bound, mark, figure.note,
        )  # fmt: skip
        case = figure.case
    Console(width=None if Console().is_terminal else 200).print(table)


def write(figures: Sequence[Figure], machine: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "figures": [each.as_json() for each in figures]}, indent=1) + "\n")
