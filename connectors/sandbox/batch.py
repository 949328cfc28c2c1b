"""HubSpot's batch endpoints: a hundred records in one call, refused as a whole or answered one by one.

A create or upsert is answered record by record only when each input has its own ``objectWriteTraceId``; without, the
first refusal refuses all and nothing is done. An update is always answered record by record. Results come back in
another order than the inputs: HubSpot promises none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.ledger import Entry
from connectors.sandbox.portal import NOT_SET, Portal, Refused, Stored
from connectors.sandbox.properties import singular

MAX_INPUTS = 100

_Undo = list[tuple[Stored, dict[str, str] | None]]


class Batch:
    def __init__(self, portal: Portal, *, partial_email_upsert: bool) -> None:
        self._portal = portal
        self._partial_email_upsert = partial_email_upsert

    def perform(self, call: Call, kind: str, operation: str, entries: list[Entry]) -> Answer:
        """Raises ``Refused`` when the batch is refused as a whole."""
        inputs = inputs_of(call)
        if operation == "read":
            return self._read(call, kind, inputs, entries)
        if operation == "archive":
            for item, entry in zip(inputs, entries, strict=True):
                entry.performed = self._portal.archive(kind, str(item.get("id")), call.now)
            return Answer(204)
        if operation != "create":
            _refuse_doubles(inputs)
        return self._write(call, kind, operation, inputs, entries)

    def _write(
        self, call: Call, kind: str, operation: str, inputs: list[dict[str, Any]], entries: list[Entry]
    ) -> Answer:
        partial = self._is_partial(operation, inputs)
        results: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        undo: _Undo = []
        good = 201 if operation == "create" else 200
        for item, entry in zip(inputs, entries, strict=True):
            try:
                record, new = self._one(call, kind, operation, item, undo)
            except Refused as refused:
                if not partial:
                    self._take_back(kind, undo, entries)
                    raise
                entry.outcome = str(refused.status)
                errors.append(item_error(item, refused))
                continue
            entry.performed, entry.record_id, entry.outcome = True, record.id, str(good)
            results.append(self._result(record, item, new if operation == "upsert" else None))
        return multi_status(call, good, results, errors)

    def _one(self, call: Call, kind: str, operation: str, item: dict[str, Any], undo: _Undo) -> tuple[Stored, bool]:
        properties = item.get("properties")
        if not isinstance(properties, dict):
            raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [properties]")
        record = None if operation == "create" else self._existing(kind, operation, item)
        if record is not None:
            before = dict(record.properties)
            self._portal.update(kind, record, properties, call.now, call.at)
            undo.append((record, before))
            return record, False
        if operation == "upsert":
            properties = {str(item["idProperty"]): item["id"], **properties}
        record = self._portal.create(kind, properties, call.now, call.at, item.get("associations"))
        undo.append((record, None))
        return record, True

    def _existing(self, kind: str, operation: str, item: dict[str, Any]) -> Stored | None:
        id_property = str(item.get("idProperty") or "")
        given = str(item.get("id") or "")
        if not given or (operation == "upsert" and not id_property):
            raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [id, idProperty]")
        record = self._portal.find(kind, given, id_property)
        if record is None and operation == "update":
            raise _missing(kind, [given])
        return record

    def _read(self, call: Call, kind: str, inputs: list[dict[str, Any]], entries: list[Entry]) -> Answer:
        id_property = str(call.json().get("idProperty") or "")
        names = call.json().get("properties") or []
        archived = call.first("archived").lower() == "true"
        found: dict[str, Stored] = {}
        absent: list[str] = []
        for item in inputs:
            given = str(item.get("id"))
            record = self._portal.find(kind, given, id_property, archived=archived)
            if record is None:
                absent.append(given)
            else:
                found[record.id] = record
        entries[0].performed = True
        results = [self._portal.shown(kind, record, names) for record in found.values()]
        return multi_status(call, 200, results, [item_error({}, _missing(kind, absent))] if absent else [], len(absent))

    def _is_partial(self, operation: str, inputs: list[dict[str, Any]]) -> bool:
        if operation == "update":
            return True
        if operation == "upsert" and not self._partial_email_upsert and inputs[0].get("idProperty") == "email":
            return False
        traces = {str(item.get("objectWriteTraceId") or "") for item in inputs} - {""}
        return len(traces) == len(inputs)

    def _take_back(self, kind: str, undo: _Undo, entries: list[Entry]) -> None:
        for record, before in reversed(undo):
            self._portal.restore(kind, record, before)
        for entry in entries:
            entry.performed, entry.record_id, entry.outcome = False, None, ""

    def _result(self, record: Stored, item: dict[str, Any], new: bool | None) -> dict[str, Any]:
        result = self._portal.written(record)
        if new is not None:
            result["new"] = new
        if trace := item.get("objectWriteTraceId"):
            result["objectWriteTraceId"] = trace
        return result


def inputs_of(call: Call, maximum: int = MAX_INPUTS) -> list[dict[str, Any]]:
    """Raises ``Refused``."""
    inputs = call.json().get("inputs")
    if not isinstance(inputs, list) or not inputs or not all(isinstance(item, dict) for item in inputs):
        raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [inputs]")
    if len(inputs) > maximum:
        raise Refused(400, "VALIDATION_ERROR", f"A batch has at most {maximum} inputs; this one has {len(inputs)}")
    return inputs


def _refuse_doubles(inputs: list[dict[str, Any]]) -> None:
    ids = [str(item.get("id")).lower() for item in inputs]
    doubles = sorted({given for given in ids if ids.count(given) > 1}) if len(set(ids)) < len(ids) else []
    if doubles:
        raise Refused(
            400, "VALIDATION_ERROR", f"Duplicate IDs found in batch input: [{', '.join(doubles)}]. IDs must be unique"
        )  # fmt: skip


def _missing(kind: str, ids: list[str]) -> Refused:
    return Refused(
        404,
        "OBJECT_NOT_FOUND",
        f"Could not get some {singular(kind)} objects, they may be deleted or not exist. Check that ids are valid.",
        {"ids": ids},
    )


def item_error(item: dict[str, Any], refused: Refused) -> dict[str, Any]:
    context = dict(refused.context)
    if item.get("id"):
        context.setdefault("ids", [str(item["id"])])
    if trace := item.get("objectWriteTraceId"):
        context["objectWriteTraceId"] = [trace]
    return {
        "status": "error",
        "category": refused.category,
        "message": refused.message,
        "context": context,
        "errors": [],
        "links": {},
    }


def multi_status(
    call: Call, good: int, results: list[dict[str, Any]], errors: list[dict[str, Any]], count: int | None = None
) -> Answer:
    when = datetime.fromtimestamp(call.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body: dict[str, Any] = {"status": "COMPLETE", "results": results[::-1], "startedAt": when, "completedAt": when}
    if errors:
        body |= {"numErrors": len(errors) if count is None else count, "errors": errors}
    return answer(207 if errors else good, body)
