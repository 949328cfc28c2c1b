"""The REST API of the sandbox's org: sObjects, Collections, SOQL, descriptions, limits, and the token endpoint."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from connectors.sandbox.assertions import JWT_BEARER, refused
from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.ledger import Entry
from connectors.sandbox.salesforce.bulk import Ingest
from connectors.sandbox.salesforce.objects import OBJECTS
from connectors.sandbox.salesforce.org import Org, SalesforceError
from connectors.sandbox.salesforce.query import parse

MOST: Final = 200
PAGE: Final = 2_000
_PATH: Final = re.compile(r"/services/data/v(\d+\.\d)(/.*)?")
_OPERATIONS: Final = {"POST": "create", "PATCH": "update", "DELETE": "delete", "GET": "read"}
_Rest = Callable[[Call, list[str], list[Entry]], Answer]


class Salesforce:
    """``tokens``: the good ones; None: any is. ``daily``: calls in all; 0: no limit. ``page``: rows of an answer.

    ``certificate``: the public key of the app ``client``; None: any assertion is good.
    """

    name = "salesforce"

    def __init__(
        self,
        faults: Faults,
        *,
        tokens: frozenset[str] | None = None,
        daily: int = 0,
        page: int = PAGE,
        client: tuple[str, str] = ("key", "secret"),
        certificate: str | None = None,
    ) -> None:
        self.org = Org.new(faults)
        self.ingest = Ingest(self.org)
        self.daily = daily
        self.used = 0
        self.issued = 0
        self._tokens = tokens
        self._page = page
        self._client = client
        self._certificate = certificate
        self._open: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        self._locators = count(1)
        self._resources: dict[str, _Rest] = {
            "sobjects": self._sobjects,
            "composite": self._composite,
            "jobs": self.ingest.answer,
            "query": self._query,
            "queryAll": self._query,
            "limits": lambda *_: answer(200, {"DailyApiRequests": {"Max": self.daily, "Remaining": self._left()}}),
        }

    @staticmethod
    def claims(path: str) -> bool:
        return path.startswith(("/services/data/", "/services/oauth2/"))

    def describe(self, call: Call) -> tuple[list[Entry], bool]:
        """An entry for each record of the call. Never raises."""
        parts = _parts(call.path)
        upsert = call.method == "PATCH" and len(parts) == 4
        operation = "upsert" if upsert else _OPERATIONS.get(call.method, "read")
        try:
            given = _records(call) if parts[:1] == ["composite"] else [call.json() if call.body else {}]
        except (ValueError, SalesforceError):
            given = [{}]
        entries = []
        for record in given or [{}]:
            entry = Entry(call.number, self.name, operation, _kind(parts, record), received=call.now)
            entry.properties = {name: value for name, value in record.items() if name != "attributes"}
            entry.record_id = str(record.get("id") or "") or None
            entry.unique = next(
                (str(v).lower() for n, v in record.items() if n in {"External_Id__c", "Number__c"}), None
            )
            entries.append(entry)
        return entries, call.method == "GET" or call.path.startswith("/services/oauth2/")

    def admit(self, call: Call) -> Answer | None:
        if call.path.startswith("/services/oauth2/"):
            return None
        if not call.token or (self._tokens is not None and call.token not in self._tokens):
            return _failed(SalesforceError("INVALID_SESSION_ID", "Session expired or invalid", status=401))
        if self.daily and self.used >= self.daily:
            words = "TotalRequests Limit exceeded."
            return self._counted(_failed(SalesforceError("REQUEST_LIMIT_EXCEEDED", words, status=403)))
        self.used += 1
        return None

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        """Carry it out, and say so in its entries."""
        if call.path.startswith("/services/oauth2/"):
            return self._token(call)
        parts = _parts(call.path)
        try:
            resource = self._resources.get(parts[0], _nothing) if parts else _nothing
            return self._counted(resource(call, parts[1:], entries))
        except SalesforceError as error:
            for entry in entries:
                entry.outcome = error.code
            return self._counted(_failed(error))
        except ValueError as error:
            return self._counted(_failed(SalesforceError("JSON_PARSER_ERROR", str(error))))

    def throttled(self, call: Call, fate: Fate) -> Answer:  # noqa: ARG002
        words = "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
        return _failed(SalesforceError("REQUEST_LIMIT_EXCEEDED", words, status=403))

    def unavailable(self, call: Call) -> Answer:  # noqa: ARG002
        return _failed(SalesforceError("SERVER_UNAVAILABLE", "Server is too busy", status=503))

    def state(self) -> dict[str, Any]:
        kept = {
            name: [one for one in records.values() if not one["IsDeleted"]]
            for name, records in self.org.records.items()
            if name != "Organization"
        }
        return {"used": self.used, **{name: records for name, records in kept.items() if records}}

    def set_faults(self, faults: Faults) -> None:
        self.org.faults = faults

    # -- single records ----------------------------------------------------------------------------------------------

    def _sobjects(self, call: Call, rest: list[str], entries: list[Entry]) -> Answer:  # noqa: PLR0911 - a row each
        if not rest:
            return answer(200, {"sobjects": [{"name": name, "queryable": True} for name in OBJECTS]})
        sobject = self.org.sobject(rest[0])
        match rest[1:]:
            case ["describe"]:
                return answer(200, {"name": sobject, "fields": [_described(*one) for one in OBJECTS[sobject].items()]})
            case [] if call.method == "POST":
                number = self.org.create(sobject, call.json(), call.at)
                _done(entries[0], number)
                return answer(201, {"id": number, "success": True, "errors": []})
            case [number] if call.method == "GET":
                return answer(200, _shown(sobject, self._known(sobject, number), list(OBJECTS[sobject])))
            case [number] if call.method == "PATCH":
                _done(entries[0], self.org.update(sobject, self._known(sobject, number)["Id"], call.json(), call.at))
                return Answer(204)
            case [number] if call.method == "DELETE":
                _done(entries[0], self.org.delete(sobject, self._known(sobject, number)["Id"], call.at))
                return Answer(204)
            case [external, value] if call.method == "PATCH":
                return self._upserted(call, sobject, external, value, entries[0])
            case [external, value] if call.method == "GET":
                found = self.org.matching(sobject, external, value)
                if not found:
                    raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
                return answer(200, _shown(sobject, self.org.records[sobject][found[0]], list(OBJECTS[sobject])))
        raise SalesforceError("METHOD_NOT_ALLOWED", f"HTTP Method '{call.method}' not allowed", status=405)

    def _known(self, sobject: str, number: str) -> dict[str, Any]:
        """A single resource that is not there is NOT_FOUND."""
        try:
            return self.org.existing(sobject, number)
        except SalesforceError as error:
            if error.code == "INVALID_CROSS_REFERENCE_KEY":
                raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404) from error
            raise

    def _upserted(self, call: Call, sobject: str, external: str, value: str, entry: Entry) -> Answer:
        found = self.org.matching(sobject, external, value)
        if len(found) > 1:
            return answer(300, [f"/services/data/v62.0/sobjects/{sobject}/{number}" for number in found])
        number, new = self.org.upsert(sobject, external, value, call.json(), call.at)
        _done(entry, number)
        return answer(201 if new else 200, {"id": number, "success": True, "errors": [], "created": new})

    # -- collections -------------------------------------------------------------------------------------------------

    def _composite(self, call: Call, rest: list[str], entries: list[Entry]) -> Answer:
        if rest[:1] != ["sobjects"] or len(rest) not in {1, 3} or (len(rest) == 3 and call.method != "PATCH"):
            raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)
        records = _records(call)
        if len(records) > MOST:
            raise SalesforceError(
                "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {MOST} records into this call"
            )
        self._well_formed(call, rest, records)
        one = self._one_of(call, rest)
        results = [self._result(one, record, entry) for record, entry in zip(records, entries, strict=True)]
        return answer(200, results)

    def _well_formed(self, call: Call, rest: list[str], records: list[dict[str, Any]]) -> None:
        """A field that does not exist, or a value of another type, refuses the whole call."""
        if call.method == "DELETE":
            return
        for record in records:
            kind = (record.get("attributes") or {}).get("type")
            if not isinstance(kind, str):
                raise SalesforceError("INVALID_INPUT", "Include an entity type in the record's attributes")
            sobject = self._typed(kind)
            if len(rest) == 3 and sobject != self.org.sobject(rest[1]):
                raise SalesforceError("INVALID_INPUT", f"the entity type {kind} is not that of the URI")
            known = {name.lower() for name in OBJECTS[sobject]}
            for name in record:
                if name != "attributes" and name.lower() not in known:
                    raise SalesforceError("INVALID_FIELD", f"No such column '{name}' on sobject of type {sobject}")

    def _typed(self, kind: str) -> str:
        try:
            return self.org.sobject(kind)
        except SalesforceError:
            raise SalesforceError("INVALID_TYPE", f"sObject type '{kind}' is not supported.") from None

    def _one_of(self, call: Call, rest: list[str]) -> Callable[[dict[str, Any]], tuple[str, bool | None]]:
        org, at = self.org, call.at
        if call.method == "DELETE":
            return lambda record: (org.delete(org.of_id(record["id"]), record["id"], at), None)
        if len(rest) == 3:
            sobject, external = org.sobject(rest[1]), rest[2]

            def upsert(record: dict[str, Any]) -> tuple[str, bool | None]:
                if any(name.lower() == "id" for name in record):
                    raise SalesforceError(
                        "INVALID_FIELD_FOR_INSERT_UPDATE", "Do not specify an id on an upsert", ("Id",)
                    )
                values = _values(record)
                key = next((name for name in values if name.lower() == external.lower()), "")
                if not values.get(key):
                    raise SalesforceError("MISSING_ARGUMENT", f"{external} not specified", (external,))
                return org.upsert(sobject, external, values.pop(key), values, at)

            return upsert
        if call.method == "POST":
            return lambda record: (org.create(org.sobject(record["attributes"]["type"]), _values(record), at), None)

        def update(record: dict[str, Any]) -> tuple[str, bool | None]:
            values = {name: value for name, value in _values(record).items() if name.lower() != "id"}
            number = str(record.get("id") or record.get("Id") or "")
            if not number:
                raise SalesforceError("MISSING_ARGUMENT", "Id not specified in an update call", ("Id",))
            return org.update(org.sobject(record["attributes"]["type"]), number, values, at), None

        return update

    @staticmethod
    def _result(
        one: Callable[[dict[str, Any]], tuple[str, bool | None]], record: dict[str, Any], entry: Entry
    ) -> dict[str, Any]:
        try:
            number, new = one(record)
        except SalesforceError as error:
            entry.outcome = error.code
            told = {"statusCode": error.code, "message": error.message, "fields": error.fields}
            return {"success": False, "errors": [told], **({"id": record["id"]} if "id" in record else {})}
        _done(entry, number)
        return {"id": number, "success": True, "errors": [], **({} if new is None else {"created": new})}

    # -- questions ---------------------------------------------------------------------------------------------------

    def _query(self, call: Call, rest: list[str], entries: list[Entry]) -> Answer:
        entries[0].performed = True
        if rest:
            return self._more(rest[0])
        query = parse(call.first("q"))
        rows = query.rows(self.org.records[query.sobject], deleted="queryAll" in call.path)
        if query.counts:
            return answer(200, {"totalSize": len(rows), "done": True, "records": []})
        shown = [_shown(query.sobject, row, query.fields) for row in rows]
        locator = f"01g{next(self._locators):012d}AAA"
        self._open[locator] = (call.path, shown)
        return self._page_of(locator, 0)

    def _more(self, locator: str) -> Answer:
        name, _, start = locator.rpartition("-")
        if name not in self._open:
            raise SalesforceError("INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page_of(name, int(start))

    def _page_of(self, locator: str, start: int) -> Answer:
        path, rows = self._open[locator]
        end = start + self._page
        more = {"nextRecordsUrl": f"{path}/{locator}-{end}"} if end < len(rows) else {}
        return answer(200, {"totalSize": len(rows), "done": not more, **more, "records": rows[start:end]})

    # -- calls that are counted, and tokens --------------------------------------------------------------------------

    def _left(self) -> int:
        return max(self.daily - self.used, 0)

    def _counted(self, done: Answer) -> Answer:
        done.headers["Sforce-Limit-Info"] = f"api-usage={self.used}/{self.daily or 100_000}"
        return done

    def _token(self, call: Call) -> Answer:
        form = call.form()
        grant = form.get("grant_type")
        if grant in {"refresh_token", "client_credentials"}:
            if _client_of(call, form) != self._client:
                return answer(400, {"error": "invalid_client", "error_description": "invalid client credentials"})
            if grant == "refresh_token" and not form.get("refresh_token"):
                return answer(400, {"error": "invalid_grant", "error_description": "expired access/refresh token"})
        elif grant == JWT_BEARER:
            keys = None if self._certificate is None else {self._client[0]: self._certificate}
            why = refused(form.get("assertion", ""), keys, "https://login.salesforce.com", 180)
            if why is not None:
                return answer(400, {"error": "invalid_grant", "error_description": why})
        else:
            return answer(400, {"error": "unsupported_grant_type", "error_description": "grant type not supported"})
        self.issued += 1
        token = f"00Dgk!{self.issued}"
        if self._tokens is not None:
            self._tokens |= {token}
        return answer(
            200, {"access_token": token, "instance_url": "https://sandbox.my.salesforce.com", "token_type": "Bearer"}
        )

    def expire(self) -> None:
        """Every token so far is no longer good."""
        self._tokens = frozenset()


def _client_of(call: Call, form: dict[str, Any]) -> tuple[str, str]:
    """The id and the secret of who asks for a token, from the form or from the header."""
    if call.authorization.startswith("Basic "):
        name, _, secret = b64decode(call.authorization.removeprefix("Basic ")).decode().partition(":")
        return name, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _nothing(_call: Call, _rest: list[str], _entries: list[Entry]) -> Answer:
    raise SalesforceError("NOT_FOUND", "The requested resource does not exist", status=404)


def _parts(path: str) -> list[str]:
    match = _PATH.fullmatch(path)
    return [part for part in (match[2] or "").split("/") if part] if match else []


def _records(call: Call) -> list[dict[str, Any]]:
    if call.method == "DELETE":
        return [{"id": number} for number in call.first("ids").split(",") if number]
    records = call.json().get("records")
    if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
        raise SalesforceError("JSON_PARSER_ERROR", "records is not a list of records")
    return records


def _kind(parts: list[str], record: dict[str, Any]) -> str:
    attributes = record.get("attributes")
    named = attributes.get("type") if isinstance(attributes, dict) else None
    return str(named or (parts[1] if len(parts) > 1 else ""))


def _values(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "attributes"}


def _done(entry: Entry, number: str) -> None:
    entry.performed, entry.record_id, entry.outcome = True, number, "ok"


def _shown(sobject: str, record: dict[str, Any], fields: list[str]) -> dict[str, Any]:
    url = f"/services/data/v62.0/sobjects/{sobject}/{record['Id']}"
    return {"attributes": {"type": sobject, "url": url}, **{name: record[name] for name in fields}}


def _described(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name, "type": spec["type"], "externalId": spec["externalId"], "unique": spec["unique"],
        "createable": spec["writable"], "updateable": spec["writable"], "nillable": not spec["required"],
    }  # fmt: skip


def _failed(error: SalesforceError) -> Answer:
    told: dict[str, Any] = {"message": error.message, "errorCode": error.code}
    return answer(error.status, [{**told, "fields": error.fields} if error.fields else told])
