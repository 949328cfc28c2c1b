"""The protocol between a refresher and its sync process: one job on stdin, then lines of JSON on stdout.

The sync is a process of its own (``python -m worker.refresher.sync``), because the libraries that load a warehouse take
more memory than a worker has. It reads one ``Job``, writes any number of ``Progress`` lines and, as its last line, one
``Report``; its log goes to stderr. Exit code 0: the report says ok; 1: it says error. A sync that ends without a report
was killed. SIGTERM ends it cleanly: no object of the warehouse is ever half loaded.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError


class _Line(BaseModel):
    """One line of JSON. A name that this version does not know is ignored: the other end may be newer."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def line(self) -> str:
        """The line, with its end."""
        return self.model_dump_json() + "\n"


class Job(_Line):
    """What to read: the ``objects`` of one connection, or everything where none are named.

    ``full``: read all records again and replace the tables, instead of reading what has changed since the last run.
    ``run``: the run's id, for the log. ``lifeline``: the refresher writes an empty line to stdin every second, and a
    sync that hears nothing for this many seconds ends itself (``lifeline.py``); 0: it does not.
    """

    connection: str
    objects: list[str] | None = None
    full: bool = False
    run: str = ""
    lifeline: float = 0.0


class Read(BaseModel):
    """``rows`` of one object were read so far."""

    model_config = ConfigDict(frozen=True)

    object: str
    rows: int


class Progress(_Line):
    progress: Read


class Result(BaseModel):
    """How a run ended. ``rows``: those that changed in the warehouse, by object. ``retry``: another try may succeed.

    ``detail`` is for people: what went wrong, where, and what to do about it; it holds no secret.
    """

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "error"]
    rows: dict[str, int] = {}
    seconds: float = 0.0
    retry: bool = False
    detail: str = ""


class Report(_Line):
    result: Result


def parse_line(line: str | bytes) -> Progress | Report | None:
    """A line of the sync's stdout; None for any other output, which some library has printed."""
    for kind in (Progress, Report):
        try:
            return kind.model_validate_json(line)
        except ValidationError:
            continue
    return None
