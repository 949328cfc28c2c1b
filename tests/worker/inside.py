"""What a test looks at inside a worker."""

from __future__ import annotations

from worker.engine.dispatch.dispatch import Dispatcher
from worker.worker import Worker


def dispatcher(worker: Worker, slug: str = "acme") -> Dispatcher:
    found = worker._router.intakes[slug].dispatcher
    assert found is not None
    return found


def is_paused(worker: Worker, slug: str = "acme") -> bool:
    """False while a changed connection is opened anew."""
    found = worker._router.intakes[slug].dispatcher
    return found is not None and found.destination.paused
