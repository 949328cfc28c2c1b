"""``writeback worker --processes``: several workers, each a process of its own, under one supervisor."""

from __future__ import annotations

from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING

from topics.cli.context import CommandContext
from topics.cli.logging import configure_logging
from worker.roles.serving import serve

if TYPE_CHECKING:
    from topics.settings import Settings

# ruff: noqa: PLC0415 - what is loaded after the logging is set up finds it as it is to be

LOADED = (
    "concurrent.futures.thread",
    "connectors.saas.http.connector",
    "connectors.engine.runner.runner",
    "connectors.engine.transport.sockets",
    "dead_letter.store.archive",
    "dead_letter.store.parking",
    "dead_letter.store.store",
    "encodings.idna",
    "worker.process.malloc",
    "worker.process.open_files",
    "worker.process.secret_log",
    "worker.process.watchdog",
    "worker.roles.archive",
    "worker.roles.worker",
)
"""What every worker runs; METERED: what one runs that serves its metrics, SEALED: that can open secrets."""
METERED = ("worker.observe.endpoints", "worker.observe.metrics")
SEALED = ("cryptography.fernet", "cryptography.hazmat.primitives.kdf.scrypt")


def supervise(context: CommandContext, count: int, *, archive: bool, metrics_port: int | None) -> int:
    """Until all have ended; returns the exit code. In each of the processes it is the n-th worker that ends here."""
    settings = context.settings
    configure_logging(settings)
    from worker.clock import SystemClock
    from worker.process.children import ChildProcesses
    from worker.process.gc import keep
    from worker.process.supervisor import Supervisor

    _load(settings, metrics=(settings.metrics_port if metrics_port is None else metrics_port) is not None)
    keep()
    with ChildProcesses() as children:
        number, code = Supervisor(count, children, grace=settings.grace_seconds, clock=SystemClock()).run()
        if number is not None:  # this is the n-th worker
            with closing(context.another(lambda: _own(settings, number, metrics_port))) as own:
                serve(own, archive=archive and number == 0, supervised=True)
    return code


def _own(settings: Settings, number: int, metrics_port: int | None) -> Settings:
    """The settings of the n-th worker: a name and a port of its own, where there is one."""
    port = settings.metrics_port if metrics_port is None else metrics_port
    member = settings.member and f"{settings.member}-{number}"
    return settings.model_copy(update={"member": member, "metrics_port": port and port + number})


def _load(settings: Settings, *, metrics: bool) -> None:
    """Whatever a worker would import: what is loaded before the fork is in memory once, and nothing of it is open.

    What is left out is no mistake, only dearer: each worker loads it for itself. Raises ``SettingsError``.
    """
    for name in (*LOADED, *(METERED if metrics else ()), *(SEALED if settings.secret_key else ())):
        import_module(name)
    from connectors import registry
    from topics.store import open_store

    for name in registry.names():
        registry.manifest(name)
    settings.open_log().close()  # the drivers of both; neither connects before it is used
    open_store(settings.store).dispose()
