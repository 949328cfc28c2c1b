"""Raw calls to any API.

The event's object is a label, for people and for order; its fields are the call:

    path      behind the connection's base URL; another host is refused
    method    default by operation: add and message POST, update PATCH, upsert PUT, delete DELETE
    params    query parameters
    headers   besides the connection's own
    body      a JSON value, or text

A header or parameter that looks like a credential is refused before the event is kept (``credentials.py``).

Every 2xx is a success, unless the connection says more: ``success_when`` (true of a success), ``fails_when`` and
``throttled_when`` (true of a 2xx that is none). A web page is no answer, unless ``media_type`` says that it is.

The operation says what the call means. ``update``, ``upsert`` and ``delete`` promise that doing it twice is the same as
doing it once, whatever the method; ``add`` and ``message`` promise nothing, unless the method itself does (PUT, DELETE)
or the connection has an ``idempotency_header``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote, unquote

from pydantic import TypeAdapter, ValidationError

from connectors.contract import Function, Page, Verdict
from connectors.engine.functions import IDEMPOTENT
from connectors.engine.manifest.errors import Meaning
from connectors.engine.manifest.read import ColumnName, Sync
from connectors.engine.runner.calls import Base, Prepared, compile_call, idempotency_key, with_params
from connectors.engine.runner.delivery import deliver_one
from connectors.engine.runner.expected import ANY_MEDIA_TYPE, PAGE, UNREADABLE, Expected, as_list, body_of, compile_says
from connectors.engine.runner.plan import Plan
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.source import Turning
from connectors.engine.runner.verdicts import Row, Rules
from connectors.engine.runner.written import Written
from connectors.engine.template.keys import short_key
from connectors.engine.template.paths import Look, compile_path
from connectors.engine.template.template import Missing, Scope
from connectors.engine.template.text import as_text
from connectors.engine.transport.failures import Unsendable
from connectors.engine.transport.reply import Reply
from connectors.engine.transport.session import check_headers
from connectors.errors import BadConnection, CallFailed
from connectors.saas.http.credentials import credential
from connectors.saas.http.pages import CALL, PAGING, paging_of
from topics.event import exact_json
from topics.event.event import Event, Operation

METHODS: Final = {
    Operation.ADD: "POST",
    Operation.MESSAGE: "POST",
    Operation.UPDATE: "PATCH",
    Operation.UPSERT: "PUT",
    Operation.DELETE: "DELETE",
}
ALLOWED: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
SAFE_TWICE: Final = frozenset({"GET", "PUT", "DELETE"})
FIELDS: Final = frozenset({"path", "method", "params", "headers", "body"})
OURS: Final = frozenset({"authorization", "host", "content-length", "transfer-encoding", "connection", "cookie"})
SUCCESSES: Final = frozenset(range(200, 300))
OWN_WORDS: Final[Mapping[str, Meaning]] = {"throttled_when": "throttled", "fails_when": "rejected"}
"""Settings of a connection, and what a 2xx is of which they are true; tried in this order."""

ID_AT: Final = compile_path("id")
WHOLE: Final = compile_path("@")


@dataclass(slots=True)
class RawCall:
    """Makes the request that an event describes."""

    sender: Sender
    base: Base
    expected: Expected
    idempotency_header: str | None
    own_header: str
    own_parameter: str
    id_at: Look | None = ID_AT
    detail_at: Look = WHOLE

    def prepare(self, scope: Scope) -> Prepared:
        fields, event = scope.fields, scope.event
        check_names(fields)
        if event is not None:
            self._check_credentials(fields)
        params = _mapping(fields, "params")
        if self.base.params:
            params = {**self.base.params, **params}
        headers = self._headers(fields, event)
        body = fields.get("body")
        if body is None:
            headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        content = None if body is None else body.encode() if isinstance(body, str) else exact_json.dumps(body)
        method = method_of(fields, event.operation if event else Operation.ADD)
        url = self._url(fields)
        return Prepared(method, with_params(url, params) if params else url, headers, content)

    def check_event(self, fields: Mapping[str, Any], operation: Operation) -> None:
        """Raises ``ValueError`` for what ``prepare`` refuses of an event, without its body."""
        check_names(fields)
        self._check_credentials(fields)
        self._url(fields)
        method_of(fields, operation)
        _mapping(fields, "params")
        own_headers(fields)

    def _check_credentials(self, fields: Mapping[str, Any]) -> None:
        """Raises ``ValueError`` for what must not be kept, as an event is."""
        if (reason := credential(fields, self.own_header, self.own_parameter)) is not None:
            raise ValueError(reason)

    def _url(self, fields: Mapping[str, Any]) -> str:
        path = fields.get("path")
        if not isinstance(path, str) or not path:
            raise ValueError("a raw call needs path, the text behind the connection's base URL")
        if ".." in path.partition("?")[0].split("/"):
            raise ValueError(f"the path {path!r} climbs out of the connection's base URL")
        return quoted(self.sender.absolute(path))

    def _headers(self, fields: Mapping[str, Any], event: Event | None) -> dict[str, str]:
        own = own_headers(fields)
        if not own and not self.idempotency_header:
            return dict(self.base.headers)
        replaced = {name.lower() for name in own}
        headers = {name: value for name, value in self.base.headers.items() if name.lower() not in replaced}
        if self.idempotency_header and event is not None:
            headers[self.idempotency_header] = idempotency_key(event)
        return {**headers, **own}


class RawConnector(HttpConnector):
    """The connector ``http``: every object and every operation exists."""

    writes_requests = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        header = self.values.get("idempotency_header") or None
        extra = {str(name): str(as_text(value)) for name, value in _mapping(self.values, "headers").items()}
        base = self.sender.base
        self.sender.base = base._replace(headers={**base.headers, **extra})
        own = str(self.values["api_key_header"]), str(self.values["query_api_key_name"])
        self._call = RawCall(self.sender, self.sender.base, _expected(self.values), header, *own)
        self._any = {operation: self._plan(operation, sure=header is not None) for operation in Operation}
        self._resources = resources(self.values.get("resources") or {})
        self._twice = {name: replace(plan.rules, idempotent=True) for name, plan in self._any.items()}

    def plan(self, object_name: str, operation: Operation) -> Plan:
        plan = self._any[operation]
        return replace(plan, function=replace(plan.function, object=object_name))

    def syncs(self) -> dict[str, Sync]:
        return self._resources

    def written(self, event: Event) -> Written | None:
        """The body, read as the answers of this API are; the record is what the path ends with."""
        spec = self._resources.get(event.object)
        if spec is None:
            return None
        path = str(event.fields.get("path") or "").partition("?")[0].rstrip("/")
        last = unquote(path.rpartition("/")[2])
        return Written(event.object, last if event.operation in IDEMPOTENT and last else None, _values(event, spec))

    def _plan(self, operation: Operation, *, sure: bool) -> Plan:
        idempotent = sure or operation in IDEMPOTENT
        policy = self.compiler.on_unknown.get(operation, "retry" if operation is Operation.MESSAGE else "dead_letter")
        return Plan(
            function=Function("any", operation, idempotent=idempotent, on_unknown=policy),
            unique=None,
            rules=self._with_own_words(
                self.compiler.rules(idempotent=idempotent, delete=operation is Operation.DELETE)
            ),
            call=self._call,
        )

    def _with_own_words(self, rules: Rules) -> Rules:
        """What this API says in a 2xx that is no success; of any other status the table knows more."""
        rows = tuple(
            Row(SUCCESSES, None, meaning, when=compile_path(expression))
            for name, meaning in OWN_WORDS.items()
            for expression in as_list(self.values.get(name))
        )
        if not rows:
            return rules
        known = len(self.manifest.errors)  # a token that has expired is that in a 200, too
        return replace(
            rules,
            rows=(*rules.rows[:known], *rows, *rules.rows[known:]),
            fails=lambda body: any(row.when is not None and row.when(body) for row in rows),
        )

    def record_key(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - a label
        """The path, where it names a record: what an ``add`` makes has no name yet, and what is posted to is a list."""
        path = fields.get("path")
        names_a_record = operation in IDEMPOTENT and _method(fields, operation) != "POST"
        return short_key(path) if names_a_record and isinstance(path, str) else None

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        return [await self._deliver(event) for event in batch]

    async def _deliver(self, event: Event) -> Verdict:
        twice = _method(event.fields, event.operation) in SAFE_TWICE
        rules = self._twice[event.operation] if twice else self._any[event.operation].rules
        return await deliver_one(self.sender, self._call, rules, Scope(event.fields, event), event)

    def refuses(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - a label
        try:
            self._call.check_event(fields, operation)
        except ValueError as error:
            return str(error)
        return None

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        """What ``pages.py`` says; without a path, the connection's resource of that name."""
        if "path" not in query:
            return await self._resource(object_name, query, bookmark)
        unknown = sorted(set(query) - CALL - PAGING)
        if unknown:
            known = ", ".join(sorted(CALL | PAGING))
            raise CallFailed(f"this read does not take {', '.join(unknown)}; it takes {known}")
        try:
            paging = paging_of(query)
            turn, records_at = paging.turn, compile_path(str(query.get("records", "@")))
            if turn is not None and bookmark is None:
                bookmark = turn.first()
            params = paging.params(_mapping(query, "params"), bookmark)
            call = {name: value for name, value in query.items() if name in CALL}
            prepared = self._call.prepare(Scope({**call, "params": params, "method": "GET"}))
            if turn is not None and turn.is_address(bookmark):
                prepared = prepared._replace(url=self.sender.absolute(str(bookmark)))
        except ValueError as error:
            raise CallFailed(str(error)) from error
        reply, body = await self._asked(prepared)
        found = records_at(body)
        if turn is None:
            return _page(found if isinstance(found, list) else [found], None)
        if not isinstance(found, list):
            raise CallFailed(f"the answer has no list of records at {query.get('records', '@')!r}", status=reply.status)
        return _page(found, turn.following(bookmark, reply, body, len(found)))

    async def _resource(self, object_name: str, query: Mapping[str, Any], bookmark: str | None) -> Page:
        spec = self._resources.get(object_name)
        if spec is None:
            known = f"; its resources are {', '.join(self._resources)}" if self._resources else ""
            raise CallFailed(f"a read needs path, the text behind the connection's base URL{known}")
        if query:
            raise CallFailed(f"the resource {object_name} is read as it is: it takes no {', '.join(sorted(query))}")
        request, turn = spec.all, Turning(spec.all)
        call = compile_call(request, self.sender.base, {"settings": self.values, "object": {}})
        if bookmark is None:
            bookmark = turn.first()
        try:
            prepared = call.prepare(Scope({}, bookmark=turn.said(bookmark)))
            if turn.is_address(bookmark):
                prepared = prepared._replace(url=self.sender.absolute(str(bookmark)))
        except (Missing, ValueError) as error:
            raise CallFailed(f"the resource {object_name} cannot be asked for: {error}") from error
        reply, body = await self._asked(prepared)
        found = turn.records(body)
        if not isinstance(found, list):
            raise CallFailed(f"the answer has no list of records at {request.records!r}", status=reply.status)
        return _page(found, turn.following(bookmark, reply, body, len(found)))

    async def _asked(self, prepared: Prepared) -> tuple[Reply, Any]:
        reply = await self.sender.ask(prepared)
        body = body_of(reply)
        if not 200 <= reply.status < 300 or body is UNREADABLE:
            raise self.sender.call_failed(reply, body, self.asking, self.sender.base.expected)
        return reply, body


