"""One way of calling Odoo, two wires: JSON-2 for Odoo 19 and later, ``/jsonrpc`` for what is older.

Everything above speaks JSON-2: ``POST /json/2/<model>/<method>`` with named arguments, a bare value in the answer, and
``{name, message, arguments, context}`` for an error. For an older server the call is put into the envelope of
``execute_kw``, and its answer is taken out again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

from pydantic_core import to_json

from connectors.contract import Down
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import UNREADABLE, body_of
from connectors.engine.runner.sender import MAX_DELIVERY, Sender
from connectors.engine.transport.failures import NotSent, TransportFailure
from connectors.engine.transport.reply import Reply
from topics.event import exact_json

Api = Literal["json2", "jsonrpc"]

JSON2_SINCE: Final = 19
HANDSHAKE_SECONDS: Final = 30.0
POSITIONAL: Final[Mapping[str, tuple[str, ...]]] = {
    "create": ("vals_list",),
    "write": ("vals",),
    "load": ("fields", "data"),
}
"""Arguments that ``execute_kw`` wants by position: ``create`` looks at the first to see whether it is a list."""

_CALL = re.compile(r"/json/2/([A-Za-z0-9_.]+)/([A-Za-z0-9_]+)")


class OdooSender(Sender):
    """Asks the server's version before the first call, and an older one for the number of the user."""

    def __init__(self, manifest: Any, configuration: Any, **kwargs: Any) -> None:
        super().__init__(manifest, configuration, **kwargs)
        self._values: Mapping[str, Any] = configuration.values
        self._api: Api | None = None if self._values["api"] == "auto" else self._values["api"]
        self._uid: int | None = None
        self._handshake = asyncio.Lock()

    async def send(self, prepared: Prepared, seconds: float | None = None, limit: int = MAX_DELIVERY) -> Reply:
        call = _CALL.fullmatch(str(prepared.url).removeprefix(self.base.url))
        if call is None:
            return await super().send(prepared, seconds, limit)
        if await self._chosen() == "json2":
            return _without_traceback(await super().send(prepared, seconds, limit))
        reply = await super().send(await self._in_envelope(prepared, call[1], call[2]), seconds, limit)
        return _out_of_envelope(reply)

    async def _chosen(self) -> Api:
        async with self._handshake:
            if self._api is None:
                self._api = await self._ask_version()
            return self._api

    async def _ask_version(self) -> Api:
        """``/web/version`` is there since JSON-2 is; an older server has no such page, or sends it to the login."""
        reply = await self._before(
            Prepared("GET", f"{self.base.url}/web/version", {"Accept": "application/json"}, None)
        )
        if reply.status in {401, 403, 407, 429} or reply.status >= 500:
            raise NoToken(Down(f"HTTP {reply.status} when Odoo was asked for its version"))
        body = body_of(reply)
        version = body.get("version_info") if isinstance(body, dict) else None
        newer = isinstance(version, list) and version and isinstance(version[0], int) and version[0] >= JSON2_SINCE
        return "json2" if newer else "jsonrpc"

    async def _in_envelope(self, prepared: Prepared, model: str, method: str) -> Prepared:
        named: dict[str, Any] = dict(exact_json.loads(prepared.body)) if prepared.body else {}
        places = [named.pop("ids")] if "ids" in named else []
        places += [named.pop(argument) for argument in POSITIONAL.get(method, ()) if argument in named]
        args = [self._values["database"], await self._user(), self._values["api_key"], model, method, places, named]
        return self._envelope("object", "execute_kw", args)

    def _envelope(self, service: str, method: str, args: list[Any]) -> Prepared:
        params = {"service": service, "method": method, "args": args}
        body = {"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}
        return Prepared("POST", f"{self.base.url}/jsonrpc", dict(self.base.headers), exact_json.dumps(body))

    async def _user(self) -> int:
        async with self._handshake:
            if self._uid is None:
                self._uid = await self._log_in()
            return self._uid

    async def _log_in(self) -> int:
        name, database = self._values.get("username"), self._values["database"]
        if not name:
            raise NoToken(
                Down("this Odoo is older than 19 and needs the setting username: the login of the key's owner")
            )
        args = [database, name, self._values["api_key"], {}]
        reply = _out_of_envelope(await self._before(self._envelope("common", "authenticate", args)))
        body = body_of(reply)
        if isinstance(body, int) and not isinstance(body, bool):
            return body
        if body is False:
            raise NoToken(Down(f"Odoo refuses the key of {name} for the database {database}"))
        said = str(body.get("message", ""))[:300] if isinstance(body, dict) else "it is no answer of Odoo's"
        raise NoToken(Down(self.redact(f"HTTP {reply.status} when logging in to the database {database}: {said}")))

    async def _before(self, prepared: Prepared) -> Reply:
        """A request of the handshake: when it fails, nothing of the call itself was sent."""
        try:
            return await super().send(prepared, HANDSHAKE_SECONDS)
        except NotSent:
            raise
        except TransportFailure as failure:
            raise NotSent(failure.reason) from failure


def _out_of_envelope(reply: Reply) -> Reply:
    """The answer of ``/jsonrpc`` as JSON-2 would have given it. A call that returns nothing has no ``result``."""
    body = body_of(reply)
    if body is UNREADABLE or not isinstance(body, dict) or "jsonrpc" not in body:
        return reply
    error = body.get("error")
    value = body.get("result") if error is None else _error(error)
    return replace(reply, body=to_json(value))


def _error(error: Any) -> dict[str, Any]:
    """``message`` of the envelope is always "Odoo Server Error"; the words and the class are in ``data``."""
    data = error.get("data") if isinstance(error, dict) else None
    if not isinstance(data, dict):
        data = {"name": "odoo", "message": str(error), "arguments": [str(error)]}
    return {"arguments": [""], **{name: value for name, value in data.items() if name not in {"debug", "context"}}}


def _without_traceback(reply: Reply) -> Reply:
    """``debug`` holds the traceback of the server: nothing to keep in a dead letter."""
    if reply.status < 400:
        return reply
    body = body_of(reply)
    if not isinstance(body, dict) or "debug" not in body:
        return reply
    return replace(reply, body=to_json({name: value for name, value in body.items() if name != "debug"}))
