"""From the figures of a run to Markdown: first what was asked and whether it is reached, then every case by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.benchmarks.figures import number

Kept = dict[str, Any]
"""A figure as the JSON file has it."""
MARKS = {None: "", True: "yes", False: "**no**"}
UNMEASURED = "not measured"


def markdown(kept: dict[str, Any]) -> str:
    figures: list[Kept] = kept["figures"]
    cases = list(dict.fromkeys(figure["case"] for figure in figures))
    lines = [_machine(kept["machine"]), "", *_asked(figures)]
    for case in cases:
        lines += [
            "",
            f"### {case[0].upper()}{case[1:]}",
            "",
            *_case([each for each in figures if each["case"] == case]),
        ]
    return "\n".join(lines)


def _machine(machine: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB, Linux {machine['kernel']}, "
        f"Python {machine['python']}, Apache Kafka {machine['kafka']}, {packages}; commit {machine['commit']}; "
        f"load before the run {machine['load_before']}."
    )


def _asked(figures: Sequence[Kept]) -> Iterator[str]:
    """One row for each figure of which something is asked; that nothing got lost or doubled, in one row."""
    yield "| case | who | figure | measured | must be | |"
    yield "|---|---|---|---|---|---|"
    asked = [figure for figure in figures if figure["reached"] is not None]
    counts = [figure for figure in asked if figure["at_most"] == 0]
    for figure in asked:
        if figure["at_most"] != 0 or not figure["reached"]:
            row = (
                figure["case"],
                figure["who"],
                figure["what"],
                _value(figure),
                _bound(figure),
                MARKS[figure["reached"]],
            )
            yield f"| {' | '.join(row)} |"
    good = [figure for figure in counts if figure["reached"]]
    if good:
        yield f"| {len(good)} counts of ours | | lost, doubled, out of order, tried again | 0 | ≤ 0 | yes |"


def _case(figures: Sequence[Kept]) -> Iterator[str]:
    """A row for everybody, a column for every figure; what there is to say about one stands below."""
    whats = list(dict.fromkeys(figure["what"] for figure in figures))
    yield f"| | {' | '.join(whats)} |"
    yield "|---|" + "--:|" * len(whats)
    for who in dict.fromkeys(figure["who"] for figure in figures):
        mine = {figure["what"]: figure for figure in figures if figure["who"] == who}
        cells = [_value(mine[what]) if what in mine else "" for what in whats]
        yield f"| {who} | {' | '.join(cells)} |"
    said: dict[str, list[str]] = {}
    for figure in figures:
        if figure["note"] and figure["what"] != UNMEASURED:
            said.setdefault(f"{figure['what']}: {figure['note']}", []).append(figure["who"])
    everybody = len({figure["who"] for figure in figures})
    if said:
        yield ""
    for note, whose in said.items():
        yield f"- {note}" if len(whose) == everybody else f"- {note} ({'; '.join(whose)})"


def _value(figure: Kept) -> str:
    if figure["what"] == UNMEASURED:
        return str(figure["note"]).replace("|", "/")
    return f"{number(figure['value'])} {figure['unit']}".strip()


def _bound(figure: Kept) -> str:
    least, most = figure["at_least"], figure["at_most"]
    return f"≥ {number(least)}" if least is not None else f"≤ {number(most)}"
