"""Odoo's wires: JSON-2 with errors that are HTTP's (19 and later), ``/jsonrpc`` with errors inside HTTP 200 (all)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.ledger import Entry
from connectors.sandbox.odoo.database import READS, USER, Database, OdooError
from connectors.sandbox.odoo.models import MODELS

STATUS: Final[Mapping[str, int]] = {
    "odoo.exceptions.AccessDenied": 401,
    "odoo.exceptions.AccessError": 403,
    "odoo.exceptions.MissingError": 404,
    "odoo.exceptions.UserError": 422,
    "odoo.exceptions.ValidationError": 422,
    "builtins.TypeError": 422,
}
"""Of JSON-2: the status of the exception's class; 500 for what is none of Odoo's own."""
_JSON2 = re.compile(r"/json/2/([^/]+)/([^/]+)")
_PATHS: Final = frozenset({"/jsonrpc", "/web/version", "/web/webclient/version_info"})


class Odoo:
    """``version``: of the server. ``key``: that of the user ``admin``; None: any is good."""

    name = "odoo"

    def __init__(self, faults: Faults, *, version: int = 18, database: str = "odoo", key: str | None = None) -> None:
        self.version = version
        self.database = Database.new()
        self._faults = faults
        self._name = database
        self._key = key

    @staticmethod
    def claims(path: str) -> bool:
        return path in _PATHS or path.startswith("/json/2/")

    def describe(self, call: Call) -> tuple[list[Entry], bool]:
        """What is asked, and whether it only reads. Never raises."""
        model, method, values = self._asked(call)
        entry = Entry(call.number, self.name, method, model, received=call.now)
        entry.properties = values
        return [entry], method in READS or method in {"login", "authenticate", "version"}

    def admit(self, call: Call) -> Answer | None:
        if call.path.startswith("/json/2/"):
            if self.version < 19:
                return Answer(303, b"", {"Location": "/web/login"})
            if self._key is not None and call.token != self._key:
                denied = _error_body(OdooError("werkzeug.exceptions.Unauthorized", "Invalid apikey"))
                return answer(401, denied)
        if call.path == "/web/version" and self.version < 19:
            return Answer(404, b"<!doctype html><html><title>404 Not Found</title></html>", {}, "text/html")
        return None

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        """Carry it out, and say so in its entry."""
        entry = entries[0]
        try:
            done = self._json2(call) if call.path.startswith("/json/2/") else self._rpc(call)
            entry.performed, entry.outcome = True, "ok"
        except OdooError as error:
            entry.outcome = error.name
            if call.path.startswith("/json/2/"):
                return answer(STATUS.get(error.name, 500), _error_body(error))
            return answer(
                200, _envelope(call, error={"code": 200, "message": "Odoo Server Error", "data": _error_body(error)})
            )
        except ValueError:
            return Answer(400, b"Invalid JSON data", {}, "text/plain")
        return done

    def throttled(self, call: Call, fate: Fate) -> Answer:  # noqa: ARG002
        return Answer(429, b"<html>429</html>", {}, "text/html")

    def unavailable(self, call: Call) -> Answer:  # noqa: ARG002
        return Answer(502, b"<html><title>502 Bad Gateway</title></html>", {}, "text/html")

    def state(self) -> dict[str, Any]:
        return {model: list(records.values()) for model, records in self.database.records.items() if records}

    def set_faults(self, faults: Faults) -> None:
        self._faults = faults

    def _asked(self, call: Call) -> tuple[str, str, dict[str, Any]]:
        try:
            body = call.json()
        except ValueError:
            return "", "", {}
        if (match := _JSON2.fullmatch(call.path)) is not None:
            return match[1], match[2], body
        params = body.get("params")
        params = params if isinstance(params, dict) else {}
        if params.get("service") == "object" and len(params.get("args", ())) >= 6:
            return str(params["args"][3]), str(params["args"][4]), {"args": params["args"][5:]}
        return str(params.get("model", "")), str(params.get("method", call.path.rpartition("/")[2])), {}

    def _json2(self, call: Call) -> Answer:
        match = _JSON2.fullmatch(call.path)
        if match is None or match[1] not in MODELS:
            raise OdooError("werkzeug.exceptions.NotFound", "the model does not exist")
        named = dict(call.json())
        args = [named.pop("ids")] if "ids" in named else []
        return answer(200, self.database.call(match[1], match[2], args, named))

    def _rpc(self, call: Call) -> Answer:
        if call.path == "/web/version":
            info = [self.version, 0, 0, "final", 0, ""]
            return answer(200, {"version": f"{self.version}.0", "version_info": info})
        if call.path == "/web/webclient/version_info":
            return answer(200, _envelope(call, result=self._version()))
        result = self._result(call.json().get("params") or {})
        return answer(200, _envelope(call, **({} if result is None else {"result": result})))

    def _result(self, params: dict[str, Any]) -> Any:
        match params.get("service"), params.get("method"):
            case "common", "version":
                return self._version()
            case "common", "login" | "authenticate":
                return self._log_in(*params["args"][:3])
            case "object", "execute":
                database, uid, key, model, method, *args = params["args"]
                self._let_in(database, uid, key)
                return self.database.call(model, method, args, {})
            case "object", "execute_kw":
                database, uid, key, model, method, args, *named = params["args"]
                self._let_in(database, uid, key)
                return self.database.call(model, method, args, named[0] if named else {})
        raise OdooError("builtins.KeyError", repr(params.get("service")))

    def _version(self) -> dict[str, Any]:
        info = [self.version, 0, 0, "final", 0, ""]
        return {"server_version": f"{self.version}.0", "server_version_info": info, "protocol_version": 1}

    def _log_in(self, database: str, login: str, key: str) -> Any:
        """The number of the user, or false: a wrong password is no error."""
        self._known(database)
        return USER if login == "admin" and self._key in {None, key} else False

    def _let_in(self, database: str, uid: Any, key: str) -> None:
        self._known(database)
        if self._key not in {None, key}:
            raise OdooError("odoo.exceptions.AccessDenied", "Access Denied")
        if uid not in self.database.records["res.users"]:
            text = f"Record does not exist or has been deleted. (Record: res.users({uid},), User: 1)"
            raise OdooError("odoo.exceptions.MissingError", text)

    def _known(self, database: str) -> None:
        if database != self._name:
            raise OdooError("psycopg2.OperationalError", f'FATAL: database "{database}" does not exist')


def _error_body(error: OdooError) -> dict[str, Any]:
    trace = f"Traceback (most recent call last):\n  ...\n{error.name}: {error.message}"
    return {"name": error.name, "message": error.message, "arguments": [error.message], "context": {}, "debug": trace}


def _envelope(call: Call, **content: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": call.json().get("id"), **content}
