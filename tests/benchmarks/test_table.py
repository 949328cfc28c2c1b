"""The figures of a run as they are shown in the documentation."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.figures import Figure
from tests.benchmarks.picture import chart
from tests.benchmarks.table import markdown

MACHINE: dict[str, Any] = {
    "cores": 2, "cpu": "a CPU", "memory_gb": 4.0, "kernel": "6.1", "python": "3.11.7", "kafka": "4.4.0",
    "packages": {"aiohttp": "3.14.5"}, "commit": "abc1234", "load_before": 0.1,
}  # fmt: skip


def _kept(*figures: Figure) -> dict[str, Any]:
    return {"machine": MACHINE, "figures": [figure.as_json() for figure in figures]}


def test_what_is_asked_stands_first_with_its_bound() -> None:
    """A figure with a bound has a row in the first table; one without has none."""
    text = markdown(
        _kept(Figure("hot", "ours", "ratio", "", (0.9,), at_least=0.95), Figure("hot", "ours", "rate", "/s", (5.0,)))
    )

    asked = text.split("###")[0]
    assert "| hot | ours | ratio | 0.9 | ≥ 0.95 | **no** |" in asked
    assert "rate" not in asked


def test_a_case_has_a_row_for_each_and_a_column_for_each_figure() -> None:
    """Whoever lacks a figure has an empty cell, and a note names whose it is."""
    text = markdown(
        _kept(
            Figure("hot", "ours", "rate", "/s", (5.0,)),
            Figure("hot", "theirs", "rate", "/s", (4.0,), note="half of them"),
            Figure("hot", "theirs", "lost", "", (3.0,)),
        )
    )

    case = text.split("### Hot\n\n")[1].splitlines()
    assert case == [
        "| | rate | lost |", "|---|--:|--:|", "| ours | 5 /s |  |", "| theirs | 4 /s | 3 |", "",
        "- rate: half of them (theirs)",
    ]  # fmt: skip


def test_counts_that_are_nought_share_one_row() -> None:
    """Thirty rows of nothing lost would hide what was missed."""
    clean = [Figure(f"case {n}", "ours", "doubled", "", (0.0,), at_most=0) for n in range(3)]
    text = markdown(_kept(*clean, Figure("killed", "ours", "doubled", "", (2.0,), at_most=0)))

    rows = [line for line in text.split("###")[0].splitlines() if line.startswith("|")]
    assert rows[2:] == [
        "| killed | ours | doubled | 2 | ≤ 0 | **no** |",
        "| 3 counts of ours | | lost, doubled, out of order, tried again | 0 | ≤ 0 | yes |",
    ]


def test_the_chart_has_a_bar_for_everybody_that_was_measured() -> None:
    """Other cases add no bars, and a peer that could not be had has none."""
    case = "peers: 1,000 keys"
    note = "promises order per key and at least once: yes"
    drawn = chart(
        _kept(
            Figure(case, "writeback worker", "rate", "/s", (5.0,), note=note),
            Figure(case, "writeback worker", "x httpx loop", "", (2.0,)),
            Figure(case, "absent", "not measured", "", (0.0,), note="needs Maven"),
            Figure("hot", "another", "x httpx loop", "", (1.0,)),
        )
    )

    assert drawn.count("<rect") == 1
    assert "writeback worker: 2 times the loop" in drawn
