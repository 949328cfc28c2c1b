"""One event of a hundred is never accepted; and, in another run, one request of ten is answered 429."""

from __future__ import annotations

import time
from collections.abc import Iterator

from tests.benchmarks.contender import OURS, Contender, peers
from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Run, Stand, measure
from tests.benchmarks.work import single

POISON = "1 % poison"
THROTTLED = "10 % answered 429"
PARTITIONS = 8


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    runs = [(contender, _runs(stand, contender, sizes)) for contender in (OURS, *peers(sizes))]
    for contender, (clean, poisoned, _) in runs:
        yield from _figures(POISON, contender, poisoned, clean)
        again = poisoned.report.refusals - poisoned.report.refused
        none = 0 if contender is OURS else None
        yield Figure(POISON, contender.name, "refused events tried again", "", (float(again),), at_most=none)
    for contender, (clean, _, throttled) in runs:
        note = "each 429 asks for 0.1 s of silence, whatever the rate"
        yield from _figures(THROTTLED, contender, throttled, clean, note=note)


def _runs(stand: Stand, contender: Contender, sizes: Sizes) -> tuple[Run, Run, Run]:
    return (
        _run(stand, contender, sizes),
        _run(stand, contender, sizes, poison=100),
        _run(stand, contender, sizes, throttle=10),
    )


def _run(stand: Stand, contender: Contender, sizes: Sizes, **script: int) -> Run:
    """On a topic of its own: a second group of ours would hold one whose outcomes the ledger has."""
    slug = f"refusals-{time.time_ns()}"
    count = contender.most(sizes.hot)
    stand.connection(slug, "http", partitions=PARTITIONS)
    events = [single(slug, n, sizes.keys) for n in range(count)]
    stand.emit(events)
    run = measure(stand.far, count, contender.on(stand, events), patience=contender.seconds, **script)
    stand.drop(slug)
    return run


def _figures(case: str, contender: Contender, run: Run, clean: Run, *, note: str = "") -> Iterator[Figure]:
    yield Figure(case, contender.name, "rate", "events/s", (run.rate,), note=note)
    yield Figure(case, contender.name, "x its rate without it", "", (run.rate / clean.rate,))
    report = run.report
    of = f"of {report.settled + report.lost:,}"
    held = f"after {contender.seconds:.0f} s" if report.lost else ""
    none = 0 if contender is OURS else None
    yield Figure(case, contender.name, "not delivered", of, (float(report.lost),), at_most=none, note=held)
    yield Figure(case, contender.name, "doubled", "", (float(report.doubled),), at_most=none)
    yield Figure(case, contender.name, "out of order", "", (float(report.disordered),), at_most=none)
