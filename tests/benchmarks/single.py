"""Single calls over 1,000 keys, 256 at once, to an API of 50, 5 and 500 ms; against the bare loops run beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from statistics import mean

from tests.benchmarks.far_end import FarEnd
from tests.benchmarks.figures import Figure
from tests.benchmarks.sizes import Sizes
from tests.benchmarks.stand import Run, Stand, measure
from tests.benchmarks.work import single
from topics.event.event import Operation

AT_ONCE = 256
NOTE = "no order, no log, no retries"
LOOPS = {"httpx": "bare loop, httpx + aiohttp transport", "transport": "bare loop, our transport"}


@dataclass
class Series:
    """Runs of ours, each between two of the loops: one more of these than of ours."""

    ours: list[Run] = field(default_factory=list)
    loops: dict[str, list[Run]] = field(default_factory=lambda: {kind: [] for kind in LOOPS})

    def rates(self, kind: str) -> tuple[float, ...]:
        """Ours as multiples of the loop's."""
        loop = self.loops[kind]
        return tuple(run.rate / mean((loop[n].rate, loop[n + 1].rate)) for n, run in enumerate(self.ours))

    def costs(self, kind: str) -> tuple[float, ...]:
        loop = self.loops[kind]
        return tuple(run.cpu_us / mean((loop[n].cpu_us, loop[n + 1].cpu_us)) for n, run in enumerate(self.ours))


def figures(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    case = "single calls"
    series = {
        operation: _series(stand, sizes, operation, sizes.single, sizes.rounds)
        for operation in (Operation.UPDATE, Operation.ADD)
    }
    yield from _loops(case, *series.values())
    for operation, of_it in series.items():
        yield from _ours(case, operation, of_it, bound=operation is Operation.UPDATE)


def far_ends(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """A fast API, where the worker is the limit, and a slow one, where the calls at once are."""
    for ms, events in ((5, sizes.single), (500, sizes.slow)):
        case = f"single calls, {ms} ms"
        series = _series(stand, sizes, Operation.UPDATE, events, sizes.pairs, ms=ms)
        most = AT_ONCE * 1_000 / ms
        yield from _loops(case, series)
        yield from _ours(case, Operation.UPDATE, series, bound=False)
        shares = tuple(run.rate / most for run in series.ours)
        about = f"256 at once can make {most:,.0f} calls a second"
        yield Figure(case, "writeback worker, update", f"of what {ms} ms a call allow", "", shares, note=about)


def over_tls(stand: Stand, sizes: Sizes) -> Iterator[Figure]:
    """As every vendor is called."""
    case = "single calls over TLS"
    with FarEnd(tls=True) as far:
        series = _series(stand, sizes, Operation.UPDATE, sizes.single, sizes.rounds, tls=far)
    yield from _loops(case, series)
    yield from _ours(case, Operation.UPDATE, series, bound=False, cpu_us=180, peak_mb=90)


def _series(
    stand: Stand,
    sizes: Sizes,
    operation: Operation,
    events: int,
    rounds: int,
    *,
    ms: int = 50,
    tls: FarEnd | None = None,
) -> Series:
    """``tls``: a destination to be called over TLS, instead of the stand's."""
    series = Series()
    slug = f"single-{operation}-{ms}{'-tls' if tls else ''}"
    far = tls or stand.far
    url = far.tls_url if tls else far.url
    trust = str(far.pem) if tls else ""
    stand.connection(slug, "http", concurrency=AT_ONCE, url=url)
    stand.emit(single(slug, n, sizes.keys, operation=operation) for n in range(events))
    for number in range(rounds + 1):
        for kind, runs in series.loops.items():
            loop = partial(stand.limit, kind, events, sizes.keys, AT_ONCE, url=url, trust=trust)
            runs.append(measure(far, events, loop, ms=ms))
        if number < rounds:
            series.ours.append(measure(far, events, partial(stand.worker, trust=trust), ms=ms))
    stand.drop(slug)
    return series


def _loops(case: str, *series: Series) -> Iterator[Figure]:
    for kind, who in LOOPS.items():
        runs = [run for each in series for run in each.loops[kind]]
        yield Figure(case, who, "rate", "events/s", tuple(run.rate for run in runs), note=NOTE)
        yield Figure(case, who, "CPU", "us/event", tuple(run.cpu_us for run in runs))


def _ours(
    case: str,
    operation: Operation,
    series: Series,
    *,
    bound: bool,
    cpu_us: float | None = None,
    peak_mb: float | None = None,
) -> Iterator[Figure]:
    """``cpu_us``, ``peak_mb``: an event may cost, and the worker take, so much at the most."""
    who, runs = f"writeback worker, {operation}", series.ours
    least = 1.0 if bound else None
    yield Figure(case, who, "rate", "events/s", tuple(run.rate for run in runs))
    yield Figure(case, who, "x httpx loop", "", series.rates("httpx"), at_least=least and 1.2)
    yield Figure(case, who, "x loop over our transport", "", series.rates("transport"), at_least=least and 0.9)
    yield Figure(case, who, "CPU", "us/event", tuple(run.cpu_us for run in runs), at_most=cpu_us)
    yield Figure(case, who, "CPU x httpx loop", "", series.costs("httpx"), at_most=least)
    yield Figure(case, who, "the destination's CPU", "us/event", tuple(run.far_us for run in runs))
    yield Figure(case, who, "start to first request", "s", tuple(run.start_seconds for run in runs))
    yield Figure(case, who, "peak memory", "MB", tuple(run.peak_mb for run in runs), at_most=peak_mb)
    yield unclean(case, who, runs)


def unclean(case: str, who: str, runs: list[Run]) -> Figure:
    wrong = tuple(float(run.wrong) for run in runs)
    return Figure(case, who, "lost + doubled + out of order", "", wrong, at_most=0)