def _page(records: list[Any], bookmark: str | None) -> Page:
    return Page([one if isinstance(one, dict) else {"value": one} for one in records if one is not None], bookmark)


def _values(event: Event, spec: Sync) -> Mapping[str, Any]:
    """What a body says of a record: it has the shape of the records that are read, or is flat."""
    body = event.fields.get("body")
    if not isinstance(body, Mapping):
        return {}
    members = compile_path(spec.spread)(body)
    named = {column: compile_path(path)(body) for column, path in spec.columns.items()}
    values = dict(members) if isinstance(members, Mapping) else dict(body)
    return values | {column: value for column, value in named.items() if value is not None}


def _expected(values: Mapping[str, Any]) -> Expected:
    """What a success of this API has, as far as the connection says."""
    kinds = as_list(values.get("media_type"))
    return Expected(
        media_types=frozenset(kinds or [ANY_MEDIA_TYPE]),
        says=compile_says(as_list(values.get("success_when"))),
        pages=PAGE in kinds or ANY_MEDIA_TYPE in kinds,
    )


def resources(setting: Any) -> dict[str, Sync]:
    """The setting ``resources``: what each kind of record is read by. Raises ``BadConnection``, naming the place."""
    try:
        return TypeAdapter(dict[ColumnName, Sync]).validate_python(setting)
    except ValidationError as error:
        mistakes = [
            f"resources.{'.'.join(str(part) for part in one['loc'])}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise BadConnection("; ".join(mistakes)) from error


def check_names(fields: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for what is no part of a call."""
    if not FIELDS.issuperset(fields):
        known, unknown = ", ".join(sorted(FIELDS)), min(set(fields) - FIELDS)
        raise ValueError(f"a raw call takes {known}, and not {unknown!r}: what is to be sent goes into body")


def own_headers(fields: Mapping[str, Any]) -> dict[str, str]:
    """Those that a call brings. Raises ``ValueError``."""
    own = {str(name): str(as_text(value)) for name, value in _mapping(fields, "headers").items()}
    for name in own:
        if name.lower() in OURS:
            raise ValueError(f"the header {name} is the connection's own business")
    try:
        check_headers(own)
    except Unsendable as error:
        raise ValueError(str(error)) from error
    return own


def method_of(fields: Mapping[str, Any], operation: Operation) -> str:
    """The HTTP method of an event. Raises ``ValueError``."""
    method = _method(fields, operation)
    if method not in ALLOWED:
        raise ValueError(f"the method {method!r} is none of {', '.join(sorted(ALLOWED))}")
    return method


def _method(fields: Mapping[str, Any], operation: Operation) -> str:
    return str(fields.get("method") or METHODS[operation]).upper()


_PLAIN: Final = re.compile(r"[A-Za-z0-9/:?#\[\]@!$&'()*+,;=%~._-]*")


def quoted(url: str) -> str:
    """What a URL cannot hold, percent-encoded; what is encoded already stays as it is."""
    return url if _PLAIN.fullmatch(url) else quote(url, safe="/:?#[]@!$&'()*+,;=%~-._")


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is a {type(value).__name__}, not an object of names and values")  # noqa: TRY004 - what prepare promises
    return value
