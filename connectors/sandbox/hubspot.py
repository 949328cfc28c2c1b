"""HubSpot's CRM API, v3 and date-versioned paths: which request is what, and how it is answered.

Shapes after the vendor's own SDK (``hubspot-api-client``) and documentation; every error field is optional there, so
a client that works here may rely on none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from connectors.sandbox.batch import Batch
from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.custom import PORTAL, CustomObjects
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.identity import Identity
from connectors.sandbox.ledger import Entry
from connectors.sandbox.links import Links
from connectors.sandbox.portal import NOT_SET, Portal, Refused
from connectors.sandbox.quota import Quota
from connectors.sandbox.routes import Route, route_of
from connectors.sandbox.search import search

_READS = frozenset({"read", "list", "search", "properties", "associations", "labels", "linked", "schemas", "account"})
_PAIRS = frozenset({"associate", "associate_default", "dissociate", "unlabel"})
_CREDENTIALS = (
    "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at "
    "https://developers.hubspot.com/docs/methods/auth/oauth-overview"
)
WINDOW_SECONDS = 10.0
AUTHORIZE = "/oauth/authorize"
_OAUTH = "/oauth/"
_TOKEN = re.compile(r"/oauth/(?:v1|v3|\d{4}-\d{2})/token")


class HubSpot:
    """``rate``: requests per ten seconds and token (0: no limit). ``tokens``: the ones that are good (None: any).

    ``clients``: OAuth apps, id to secret; with them only the tokens that they were given are good. ``search_lag``:
    seconds until a write is seen by the search. ``partial_email_upsert``: False answers a batch upsert by email as a
    whole, the strictest reading of the vendor's documentation.
    """

    name = "hubspot"

    def __init__(
        self,
        faults: Faults,
        *,
        rate: int = 0,
        daily: int = 0,
        tokens: frozenset[str] | None = None,
        clients: dict[str, str] | None = None,
        search_lag: float = 1.0,
        partial_email_upsert: bool = True,
    ) -> None:
        self.portal = Portal(faults)
        self.identity = Identity(dict(clients or {}), AUTHORIZE, rotating=False)
        self.custom = CustomObjects(self.portal)
        self._batch = Batch(self.portal, partial_email_upsert=partial_email_upsert)
        self.quotas: dict[str, Quota] = {}
        self._rate = rate
        self._daily = daily
        self._today = 0
        self._tokens = tokens
        self._search_lag = search_lag
        self._actions: dict[str, Callable[[Call, Route, list[Entry]], Answer]] = {
            "create": self._create,
            "read": self._read,
            "update": self._update,
            "archive": self._archive,
            "list": self._list,
            "search": self._search,
            "properties": self._properties,
            "merge": self._merge,
            "schemas": self.custom.serve,
            "account": self._account,
            **Links(self.portal).actions,
        }

    @staticmethod
    def claims(path: str) -> bool:
        return (
            path == AUTHORIZE
            or _TOKEN.fullmatch(path) is not None
            or path.startswith(("/crm/", "/crm-object-schemas/", "/account-info/"))
        )

    def describe(self, call: Call) -> tuple[list[Entry], bool]:
        """What is asked, record by record, and whether it only reads. Never raises."""
        if call.path.startswith(_OAUTH):
            return [self._entry(call, "authorize" if call.path == AUTHORIZE else "token", "")], True
        route = self._route(call)
        if route is None:
            return [self._entry(call, "unknown", call.path)], False
        if route.operation == "link":  # its body is a list
            return [self._entry(call, route.operation, route.kind, None, route.record_id)], False
        try:
            body = call.json()
        except ValueError:
            return [self._entry(call, route.operation, route.kind)], False
        inputs = body.get("inputs") if route.batch or route.operation in _PAIRS else None
        if not isinstance(inputs, list) or route.operation in _READS:
            entry = self._entry(call, route.operation, route.kind, body, route.record_id)
            if not route.batch and call.first("idProperty"):
                entry.record_id, entry.unique = None, route.record_id
            return [entry], route.operation in _READS
        return [self._input_entry(call, route, item) for item in inputs if isinstance(item, dict)], False

    def admit(self, call: Call) -> Answer | None:
        """Credentials and quota; None lets the request through."""
        if call.path.startswith(_OAUTH):
            return None
        known = self.identity.knows(call.token, call.now)
        if known == "expired":
            return self._error(call, Refused(401, "EXPIRED_AUTHENTICATION", "The OAuth token used is expired"))
        if known == "unknown" or (self._tokens is not None and call.token not in self._tokens):
            return self._error(call, Refused(401, "INVALID_AUTHENTICATION", _CREDENTIALS))
        self._today += 1
        if self._daily and self._today > self._daily:
            return self.throttled(call, Fate("throttled", retry_after=None), policy="DAILY")
        quota = self.quotas.setdefault(call.token, Quota(self._rate, WINDOW_SECONDS))
        if quota.take(call.now):
            return self.throttled(call, Fate("throttled", retry_after=None))
        return None

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        """Carry it out, and say so in its entries."""
        if call.path.startswith(_OAUTH):
            return self.identity.serve(call)
        try:
            done = self._perform(call, entries)
        except Refused as refused:
            done = self._error(call, refused)
        except ValueError as error:
            done = self._error(call, Refused(400, "VALIDATION_ERROR", f"Invalid value: {error}"))
        for entry in entries:
            entry.outcome = entry.outcome or str(done.status)
        if self._rate and "search" not in call.path:
            done.headers |= self._limits(call.token)
        return done

    def throttled(self, call: Call, fate: Fate, policy: str = "TEN_SECONDLY_ROLLING") -> Answer:
        body = {
            "status": "error",
            "message": f"You have reached your {policy.lower()} limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": _correlation(call),
            "policyName": policy,
            "requestId": _correlation(call),
        }
        headers = {} if fate.retry_after is None else {"Retry-After": f"{fate.retry_after:g}"}
        return answer(429, body, headers | (self._limits(call.token) if self._rate else {}))

    def unavailable(self, call: Call) -> Answer:
        return self._error(call, Refused(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable."))

    def state(self) -> dict[str, Any]:
        portal = self.portal
        return {
            "records": {
                kind: {record.id: record.properties for record in records.values() if not record.archived}
                for kind, records in portal.records.items()
            },
            "archived": {
                kind: [record.id for record in records.values() if record.archived]
                for kind, records in portal.records.items()
            },
            "quota": {token: _quota_state(quota) for token, quota in self.quotas.items()},
        }

    def set_faults(self, faults: Faults) -> None:
        self.portal.faults = faults

    def _perform(self, call: Call, entries: list[Entry]) -> Answer:
        route = self._route(call)
        if route is None:
            return answer(
                404, {"status": "error", "message": "resource not found", "correlationId": _correlation(call)}
            )
        for kind in (route.kind, route.to):
            if kind and kind not in self.portal.records and route.operation not in {"account", "schemas"}:
                raise Refused(400, "VALIDATION_ERROR", f"Unable to infer object type from: {kind}")
        try:
            call.json_value()
        except ValueError as error:
            raise Refused(400, "VALIDATION_ERROR", f"Invalid input JSON on line 1: {error}") from error
        if route.batch:
            return self._batch.perform(call, route.kind, route.operation, entries)
        return self._actions[route.operation](call, route, entries)

    def _create(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        properties = _properties_of(call)
        record = self.portal.create(route.kind, properties, call.now, call.at, call.json().get("associations"))
        entries[0].performed, entries[0].record_id = True, record.id
        return answer(201, self.portal.written(record))

    def _read(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        archived = call.first("archived").lower() == "true"
        record = self.portal.find(route.kind, route.record_id, call.first("idProperty"), archived=archived)
        if record is None:
            return self._not_found(call)
        entries[0].performed = True
        return answer(200, self.portal.shown(route.kind, record, _wanted(call)))

    def _update(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        record = self.portal.find(route.kind, route.record_id, call.first("idProperty"))
        if record is None:
            return self._not_found(call)
        self.portal.update(route.kind, record, _properties_of(call), call.now, call.at)
        entries[0].performed, entries[0].record_id = True, record.id
        return answer(200, self.portal.written(record))

    def _archive(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        entries[0].performed = self.portal.archive(route.kind, route.record_id, call.now)
        return Answer(204)

    def _list(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        limit = min(max(int(call.first("limit") or 10), 1), 100)
        after = int(call.first("after") or 0)
        archived = call.first("archived").lower() == "true"
        found = [r for r in self.portal.records[route.kind].values() if r.archived == archived and int(r.id) > after]
        page = found[:limit]
        wanted = _wanted(call)
        body: dict[str, Any] = {"results": [self.portal.shown(route.kind, record, wanted) for record in page]}
        if len(found) > limit:
            body["paging"] = {"next": {"after": page[-1].id, "link": f"{call.path}?after={page[-1].id}&limit={limit}"}}
        entries[0].performed = True
        return answer(200, body)

    def _search(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        entries[0].performed = True
        return answer(200, search(self.portal, route.kind, call.json(), seen_until=call.now - self._search_lag))

    def _properties(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        if call.method == "GET":
            return answer(200, {"results": self.portal.schema.listing(route.kind)})
        body = call.json()
        self.portal.schema.add(route.kind, str(body.get("name")), unique=bool(body.get("hasUniqueValue")))
        entries[0].performed = True
        return answer(201, body)

    def _merge(self, call: Call, route: Route, entries: list[Entry]) -> Answer:
        ids = [str(call.json().get(name) or "") for name in ("primaryObjectId", "objectIdToMerge")]
        primary, other = (self.portal.find(route.kind, given) for given in ids)
        if primary is None or other is None or primary is other:
            raise Refused(400, "VALIDATION_ERROR", f"{ids[0]} and {ids[1]} cannot be merged")
        merged = self.portal.merge(route.kind, primary, other, call.now, call.at)
        entries[0].performed, entries[0].record_id = True, merged.id
        return answer(200, self.portal.written(merged))

    def _account(self, _call: Call, _route: Route, _entries: list[Entry]) -> Answer:
        return answer(200, {"portalId": PORTAL, "accountType": "STANDARD", "timeZone": "UTC", "companyCurrency": "EUR"})

    def _route(self, call: Call) -> Route | None:
        route = route_of(call.method, call.path)
        if route is None or route.operation == "schemas":
            return route
        return route._replace(kind=self.custom.kind(route.kind), to=self.custom.kind(route.to))

    def _entry(
        self, call: Call, operation: str, kind: str, body: dict[str, Any] | None = None, record_id: str = ""
    ) -> Entry:
        properties = (body or {}).get("properties")
        properties = properties if isinstance(properties, dict) else None
        entry = Entry(call.number, self.name, operation, kind, record_id or None, received=call.now)
        entry.properties = properties
        entry.unique = self._unique_value(kind, properties)
        return entry

    def _input_entry(self, call: Call, route: Route, item: dict[str, Any]) -> Entry:
        entry = self._entry(call, route.operation, route.kind, item)
        entry.trace_id = item.get("objectWriteTraceId")
        of = item.get("from")
        given = str(of.get("id") if isinstance(of, dict) else item.get("id", "")) or None
        if given and item.get("idProperty"):
            entry.unique = given.lower()
        else:
            entry.record_id = given
        return entry

    def _unique_value(self, kind: str, properties: dict[str, Any] | None) -> str | None:
        if not properties or kind not in self.portal.records:
            return None
        names = ("email", *self.portal.schema.unique(kind))
        return next((str(properties[name]).lower() for name in names if properties.get(name)), None)

    def _limits(self, token: str) -> dict[str, str]:
        quota = self.quotas.setdefault(token, Quota(self._rate, WINDOW_SECONDS))
        headers = {
            "X-HubSpot-RateLimit-Max": str(quota.rate),
            "X-HubSpot-RateLimit-Remaining": str(quota.remaining),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW_SECONDS * 1_000)),
        }
        if self._daily:
            headers["X-HubSpot-RateLimit-Daily"] = str(self._daily)
            headers["X-HubSpot-RateLimit-Daily-Remaining"] = str(max(0, self._daily - self._today))
        return headers

    def _not_found(self, call: Call) -> Answer:
        return answer(404, {"status": "error", "message": "resource not found", "correlationId": _correlation(call)})

    def _error(self, call: Call, refused: Refused) -> Answer:
        body: dict[str, Any] = {
            "status": "error",
            "message": refused.message,
            "correlationId": _correlation(call),
            "category": refused.category,
        }
        if refused.context:
            body["context"] = refused.context
        return answer(refused.status, body)


def _properties_of(call: Call) -> dict[str, Any]:
    properties = call.json().get("properties")
    if not isinstance(properties, dict):
        raise Refused(400, "VALIDATION_ERROR", f"{NOT_SET}: [properties]")
    return properties


def _wanted(call: Call) -> Iterable[str]:
    return [name for value in call.query.get("properties", []) for name in value.split(",") if name]


def _correlation(call: Call) -> str:
    return f"5a4db0c5-0000-4000-8000-{call.number:012x}"


def _quota_state(quota: Quota) -> dict[str, int]:
    return {
        "rate": quota.rate,
        "busiest": quota.busiest,
        "busiest_accepted": quota.busiest_accepted,
        "refused": quota.refused,
    }
