"""``python -m worker.refresher.external CALL``: one job from stdin, the result to stdout (``../job.py``).

``CALL`` is the connection's ``policy["refresh"]["call"]`` as JSON. It holds references to secrets, not the secrets.
"""

from __future__ import annotations

import os
import sys

from pydantic import TypeAdapter

from connectors.connections.refresh.call import RefreshCall
from worker.clock import SystemClock
from worker.refresher import lifeline
from worker.refresher.external.tools import Failed, make
from worker.refresher.job import Job, Report, Result


def main() -> int:
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a command prints goes to stderr: stdout is for our lines alone
    job = Job.model_validate_json(sys.stdin.readline())
    if job.lifeline:
        lifeline.hold_on(job.lifeline)
    clock = SystemClock()
    began = clock.monotonic()
    try:
        call: RefreshCall = TypeAdapter(RefreshCall).validate_json(sys.argv[1])
        result = Result(status="ok", rows=make(call, job, os.environ))
    except Failed as error:
        result = Result(status="error", retry=error.retry, detail=str(error))
    result = result.model_copy(update={"seconds": round(clock.monotonic() - began, 3)})
    out.write(Report(result=result).line())
    out.flush()
    return 0 if result.status == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
