"""The reference pages about a running worker: its metrics, the states it tells, what it logs."""

from __future__ import annotations

import asyncio
import inspect
import re
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import dead_letter.log_events
import topics.event.result
import topics.log.log_events
import worker.log_events
from worker.clock import FakeClock
from worker.engine.counters import COMMIT_SECONDS, Counters, Histogram
from worker.engine.settlement.ledger import Ledger
from worker.observe.metrics import collect
from worker.observe.observer import Observer
from worker.refresher.counts import RefreshCounts
from worker.refresher.metrics import collect as refresh_metrics
from worker.syncs.metrics import collect as sync_metrics

GENERATED = "<!-- Written by `make docs`; change the code, not this page. -->\n\n"
EVENT = re.compile(r'^ {4}"([a-z_]+\.[a-z_]+)",(?:  # (.*))?$', re.MULTILINE)


def metrics_page() -> str:
    """Every metric, with its labels, and where it is served."""
    rows = "\n".join(
        f"| `{family.name}{'_total' if family.type == 'counter' else ''}` | {family.type} "
        f"| {', '.join(f'`{label}`' for label in getattr(family, '_labelnames', ()))} | {family.documentation} |"
        for family in (*asyncio.run(collect(_nothing())), *refresh_metrics(_no_refreshes()), *sync_metrics({}))
    )
    return f"""# Metrics, health and states

{GENERATED}With `WRITEBACK_METRICS_PORT` (or `--metrics-port`) a worker or a refresher serves, on the address that
`WRITEBACK_METRICS_HOST` names:

| path | answers |
|---|---|
| `/metrics` | the numbers below, and `process_*` and `python_*`, as Prometheus or OpenMetrics text |
| `/states` | the worker and each connection it has events of: state, reason, since, until, what to do; as JSON |
| `/healthz` | 200 as long as the worker's event loop turns; one that stands still does not answer |
| `/readyz` | 200 when the worker has joined its group and the log answers; else 503 with the reason |

With `writeback worker --processes N` the n-th worker serves on the n-th port, the first on the given one.

| metric | type | labels | meaning |
|---|---|---|---|
{rows}

There are no ids, keys, addresses or error texts in labels. Numbers of a connection come from the worker that has its
partitions: sum over workers.

## States of connections

Every change is told on `writeback.results` (a record whose key is the connection's slug; readers of outcomes pass over
it), read by `writeback results --states`, and shown as `writeback_connection_state`. `writeback connections list` and
`show`, `writeback doctor`, `/states` and a receipt of pq that is still pending say it in the same words, with the
reason, since when, and until when where that is known:

{_states()}

Two more are seen only from outside: `no worker` lives on this store, or all that live `stand-by`, without a partition.
A worker that has given the store no sign of life for 15 seconds counts as dead.
"""


def events_page() -> str:
    """The name of everything that is logged."""
    return f"""# Log events

{GENERATED}A worker logs to standard error, as JSON lines unless a person reads it on a terminal
(`WRITEBACK_LOG_FORMAT`). The names are fixed, so that alerts can be made from them. Never a payload, never a secret.
Warnings of the libraries below come in the same form, with the library's name under `logger`.

## The worker and the refresher

{_events(worker.log_events)}

## The archive of dead letters

{_events(dead_letter.log_events)}

## The log

{_events(topics.log.log_events)}
"""


def _events(module: ModuleType) -> str:
    rows = "\n".join(
        f"| `{name}` | {about.replace('|', chr(92) + '|')} |"
        for name, about in EVENT.findall(inspect.getsource(module))
    )
    return f"| event | fields, meaning |\n|---|---|\n{rows}"


def _states() -> str:
    """The docstring under ``ConnectionState``, as it stands in the code."""
    found = re.search(r'ConnectionState = .*?"""(.*?)"""', inspect.getsource(topics.event.result), re.DOTALL)
    assert found is not None
    return found[1].replace("``", "`").strip()


def _no_refreshes() -> Any:
    """A refresher that has done nothing yet."""
    return SimpleNamespace(counts=RefreshCounts(), debouncer=(), running=())


def _nothing() -> Observer:
    """A worker without connections."""
    return Observer(
        router=cast("Any", SimpleNamespace(intakes={}, assignments={})),
        committer=cast("Any", SimpleNamespace(seconds=Histogram(COMMIT_SECONDS))),
        ledger=Ledger(cast("Any", None)),
        counters=Counters(),
        log=cast("Any", None),
        clock=FakeClock(),
        window=1,
        tell=lambda _: None,
        refusal=lambda _: None,
    )
