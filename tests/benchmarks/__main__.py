"""``make bench``: measure on this machine, print one table, keep the figures under ``.cache/bench``."""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click

from tests.benchmarks import (
    batch,
    bloat,
    dead,
    embedded,
    emitting,
    faults,
    fetching,
    hot,
    idle,
    keys,
    killed,
    machine,
    memory,
    outbox,
    peers_case,
    quiet,
    refreshing,
    refusals,
    scaling,
    single,
    syncs,
    trickle,
    vendors,
)
from tests.benchmarks.figures import Figure, show, write
from tests.benchmarks.sizes import BIG, FULL, TINY, Sizes
from tests.benchmarks.stand import Stand, stand
from tests.kafka_broker import ROOT, NoBroker, cached_libs, running_broker

CASES: dict[str, Callable[[Stand, Sizes], Iterator[Figure]]] = {
    "single": single.figures,
    "tls": single.over_tls,
    "far-ends": single.far_ends,
    "scaling": scaling.singles,
    "batch": batch.figures,
    "cores": scaling.batches,
    "embedded": embedded.figures,
    "idle": idle.figures,
    "trickle": trickle.figures,
    "quiet": quiet.figures,
    "emitting": emitting.figures,
    "backlog": memory.figures,
    "keys": keys.figures,
    "hot": hot.figures,
    "dead": dead.figures,
    "refusals": refusals.figures,
    "outbox": outbox.figures,
    "bloat": bloat.figures,
    "debounce": refreshing.debouncing,
    "refresh": refreshing.refreshing,
    "fetch": fetching.figures,
    "peers": peers_case.figures,
    "killed": killed.figures,
    "syncs": syncs.figures,
    "faults": faults.figures,
    "vendors": vendors.figures,
}
ALONE = [case for case in CASES if case not in {"far-ends", "scaling", "keys", "peers", "refresh", "faults"}]
"""What needs nothing that must be downloaded first, and shows that all of it still runs: the rest is the same code, or
dear at any size (dlt takes seconds to start)."""


BROKEN = "the bench itself"


@click.command()
@click.option("--only", multiple=True, type=click.Choice([*CASES]), help="Only these cases; may be repeated.")
@click.option("--rounds", type=int, help="How often each of ours is measured; the median counts.")
@click.option("--big", is_flag=True, help="A backlog of 1,000,000 events too: some minutes more.")
@click.option("--tiny", is_flag=True, help="Nearly nothing of everything: to see that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file.")
def main(*, only: tuple[str, ...], rounds: int | None, big: bool, tiny: bool, out: Path | None) -> None:
    """Measure Writeback against the bare loops and the peers, on a real Kafka."""
    sizes = TINY if tiny else BIG if big else FULL
    if rounds is not None:
        sizes = replace(sizes, rounds=rounds)
    out = out or ROOT / ".cache" / "bench" / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    try:
        measured, described = run(only or tuple(ALONE if tiny else CASES), sizes, out)
    except NoBroker as error:
        raise click.ClickException(str(error)) from error
    show(measured, described)
    click.echo(f"kept as {out}")
    if broken := [figure.case for figure in measured if figure.who == BROKEN]:
        raise click.ClickException(f"not measured to the end: {', '.join(broken)}; what happened is in the table")


def run(cases: tuple[str, ...], sizes: Sizes, out: Path) -> tuple[list[Figure], dict[str, object]]:
    """The figures are written after each case: whoever breaks off keeps what was measured.

    A case that breaks is among the figures, and the others are measured all the same.
    """
    measured: list[Figure] = []
    with running_broker() as broker, tempfile.TemporaryDirectory() as folder:
        libs = cached_libs()
        described = machine.describe(libs.name if libs else "given")
        with stand(Path(folder), broker.bootstrap) as made:
            for case in cases:
                click.echo(f"{time.strftime('%H:%M:%S')} {case} ...", err=True)
                try:
                    measured.extend(CASES[case](made, sizes))
                except RuntimeError as error:
                    measured.append(Figure(case, BROKEN, "not measured", "", (0.0,), note=str(error)[-300:]))
                write(measured, described, out)
    return measured, described


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that broker, destination and workers end, too
    main()
