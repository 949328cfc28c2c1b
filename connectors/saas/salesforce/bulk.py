"""One job of Bulk API 2.0: opened, filled, closed, waited for, and its results given to single events.

https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/bulk_api_2_0_ingest.htm
Until the job is closed nothing is done. From then on Salesforce works at it, whoever is there to see it; so a job whose
end is not known is aborted before its rows are given up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from connectors.contract import Delivered, Down, Rejected, Retry, Throttled, Unknown, Verdict
from connectors.engine.runner import question
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import Expected, compile_says
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, after_item
from connectors.saas.salesforce.rows import Owners, Sheet, error_of, results_of
from topics.event import exact_json
from topics.event.event import Operation

LONGEST: Final = 1_800.0
"""Seconds that a job is waited for."""
BETWEEN: Final = 10.0
"""Seconds between two looks at a job, at most."""
TRIES: Final = 5
"""Looks, one after the other, that may fail."""
FINAL: Final = frozenset({"JobComplete", "Failed", "Aborted"})
OPERATIONS: Final = {
    Operation.ADD: "insert", Operation.MESSAGE: "insert", Operation.UPDATE: "update", Operation.UPSERT: "upsert",
    Operation.DELETE: "delete",
}  # fmt: skip

_JOB: Final = Expected(says=compile_says(["id", "state"]))
_TAKEN: Final = Expected(statuses=frozenset({201, 204}), media_types=frozenset({"*/*"}))
_CSV: Final = Expected(media_types=frozenset({"text/csv"}))


@dataclass(slots=True)
class Bulk:
    """``asking``: the rules of what changes nothing; ``rules``: those of the operation."""

    sender: Sender
    url: str
    asking: Rules
    rules: Rules
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def carry(self, sheet: Sheet, sobject: str, operation: Operation, unique: str | None) -> dict[int, Verdict]:
        """A verdict for each row. ``unique``: by which an upsert finds its records, and a result its event."""
        opened = await self._open(sheet, sobject, operation, unique)
        if not isinstance(opened, str):
            return self._each(sheet, opened)
        closed = await self._ask("PATCH", f"/{opened}", _JOB, self.rules, {"state": "UploadComplete"})
        refused = closed if isinstance(closed, Rejected | Throttled | Down) else None
        job: Any = refused or await self._finished(opened)
        if not _final(job):
            job = await self._aborted(opened, job)
        if not _final(job):
            return self._each(sheet, refused or self._lost(f"job {opened}: {getattr(job, 'reason', job)}"))
        if int(job.get("numberRecordsProcessed") or 0) or job["state"] == "JobComplete":
            return await self._results(opened, sheet, operation, unique)
        if job["state"] == "Aborted":
            return self._each(sheet, refused or Retry(f"job {opened} was ended before any of it was done"))
        words = f"job {opened} failed: {job.get('errorMessage') or 'Salesforce does not say why'}"
        return self._each(sheet, Rejected(words[:300]))

    async def _open(self, sheet: Sheet, sobject: str, operation: Operation, unique: str | None) -> str | Verdict:
        """The id of a job that has all of the rows."""
        job = {"object": sobject, "operation": OPERATIONS[operation], "contentType": "CSV", "lineEnding": "LF"}
        if operation is Operation.UPSERT and unique is not None:
            job["externalIdFieldName"] = unique
        made = await self._ask("POST", "", _JOB, self.asking, job)
        if not isinstance(made, Mapping):
            return made  # type: ignore[no-any-return]  # a verdict
        filled = await self._ask("PUT", f"/{made['id']}/batches", _TAKEN, self.asking, sheet.csv())
        if filled is None or isinstance(filled, str | Mapping):
            return str(made["id"])
        await self._aborted(str(made["id"]), None)  # it would stay open for days
        return filled  # type: ignore[no-any-return]  # a verdict

    async def _finished(self, job: str) -> Any:
        """The job as it ended, or as it stands open because its closing never came; or the verdict on not knowing."""
        pause, waited, failed = 1.0, 0.0, 0
        while waited < LONGEST:
            answer = await self._ask("GET", f"/{job}", _JOB, self.asking)
            failed = 0 if isinstance(answer, Mapping) else failed + 1
            if _final(answer) or (isinstance(answer, Mapping) and answer["state"] == "Open"):
                return answer
            if failed >= TRIES or isinstance(answer, Rejected):
                return answer
            wait = answer.after if isinstance(answer, Throttled) else pause
            await self.sleep(wait)
            waited += wait
            pause = min(pause * 2, BETWEEN)
        return Retry(f"it is not done after {LONGEST / 60:.0f} minutes")

    async def _aborted(self, job: str, known: Any) -> Any:
        """The job, ended now; or as it is, or ``known``, where Salesforce does not say that it has ended it.

        From then on nothing of it is done any more, so that what is not done by now can be sent again.
        """
        aborted = await self._ask("PATCH", f"/{job}", _JOB, self.asking, {"state": "Aborted"})
        if isinstance(aborted, Mapping):
            return aborted
        answer = await self._ask("GET", f"/{job}", _JOB, self.asking)  # done by now, it may be
        return answer if _final(answer) else known

    async def _results(self, job: str, sheet: Sheet, operation: Operation, unique: str | None) -> dict[int, Verdict]:
        owners = Owners(sheet, operation, unique)
        verdicts: dict[int, Verdict] = {}
        for kind in ("successfulResults", "failedResults", "unprocessedrecords"):
            for result in await self._read(f"/{job}/{kind}"):
                place = owners.take(result)
                if place is not None:
                    verdicts[place] = self._verdict(kind, result)
        lost = self._lost(f"job {job}: its results do not say what became of this record")
        return {place: verdicts.get(place, lost) for place in sheet.rows}

    async def _read(self, path: str) -> list[dict[str, str]]:
        """What cannot be read says nothing about its records."""
        for turn in range(TRIES):
            answer = await self._ask("GET", path, _CSV, self.asking)
            if answer is None or isinstance(answer, str):
                return results_of(answer)
            if not isinstance(answer, Retry | Throttled | Down):
                break
            await self.sleep(2.0**turn)
        return []

    def _verdict(self, kind: str, result: Mapping[str, str]) -> Verdict:
        if kind == "successfulResults":
            number = result.get("sf__Id", "")
            return Delivered({"id": number, "created": result.get("sf__Created") == "true"}, number or None)
        if kind == "failedResults":
            return after_item(error_of(result), None, self.rules, None)
        return Retry("Salesforce ended the job before this record")

    def _lost(self, reason: str) -> Verdict:
        return Retry(reason) if self.rules.idempotent else Unknown(reason)

    @staticmethod
    def _each(sheet: Sheet, verdict: Verdict) -> dict[int, Verdict]:
        """What holds for the whole job; a refusal asks to be bisected."""
        if isinstance(verdict, Rejected) and len(sheet.rows) > 1:
            verdict = Rejected(verdict.reason, verdict.evidence, conflict=verdict.conflict, whole=True)
        return dict.fromkeys(sheet.rows, verdict)

    async def _ask(self, method: str, path: str, expected: Expected, rules: Rules, body: Any = None) -> Any:
        """The body of an answer, or the verdict that stands in its way."""
        headers = dict(self.sender.base.headers)
        if isinstance(body, bytes):
            headers["Content-Type"] = "text/csv; charset=UTF-8"
        if expected is _CSV:
            headers["Accept"] = "text/csv"
        sent = body if body is None or isinstance(body, bytes) else exact_json.dumps(body)
        return await question.ask(self.sender, Prepared(method, self.url + path, headers, sent), rules, expected)


def _final(job: Any) -> bool:
    return isinstance(job, Mapping) and job["state"] in FINAL
