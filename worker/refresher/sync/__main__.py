"""``python -m worker.refresher.sync``: one job from stdin, progress and the result to stdout (``../job.py``)."""

from __future__ import annotations

import sys

from worker.refresher import lifeline
from worker.refresher.job import Job, Report, Result


def main() -> int:
    job = Job.model_validate_json(sys.stdin.readline())
    if job.lifeline:
        lifeline.hold_on(job.lifeline)
    result = Result(status="error", detail=f"{job.connection} cannot be refreshed by this version yet")
    sys.stdout.write(Report(result=result).line())
    return 0 if result.status == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
