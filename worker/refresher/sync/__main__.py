"""``python -m worker.refresher.sync``: one job from stdin, progress and the result to stdout (``../job.py``)."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import tempfile
from collections.abc import MutableMapping
from types import FrameType
from typing import Final, TextIO

from worker.clock import SystemClock
from worker.refresher import lifeline
from worker.refresher.job import Job, Progress, Read, Report, Result
from worker.refresher.sync.failures import expected, explain

STOPPED = "stopped before it was done; what is in the warehouse stays, and the next run goes on"

NEW_OBJECTS: Final = 100_000
"""Before the collector looks for cycles: rows make none, and to look after each 700 costs a twentieth of a refresh."""

_LOGGER = logging.getLogger("writeback.sync")


def main() -> int:
    """The exit code: 0 when the result says ok."""
    gc.set_threshold(NEW_OBJECTS)
    out = _only_the_protocol()
    signal.signal(signal.SIGTERM, _stop)
    job = Job.model_validate_json(sys.stdin.readline())
    if job.lifeline:
        lifeline.hold_on(job.lifeline)
    clock = SystemClock()
    began = clock.monotonic()
    result = _result(job, clock, began, out)
    _say(out, Report(result=result.model_copy(update={"seconds": round(clock.monotonic() - began, 3)})))
    return 0 if result.status == "ok" else 1


def _result(job: Job, clock: SystemClock, began: float, out: TextIO) -> Result:
    """Runs the job. Never raises: every failure becomes a result, for those who wait."""
    warehouse = "that WRITEBACK_WAREHOUSE names"
    try:
        from connectors.connections.store import Connections  # noqa: PLC0415 - after the signal is caught
        from topics.settings import load_settings  # noqa: PLC0415
        from topics.store import open_store  # noqa: PLC0415
        from topics.warehouse import warehouse_url  # noqa: PLC0415
        from worker.refresher.sync.run import Run  # noqa: PLC0415

        settings = load_settings()
        warehouse = warehouse_url(settings.warehouse).render_as_string(hide_password=True)
        _quiet_dlt(os.environ)
        engine = open_store(settings.store)
        try:
            run = Run(
                settings, Connections(engine, settings.secret_key), clock.now,
                lambda name, rows: _say(out, Progress(progress=Read(object=name, rows=rows))), began,
            )  # fmt: skip
            return Result(status="ok", rows=run.do(job))
        finally:
            engine.dispose()
    except SystemExit:
        return Result(status="error", retry=True, detail=STOPPED)
    except Exception as error:
        if not expected(error):
            _LOGGER.exception("a bug, or something that nobody has thought of")
        detail, retry = explain(error, warehouse)
        return Result(status="error", retry=retry, detail=detail)


def _only_the_protocol() -> TextIO:
    """Keep stdout for the protocol: what libraries print goes to stderr, with the log."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _quiet_dlt(environment: MutableMapping[str, str]) -> None:
    """Settings for dlt: no telemetry, no files in the home folder, no settings of a project in the working folder.

    A table is replaced from the staging schema in one transaction; by default dlt would empty it first, and readers
    would see that.
    Its files on the way are read once, a moment later; compressing them costs more than it saves.
    """
    elsewhere = tempfile.gettempdir()
    environment.update(
        RUNTIME__DLTHUB_TELEMETRY="false",
        RUNTIME__LOG_LEVEL="ERROR",
        DLT_DATA_DIR=elsewhere,
        DLT_PROJECT_DIR=elsewhere,
        DLT_CONFIG_FOLDER=".no-dlt",
        DESTINATION__REPLACE_STRATEGY="insert-from-staging",
        NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION="true",
        LOAD__RAISE_ON_FAILED_JOBS="true",
        LOAD__RAISE_ON_MAX_RETRIES="3",
    )


def _say(out: TextIO, line: Progress | Report) -> None:
    out.write(line.line())
    out.flush()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(STOPPED)


if __name__ == "__main__":
    sys.exit(main())
