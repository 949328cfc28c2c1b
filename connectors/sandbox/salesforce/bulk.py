"""Bulk API 2.0 of the sandbox's org: jobs that are filled with CSV and done when somebody has looked twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.ledger import Entry
from connectors.sandbox.salesforce.objects import OBJECTS
from connectors.sandbox.salesforce.org import Org, SalesforceError

NULL: Final = "#N/A"
_OPERATIONS: Final = frozenset({"insert", "update", "upsert", "delete"})


@dataclass(slots=True)
class Job:
    id: str
    object: str
    operation: str
    external: str
    state: str = "Open"
    rows: list[dict[str, str]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    done: list[dict[str, str]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    error: str = ""

    @property
    def unprocessed(self) -> list[dict[str, str]]:
        return [] if self.state == "Open" else self.rows[len(self.done) + len(self.failed) :]

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id, "object": self.object, "operation": self.operation, "state": self.state,
            "contentType": "CSV", "lineEnding": "LF", "columnDelimiter": "COMMA", "apiVersion": 62.0,
            "numberRecordsProcessed": len(self.done) + len(self.failed), "numberRecordsFailed": len(self.failed),
            **({"errorMessage": self.error} if self.error else {}),
        }  # fmt: skip


class Ingest:
    def __init__(self, org: Org) -> None:
        self.jobs: dict[str, Job] = {}
        self._org = org
        self._numbers = count(1)

    def answer(self, call: Call, rest: list[str], entries: list[Entry]) -> Answer:
        """Raises ``SalesforceError``."""
        if rest[:1] != ["ingest"]:
            raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
        if len(rest) == 1 and call.method == "POST":
            return answer(200, self._opened(call.json()).shown())
        job = self.jobs.get(rest[1]) if len(rest) > 1 else None
        if job is None:
            raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
        match call.method, rest[2:]:
            case "PUT", ["batches"] if job.state == "Open":
                return self._filled(job, call.body)
            case "PATCH", []:
                return self._changed(job, str(call.json().get("state")), call.at, entries)
            case "GET", []:
                if job.state == "UploadComplete":
                    job.state = "InProgress"
                elif job.state == "InProgress":
                    job.state = "Failed" if job.error else "JobComplete"
                return answer(200, job.shown())
            case "GET", [kind]:
                return self._results(job, kind)
        raise SalesforceError("INVALIDJOBSTATE", f"the job is in the state {job.state}", status=409)

    def _opened(self, asked: Mapping[str, Any]) -> Job:
        operation, external = str(asked.get("operation")), str(asked.get("externalIdFieldName") or "")
        if operation not in _OPERATIONS or (operation == "upsert") != bool(external):
            raise SalesforceError("INVALIDJOB", f"the operation {operation} with the external id field {external!r}")
        job = Job(f"750gK{next(self._numbers):010d}AAA", self._org.sobject(str(asked["object"])), operation, external)
        self.jobs[job.id] = job
        return job

    @staticmethod
    def _filled(job: Job, body: bytes) -> Answer:
        reader = csv.DictReader(io.StringIO(body.decode()))
        job.rows, job.columns = list(reader), list(reader.fieldnames or ())
        return Answer(201)

    def _changed(self, job: Job, state: str, at: float, entries: list[Entry]) -> Answer:
        ends = {"UploadComplete": {"Open"}, "Aborted": {"Open", "UploadComplete", "InProgress"}}
        if job.state not in ends.get(state, ()):
            raise SalesforceError("INVALIDJOBSTATE", f"a job that is {job.state} does not become {state}", status=409)
        job.state = state
        if state == "UploadComplete":
            known = {name.lower() for name in OBJECTS[job.object]}
            unknown = [name for name in job.columns if name.lower() not in known]
            if unknown:
                job.error = f"InvalidBatch : Field name not found : {unknown[0]}"
            else:
                self._carried_out(job, at)
        entries[0].performed = True
        return answer(200, job.shown())

    def _carried_out(self, job: Job, at: float) -> None:
        for row in job.rows:
            try:
                number, new = self._one(job, row, at)
            except SalesforceError as error:
                said = f"{error.code}:{error.message}:{','.join(error.fields)} --"
                job.failed.append({"sf__Id": row.get("Id", ""), "sf__Error": said, **row})
            else:
                job.done.append({"sf__Id": number, "sf__Created": "true" if new else "false", **row})
        job.done.reverse()  # results are promised in no order

    def _one(self, job: Job, row: Mapping[str, str], at: float) -> tuple[str, bool]:
        values: dict[str, Any] = {}
        for name, text in row.items():
            kind = OBJECTS[job.object].get(name, {}).get("type")
            if name != "Id" and text:
                boolean = kind == "boolean" and text.lower() in {"true", "false"}
                values[name] = None if text == NULL else text.lower() == "true" if boolean else text
        match job.operation:
            case "insert":
                return self._org.create(job.object, values, at), True
            case "update":
                return self._org.update(job.object, row["Id"], values, at), False
            case "delete":
                return self._org.delete(job.object, row["Id"], at), False
        return self._org.upsert(job.object, job.external, values.pop(job.external), values, at)

    @staticmethod
    def _results(job: Job, kind: str) -> Answer:
        rows, first = {
            "successfulResults": (job.done, ["sf__Id", "sf__Created"]),
            "failedResults": (job.failed, ["sf__Id", "sf__Error"]),
            "unprocessedrecords": (job.unprocessed, []),
        }[kind]
        out = io.StringIO()
        writer = csv.DictWriter(out, [*first, *job.columns], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return Answer(200, out.getvalue().encode(), {}, "text/csv")
