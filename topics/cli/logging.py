"""Where log events go: structlog to stderr, for people on a terminal and as JSON lines everywhere else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from topics.settings import Settings

if TYPE_CHECKING:
    import structlog


def configure_logging(settings: Settings) -> None:
    """Structlog to stderr: for people on a terminal, JSON lines otherwise, or as ``log_format`` says."""
    with _without("rich"):  # 4 MB and a twentieth of a second, for tracebacks that we do not print
        import structlog  # noqa: PLC0415

    for_people = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    # Plain tracebacks in both: the pretty ones print local variables, and those hold payloads and secrets.
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    level = getattr(logging, settings.log_level.upper())
    every: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*every, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # What libraries log: in the same form, so that whoever reads JSON lines finds nothing else.
    of_libraries = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*every, structlog.stdlib.add_logger_name],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(of_libraries)
    # Says on a busy machine every few seconds that a task of kafka-python's own took a tenth of a second.
    logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler])


@contextmanager
def _without(library: str) -> Iterator[None]:
    """Who tries to import it finds that it is not there; nothing changes for whoever has it, or imports it later."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment] # the documented way to say so
    try:
        yield
    finally:
        del sys.modules[library]
